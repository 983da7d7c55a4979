package proto

import (
	stdjson "encoding/json"
	"errors"
	"math/big"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Unmarshal stores the JSON value raw in what v points to. It is the one rule by
// which the library decodes into values of its callers:
//
//   - A member's name matches a field's name exactly, or else without regard to
//     case, '-' and '_'. A member that matches no field is ignored. If several
//     members match one field, each is decoded into it, in order.
//   - An empty interface gets the value that [Decode] returns, so that integers are
//     exact. If the interface holds a pointer, the value is decoded into what that
//     points to.
//   - The faults that a [Framer] accepts are accepted: repeated names, and invalid
//     UTF-8 and lone surrogates, which become U+FFFD.
//
// JSON with more than MaxValues values is a *FrameError. Everything else is as in package
// github.com/go-json-experiment/json.
func Unmarshal(raw []byte, v any) error {
	if err := checkValues(raw); err != nil {
		return err
	}
	return json.Unmarshal(raw, v, decoding)
}

var decoding = json.JoinOptions(
	jsontext.AllowDuplicateNames(true),
	jsontext.AllowInvalidUTF8(true),
	json.MatchCaseInsensitiveNames(true),
	json.WithUnmarshalers(json.JoinUnmarshalers(
		json.UnmarshalFromFunc(unmarshalAny),
		json.UnmarshalFromFunc(unmarshalNumber),
	)),
)

func unmarshalAny(dec *jsontext.Decoder, v *any) error {
	if holdsTarget(*v) {
		return errors.ErrUnsupported // package json then decodes into the pointer
	}
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	*v, err = Decode(raw)
	return err
}

// holdsTarget reports whether v is a pointer that the caller wants filled. A *big.Int
// does not count: Decode makes these.
func holdsTarget(v any) bool {
	if _, number := v.(*big.Int); number || v == nil {
		return false
	}
	return reflect.TypeOf(v).Kind() == reflect.Pointer
}

// unmarshalNumber decodes into the standard library's Number. Without it package json
// would treat a Number as a string.
func unmarshalNumber(dec *jsontext.Decoder, n *stdjson.Number) error {
	if dec.PeekKind() != jsontext.KindNumber {
		return errors.ErrUnsupported
	}
	raw, err := dec.ReadValue()
	*n = stdjson.Number(raw)
	return err
}
