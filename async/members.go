package async

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/goqmp/qmp/internal/proto"
)

// Member is one member of a JSON object: see [Members].
type Member struct {
	Name  string
	Value any // is encoded as arguments are
}

// Members is a JSON object whose members are sent in the order of the slice. (Those
// of a map are sorted.)
type Members []Member

// MarshalJSONTo implements json.MarshalerTo of github.com/go-json-experiment/json, the
// later encoding/json/v2. The engine uses it: objects in objects are encoded once. nil is
// an empty object.
func (ms Members) MarshalJSONTo(enc *jsontext.Encoder) error {
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, m := range ms {
		if err := enc.WriteToken(jsontext.String(m.Name)); err != nil {
			return err
		}
		if err := proto.EncodeValue(enc, m.Value); err != nil {
			return err
		}
	}
	return enc.WriteToken(jsontext.EndObject)
}

// MarshalJSON implements [json.Marshaler].
func (ms Members) MarshalJSON() ([]byte, error) {
	var buf bytes.Buffer
	if err := ms.MarshalJSONTo(jsontext.NewEncoder(&buf)); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(buf.Bytes()), nil
}
