package proto

import (
	"bytes"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions of this file walk JSON that a Framer, or the encoder, has
// validated. The skip functions take an index into b and return the index after
// what they skipped.

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipString skips the string that begins at b[i].
func skipString(b []byte, i int) int {
	for i++; ; i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return len(b)
		}
		i += n
		// The quote ends the string unless an odd run of backslashes precedes it.
		back := i
		for b[back-1] == '\\' {
			back--
		}
		if (i-back)%2 == 0 {
			return i + 1
		}
	}
}

// skipValue skips the value that begins at b[i].
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\n', '\r', '\t':
			i++
			continue
		default: // a number or a literal
			for i < len(b) && !isDelim(b[i]) {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
	return i
}

func isDelim(c byte) bool {
	switch c {
	case ',', ':', ']', '}', ' ', '\n', '\r', '\t':
		return true
	}
	return false
}

// unquote returns the text of the JSON string quoted. Invalid UTF-8 and lone
// surrogates become U+FFFD.
func unquote(quoted []byte) string {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	text, _ := jsontext.AppendUnquote(nil, quoted) // an error means that U+FFFD was put in
	return string(text)
}

// Members calls yield for each member of the object obj, in order, repeated
// names included, until yield returns false. obj must be validated JSON. If it
// is not an object, Members does nothing.
func Members(obj []byte, yield func(name string, value []byte) bool) {
	spans(obj, func(name string, at span) bool { return yield(name, at.of(obj)) })
}

// span is where a value stands in a message.
type span struct{ start, end int }

// of returns the value of raw at s; nil for the zero span.
func (s span) of(raw []byte) []byte {
	if s.end == 0 {
		return nil
	}
	return raw[s.start:s.end:s.end]
}

// spans is Members that says where the values are.
func spans(obj []byte, yield func(name string, at span) bool) {
	i := skipSpace(obj, 0)
	if i >= len(obj) || obj[i] != '{' {
		return
	}
	for i = skipSpace(obj, i+1); i < len(obj) && obj[i] == '"'; {
		end := skipString(obj, i)
		name := unquoteName(obj[i:end])
		i = skipSpace(obj, skipSpace(obj, end)+1) // after the colon
		end = skipValue(obj, i)
		if !yield(name, span{i, end}) {
			return
		}
		i = skipSpace(obj, end)
		if i < len(obj) && obj[i] == ',' {
			i = skipSpace(obj, i+1)
		}
	}
}

// unquoteName is unquote without an allocation for the names that every message
// has.
func unquoteName(quoted []byte) string {
	switch string(quoted) {
	case `"return"`:
		return "return"
	case `"id"`:
		return "id"
	case `"event"`:
		return "event"
	case `"data"`:
		return "data"
	case `"timestamp"`:
		return "timestamp"
	case `"error"`:
		return "error"
	case `"execute"`:
		return "execute"
	case `"class"`:
		return "class"
	case `"desc"`:
		return "desc"
	case `"seconds"`:
		return "seconds"
	case `"microseconds"`:
		return "microseconds"
	}
	return unquote(quoted)
}

// Text returns the text of the JSON string value, and whether it is one.
func Text(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	return unquote(value), true
}

// IsObject reports whether value, validated JSON, is an object.
func IsObject(value []byte) bool { return len(value) > 0 && value[0] == '{' }

// IsArray reports whether value, validated JSON, is an array.
func IsArray(value []byte) bool { return len(value) > 0 && value[0] == '[' }

// Elements calls yield for each element of the array arr until yield returns
// false. arr must be validated JSON. If it is not an array, Elements does
// nothing.
func Elements(arr []byte, yield func(value []byte) bool) {
	i := skipSpace(arr, 0)
	if i >= len(arr) || arr[i] != '[' {
		return
	}
	for i = skipSpace(arr, i+1); i < len(arr) && arr[i] != ']'; {
		end := skipValue(arr, i)
		if !yield(arr[i:end:end]) {
			return
		}
		i = skipSpace(arr, end)
		if i < len(arr) && arr[i] == ',' {
			i = skipSpace(arr, i+1)
		}
	}
}

// Depth returns how deeply the JSON text nests. A number or a string has depth 0.
func Depth(text []byte) int {
	depth, most := 0, 0
	for i := 0; i < len(text); {
		switch text[i] {
		case '"':
			i = skipString(text, i)
			continue
		case '{', '[':
			depth++
			most = max(most, depth)
		case '}', ']':
			depth--
		}
		i++
	}
	return most
}
