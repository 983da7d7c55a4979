package proto

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// AppendObject appends the JSON of v, which must encode to an object, as the
// wire wants it: compact, in ASCII, members in the order of the struct, of the
// raw JSON or of the MarshalJSON method, those of a map sorted. It refuses what
// QEMU's parser refuses or misreads: invalid UTF-8, lone surrogates, repeated
// names, NaN and infinities. dst is returned as it was when there is an error.
//
// The depth is checked with the whole message, by [CheckDepth].
func AppendObject(dst []byte, v any) ([]byte, error) {
	var text []byte
	var err error
	switch v := v.(type) {
	case jsontext.Value:
		text, err = compact(v)
	case stdjson.RawMessage:
		text, err = compact(v)
	default:
		text, err = json.Marshal(v, json.Deterministic(true))
	}
	if err != nil {
		return dst, err
	}
	if len(text) == 0 || text[0] != '{' {
		return dst, fmt.Errorf("%T encodes to %s, not to a JSON object", v, kindName(text))
	}
	return appendASCII(dst, text), nil
}

// compact checks raw strictly and takes its white space out.
func compact(raw []byte) ([]byte, error) {
	return jsontext.AppendFormat(nil, raw,
		jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false))
}

func kindName(text []byte) string {
	switch jsontext.Value(text).Kind() {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "an array"
	}
	return "nothing"
}

// appendASCII appends valid JSON with everything outside printable ASCII, which
// can only stand inside strings, as \u escapes.
func appendASCII(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	unit := func(dst []byte, u uint16) []byte {
		return append(dst, '\\', 'u', hex[u>>12], hex[u>>8&15], hex[u>>4&15], hex[u&15])
	}
	for start, i := 0, 0; ; {
		for i < len(text) && text[i] < 0x7f {
			i++
		}
		dst = append(dst, text[start:i]...)
		if i == len(text) {
			return dst
		}
		r, n := utf8.DecodeRune(text[i:])
		if hi, lo := utf16.EncodeRune(r); hi != utf8.RuneError {
			dst = unit(unit(dst, uint16(hi)), uint16(lo))
		} else {
			dst = unit(dst, uint16(r))
		}
		i += n
		start = i
	}
}

// AppendText appends s as a JSON string in ASCII.
func AppendText(dst []byte, s string) []byte {
	quoted, _ := jsontext.AppendQuote(nil, s) // the error is about invalid UTF-8, which comes out as U+FFFD
	return appendASCII(dst, quoted)
}

// AppendCommand appends a command: {"execute": name, "arguments": args,
// "id": id}, or exec-oob for execute. args is what AppendObject made; nil leaves
// the member out, as the zero ID leaves out the id.
func AppendCommand(dst []byte, name string, oob bool, args []byte, id ID) []byte {
	if oob {
		dst = append(dst, `{"exec-oob":`...)
	} else {
		dst = append(dst, `{"execute":`...)
	}
	dst = AppendText(dst, name)
	if args != nil {
		dst = append(dst, `,"arguments":`...)
		dst = append(dst, args...)
	}
	return appendEnd(dst, id, true)
}

// AppendWithID appends the object obj, which AppendObject made, with the id as
// one more member behind the others.
func AppendWithID(dst, obj []byte, id ID) []byte {
	dst = append(dst, obj[:len(obj)-1]...)
	return appendEnd(dst, id, len(obj) > len("{}"))
}

// appendEnd closes an object, behind an id unless that is NoID.
func appendEnd(dst []byte, id ID, comma bool) []byte {
	if id.Kind != NoID {
		if comma {
			dst = append(dst, ',')
		}
		dst = append(dst, `"id":`...)
		dst = id.Append(dst)
	}
	return append(dst, '}')
}

// ErrDepth says that a message nests deeper than MaxSendDepth.
var ErrDepth = errors.New("nested too deeply")

// CheckDepth returns ErrDepth if msg, encoded by this package, nests deeper
// than MaxSendDepth.
func CheckDepth(msg []byte) error {
	depth := 0
	for i := 0; i < len(msg); {
		switch msg[i] {
		case '"':
			i = skipString(msg, i)
			continue
		case '{', '[':
			if depth++; depth > MaxSendDepth {
				return ErrDepth
			}
		case '}', ']':
			depth--
		}
		i++
	}
	return nil
}

// The encoders below are for servers.

// AppendReturn appends a success reply. result and rawID are JSON; an empty
// rawID leaves the id out.
func AppendReturn(dst, result, rawID []byte) []byte {
	dst = append(dst, `{"return":`...)
	dst = append(dst, result...)
	return appendRawEnd(dst, rawID)
}

// AppendError appends an error reply.
func AppendError(dst []byte, class, desc string, rawID []byte) []byte {
	dst = append(dst, `{"error":{"class":`...)
	dst = AppendText(dst, class)
	dst = append(dst, `,"desc":`...)
	dst = AppendText(dst, desc)
	dst = append(dst, '}')
	return appendRawEnd(dst, rawID)
}

func appendRawEnd(dst, rawID []byte) []byte {
	if len(rawID) > 0 {
		dst = append(dst, `,"id":`...)
		dst = append(dst, rawID...)
	}
	return append(dst, '}')
}

// AppendEvent appends an event. data is a JSON object, or empty for none.
func AppendEvent(dst []byte, name string, data []byte, seconds, microseconds int64) []byte {
	dst = fmt.Appendf(dst, `{"timestamp":{"seconds":%d,"microseconds":%d},"event":`, seconds, microseconds)
	dst = AppendText(dst, name)
	if len(data) > 0 {
		dst = append(dst, `,"data":`...)
		dst = append(dst, data...)
	}
	return append(dst, '}')
}
