package proto

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// AppendObject appends the JSON of v as it is sent: compact and in ASCII. v must
// encode to an object. Members keep the order of the struct, of the raw JSON, or
// of the MarshalJSON method; those of a map are sorted.
//
// It refuses what QEMU's parser refuses or misreads: invalid UTF-8, lone
// surrogates, repeated names, NaN and infinities. With an error dst is returned
// unchanged. [CheckSend] checks the whole message for what else QEMU refuses.
func AppendObject(dst []byte, v any) ([]byte, error) {
	var text []byte
	var err error
	switch v := v.(type) {
	case jsontext.Value:
		text, err = compact(v)
	case stdjson.RawMessage:
		text, err = compact(v)
	default:
		text, err = json.Marshal(v, encoding)
	}
	if err != nil {
		return dst, err
	}
	if len(text) == 0 || text[0] != '{' {
		return dst, fmt.Errorf("%T encodes to %s, not to a JSON object", v, kindName(text))
	}
	return appendASCII(dst, text), nil
}

// encoding says how values of callers are encoded: maps sorted, and the standard
// library's json.Number, which a decoder with UseNumber leaves in place of a
// number, as that number.
var encoding = json.JoinOptions(
	json.Deterministic(true),
	json.WithMarshalers(json.MarshalFunc(marshalNumber)),
)

func marshalNumber(n stdjson.Number) ([]byte, error) {
	// If n is not JSON at all, package json returns an error after this.
	if kind := jsontext.Value(n).Kind(); kind != jsontext.KindNumber {
		return nil, fmt.Errorf("json.Number %q: not a number", string(n))
	}
	return []byte(n), nil
}

// EncodeValue writes v to enc as [AppendObject] would.
func EncodeValue(enc *jsontext.Encoder, v any) error { return json.MarshalEncode(enc, v, encoding) }

// compact checks raw strictly and removes its white space.
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

// appendASCII appends the valid JSON text. Characters outside printable ASCII,
// which can only be inside strings, become \u escapes.
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

// ValidText reports whether QEMU can read s and send it back unchanged. It must
// be valid UTF-8 without any of Unicode's noncharacters, which QEMU's parser
// refuses.
func ValidText(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if isNoncharacter(r) {
			return false
		}
	}
	return true
}

// isNoncharacter reports whether r is one of the 66 code points that Unicode
// sets aside. QEMU 7.2 says "is not a valid Unicode character".
func isNoncharacter(r rune) bool {
	return r >= 0xfdd0 && (r <= 0xfdef || r&0xfffe == 0xfffe)
}

// AppendText appends s as a JSON string in ASCII. Invalid UTF-8 in it becomes
// U+FFFD; see [ValidText].
func AppendText(dst []byte, s string) []byte {
	start := len(dst)
	dst, _ = jsontext.AppendQuote(dst, s) // the error only says that invalid UTF-8 became U+FFFD
	for _, c := range dst[start:] {
		if c >= 0x7f {
			return appendASCII(dst[:start], bytes.Clone(dst[start:]))
		}
	}
	return dst
}

// AppendCommand appends a command: {"execute": name, "arguments": args,
// "id": id}, or exec-oob in place of execute. args is what AppendObject made.
// Empty args leave the member arguments out, and the zero ID leaves the id out.
func AppendCommand(dst []byte, name string, oob bool, args []byte, id ID) []byte {
	if oob {
		dst = append(dst, `{"exec-oob":`...)
	} else {
		dst = append(dst, `{"execute":`...)
	}
	dst = AppendText(dst, name)
	if len(args) > 0 {
		dst = append(dst, `,"arguments":`...)
		dst = append(dst, args...)
	}
	return appendEnd(dst, id, true)
}

// AppendWithID appends the object obj, which AppendObject made, with the id as
// its last member. obj must not have a member id already.
func AppendWithID(dst, obj []byte, id ID) []byte {
	dst = append(dst, obj[:len(obj)-1]...)
	return appendEnd(dst, id, len(obj) > len("{}"))
}

// appendEnd appends the id, unless it is NoID, and closes the object.
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

// What QEMU's parser refuses although it is valid JSON. QEMU answers each with an
// error without an id.
var (
	// ErrDepth says that a message nests deeper than MaxSendDepth.
	ErrDepth = errors.New("nested too deeply")
	// ErrTokens says that a message has more than MaxSendTokens tokens.
	ErrTokens = errors.New("too many JSON tokens")
	// ErrNoncharacter says that a string in a message holds a Unicode
	// noncharacter, such as U+FFFE.
	ErrNoncharacter = errors.New("a Unicode noncharacter in a string")
)

// CheckSend checks msg, one message encoded by this package, for what QEMU's
// parser refuses although it is valid JSON. It returns ErrDepth, ErrTokens,
// ErrNoncharacter, or nil.
func CheckSend(msg []byte) error {
	depth, tokens := 0, 0
	for i := 0; i < len(msg); tokens++ {
		switch msg[i] {
		case '"':
			end := skipString(msg, i)
			if hasNoncharacter(msg[i:end]) {
				return ErrNoncharacter
			}
			i = end
		case '{', '[':
			if depth++; depth > MaxSendDepth {
				return ErrDepth
			}
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':':
			i++
		default: // a number or a literal; the encoder leaves no white space
			for i++; i < len(msg) && !isDelim(msg[i]); {
				i++
			}
		}
	}
	if tokens > MaxSendTokens {
		return ErrTokens
	}
	return nil
}

// hasNoncharacter looks for a noncharacter in quoted, a JSON string in ASCII,
// where it can only be an escape.
func hasNoncharacter(quoted []byte) bool {
	for {
		i := bytes.IndexByte(quoted, '\\')
		if i < 0 {
			return false
		}
		if quoted[i+1] != 'u' {
			quoted = quoted[i+2:]
			continue
		}
		r := hex4(quoted[i+2:])
		quoted = quoted[i+6:]
		if utf16.IsSurrogate(r) && bytes.HasPrefix(quoted, []byte(`\u`)) {
			r = utf16.DecodeRune(r, hex4(quoted[2:])) // the next round skips the second half
		}
		if isNoncharacter(r) {
			return true
		}
	}
}

// hex4 returns the number in the four hexadecimal digits that b begins with.
func hex4(b []byte) (r rune) {
	for _, c := range b[:4] {
		if r <<= 4; c <= '9' {
			r |= rune(c - '0')
		} else {
			r |= rune(c|0x20-'a') + 10
		}
	}
	return r
}

// The encoders below are for servers (QMP specification, "Server Responses" and
// "Asynchronous events").

// AppendReturn appends a success reply. result and rawID are JSON; an empty
// result is {}, an empty rawID leaves the id out.
func AppendReturn(dst, result, rawID []byte) []byte {
	dst = append(dst, `{"return":`...)
	if len(result) == 0 {
		dst = append(dst, "{}"...)
	}
	dst = append(dst, result...)
	return appendRawEnd(dst, rawID)
}

// AppendError appends an error reply. rawID is JSON; an empty one leaves the id out.
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
