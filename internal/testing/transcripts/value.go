package transcripts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/async"
)

// The values of a transcript are nil, bool, Number, string, Float, []any and
// Object. They keep what Go's usual decoding loses: the way in which a number is
// written, the order of members, repeated members, and lone surrogates. In a string
// a lone surrogate is the three bytes that UTF-8 would use if it allowed it.
type (
	// Number is a JSON number as it is written: 0, 0.0 and -0 differ.
	Number string
	// Float is a number that JSON cannot write.
	Float float64
	// Object is a JSON object, its members in order.
	Object []Member
	// Member is a member of an Object.
	Member struct {
		Name  string
		Value any
	}
)

// IsInteger reports whether the number is an integer for Python: it has no point
// and no exponent.
func (n Number) IsInteger() bool { return !strings.ContainsAny(string(n), ".eE") }

// Seconds returns the number as a count of seconds.
func (n Number) Seconds() (float64, error) { return strconv.ParseFloat(string(n), 64) }

// Get returns the last member of that name.
func (o Object) Get(name string) (any, bool) {
	for _, m := range slices.Backward(o) {
		if m.Name == name {
			return m.Value, true
		}
	}
	return nil, false
}

// Without returns o without the members of that name.
func (o Object) Without(name string) Object {
	return slices.DeleteFunc(slices.Clone(o), func(m Member) bool { return m.Name == name })
}

// Parse parses one JSON value. It expands the short forms $repeat, $list, $nest and
// $float.
func Parse(text []byte) (any, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(text),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	v, err := parse(dec)
	if err != nil {
		return nil, err
	}
	if rest := bytes.TrimSpace(text[dec.InputOffset():]); len(rest) > 0 {
		return nil, fmt.Errorf("%.20q after the value", rest)
	}
	return v, nil
}

func parse(dec *jsontext.Decoder) (any, error) {
	switch kind := dec.PeekKind(); kind {
	case '{':
		if _, err := dec.ReadToken(); err != nil {
			return nil, err
		}
		o := Object{}
		for dec.PeekKind() != '}' {
			name, err := dec.ReadValue()
			if err != nil {
				return nil, err
			}
			m := Member{Name: unquote(name)}
			if m.Value, err = parse(dec); err != nil {
				return nil, err
			}
			o = append(o, m)
		}
		if _, err := dec.ReadToken(); err != nil {
			return nil, err
		}
		return long(o)
	case '[':
		if _, err := dec.ReadToken(); err != nil {
			return nil, err
		}
		list := []any{}
		for dec.PeekKind() != ']' {
			v, err := parse(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.ReadToken()
		return list, err
	default:
		text, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		switch kind {
		case '"':
			return unquote(text), nil
		case 't', 'f':
			return kind == 't', nil
		case 'n':
			return nil, nil
		}
		return Number(text), nil
	}
}

// long expands an object that is one of the short forms. It returns any other
// object unchanged.
func long(o Object) (any, error) {
	if len(o) != 1 || !strings.HasPrefix(o[0].Name, "$") {
		return o, nil
	}
	form, arg := o[0].Name, o[0].Value
	bad := fmt.Errorf("%s of %s", form, Text(arg))
	switch form {
	case "$repeat", "$list":
		pair, ok := arg.([]any)
		if !ok || len(pair) != 2 {
			return nil, bad
		}
		n, err := count(pair[1])
		if err != nil {
			return nil, bad
		}
		if form == "$list" {
			return slices.Repeat([]any{pair[0]}, n), nil
		}
		text, ok := pair[0].(string)
		if !ok {
			return nil, bad
		}
		return strings.Repeat(text, n), nil
	case "$nest":
		n, err := count(arg)
		if err != nil || n < 1 {
			return nil, bad
		}
		v := []any{}
		for range n - 1 {
			v = []any{v}
		}
		return v, nil
	case "$float":
		switch arg {
		case "nan":
			return Float(math.NaN()), nil
		case "inf":
			return Float(math.Inf(1)), nil
		case "-inf":
			return Float(math.Inf(-1)), nil
		}
		return nil, bad
	}
	return o, nil
}

func count(v any) (int, error) {
	n, ok := v.(Number)
	if !ok {
		return 0, fmt.Errorf("%s is not a count", Text(v))
	}
	return strconv.Atoi(string(n))
}

// unquote returns the text of a JSON string. It keeps lone surrogates.
func unquote(quoted []byte) string {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	var b []byte
	for i := 0; i < len(inner); i++ {
		if inner[i] != '\\' {
			b = append(b, inner[i])
			continue
		}
		i++
		switch c := inner[i]; c {
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r := hex4(inner[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if bytes.HasPrefix(inner[i+1:], []byte(`\u`)) {
					low = hex4(inner[i+3:])
				}
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					r = pair
					i += 6
				} else {
					b = append(b, 0xed, byte(0x80|r>>6&0x3f), byte(0x80|r&0x3f))
					continue
				}
			}
			b = utf8.AppendRune(b, r)
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func hex4(digits []byte) rune {
	n, err := strconv.ParseUint(string(digits[:4]), 16, 16)
	if err != nil {
		return utf8.RuneError // not reached: the decoder has checked it
	}
	return rune(n)
}

// surrogate returns the lone surrogate at the beginning of s. ok is false if there
// is none.
func surrogate(s string) (r rune, ok bool) {
	if len(s) < 3 || s[0] != 0xed || s[1] < 0xa0 {
		return 0, false
	}
	return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f), true
}

// scalars yields all values in v that are neither objects nor lists.
func scalars(v any) iter.Seq[any] {
	return func(yield func(any) bool) { walk(v, yield) }
}

func walk(v any, yield func(any) bool) bool {
	switch v := v.(type) {
	case Object:
		return !slices.ContainsFunc(v, func(m Member) bool { return !walk(m.Value, yield) })
	case []any:
		return !slices.ContainsFunc(v, func(e any) bool { return !walk(e, yield) })
	}
	return yield(v)
}

// Text returns v as JSON in ASCII with a blank after each comma and colon, as the
// servers of the recordings wrote it.
func Text(v any) string { return string(appendValue(nil, v, ", ", ": ")) }

// Compact returns v as JSON in ASCII without blanks.
func Compact(v any) string { return string(appendValue(nil, v, ",", ":")) }

func appendValue(dst []byte, v any, comma, colon string) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case Number:
		return append(dst, v...)
	case Float:
		return fmt.Appendf(dst, `{"$float"%s"%v"}`, colon, float64(v)) // for failure texts: JSON has no such number
	case string:
		return appendText(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, comma...)
			}
			dst = appendValue(dst, e, comma, colon)
		}
		return append(dst, ']')
	case Object:
		dst = append(dst, '{')
		for i, m := range v {
			if i > 0 {
				dst = append(dst, comma...)
			}
			dst = append(appendText(dst, m.Name), colon...)
			dst = appendValue(dst, m.Value, comma, colon)
		}
		return append(dst, '}')
	}
	panic(fmt.Sprintf("transcripts: a %T is not a value", v))
}

func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		if r, ok := surrogate(s[i:]); ok {
			dst = fmt.Appendf(dst, `\u%04x`, r)
			i += 3
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r < ' ' || r > '~':
			for _, unit := range utf16.Encode([]rune{r}) {
				dst = fmt.Appendf(dst, `\u%04x`, unit)
			}
		default:
			dst = append(dst, byte(r))
		}
		i += n
	}
	return append(dst, '"')
}

// A Form is the Go type of a call's arguments.
type Form int

// The forms. Only a map has no order.
const (
	Raw     Form = iota // json.RawMessage, as the transcript has it
	Members             // async.Members; its values have the Go types of package legacy
	Map                 // map[string]any; its values have the same types
)

// Go returns v in that form.
func (f Form) Go(v any) any {
	switch v := v.(type) {
	case Object:
		if f == Raw && !hasFloat(v) {
			return json.RawMessage(Compact(v))
		}
		if f == Map {
			m := make(map[string]any, len(v))
			for _, member := range v {
				m[member.Name] = f.Go(member.Value)
			}
			return m
		}
		ms := async.Members{}
		for _, member := range v {
			ms = append(ms, async.Member{Name: member.Name, Value: f.Go(member.Value)})
		}
		return ms
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = f.Go(e)
		}
		return list
	case Float:
		return float64(v)
	case Number:
		return number(v)
	}
	return v
}

// hasFloat reports whether v cannot be written as JSON.
func hasFloat(v any) bool {
	switch v := v.(type) {
	case Float:
		return true
	case []any:
		return slices.ContainsFunc(v, hasFloat)
	case Object:
		return slices.ContainsFunc(v, func(m Member) bool { return hasFloat(m.Value) })
	}
	return false
}

// number returns n as the Go type that package legacy uses for it.
func number(n Number) any {
	if !n.IsInteger() {
		f, _ := strconv.ParseFloat(string(n), 64) // a number out of range becomes infinite, as in Python
		return f
	}
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return i
	}
	if u, err := strconv.ParseUint(string(n), 10, 64); err == nil {
		return u
	}
	i, _ := new(big.Int).SetString(string(n), 10)
	return i
}
