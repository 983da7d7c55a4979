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
//     case, '-' and '_'. A member that matches no field is ignored. Where several
//     members match one field, each is decoded into it, in order.
//   - What is decoded into an empty interface is what [Decode] makes of it, so
//     that integers are exact. An interface that holds a pointer is decoded into
//     what that points to.
//   - What a [Framer] lets through is not refused: repeated names, and invalid
//     UTF-8 or lone surrogates, which become U+FFFD.
//
// Everything else is as package github.com/go-json-experiment/json has it.
func Unmarshal(raw []byte, v any) error { return json.Unmarshal(raw, v, decoding) }

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
		return errors.ErrUnsupported // left to package json
	}
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	*v, err = Decode(raw)
	return err
}

// holdsTarget reports whether v is a pointer that a caller put there, to have
// its own type filled. A *big.Int is none: Decode makes them.
func holdsTarget(v any) bool {
	if _, number := v.(*big.Int); number || v == nil {
		return false
	}
	return reflect.TypeOf(v).Kind() == reflect.Pointer
}

// unmarshalNumber is for the standard library's Number, which package json takes
// for a string.
func unmarshalNumber(dec *jsontext.Decoder, n *stdjson.Number) error {
	if dec.PeekKind() != jsontext.KindNumber {
		return errors.ErrUnsupported
	}
	raw, err := dec.ReadValue()
	*n = stdjson.Number(raw)
	return err
}
