package proto

import (
	"bytes"
	"math/big"
	"strconv"
)

// MaxDigits is the largest number of digits that a number may have to be converted
// to a Go value. The time of a conversion grows faster than the number of digits, so
// there must be a limit. This one is Python's.
const MaxDigits = 4300

// MaxValues is the largest number of values that JSON may have to be converted to Go
// values. A value of three bytes, such as "{}" and a comma, may become hundreds of bytes,
// so the size of a message does not limit the memory. This is how many tokens QEMU reads
// in one message; a real reply has thousands.
const MaxValues = 1 << 21

// checkValues returns a *FrameError if raw has more than MaxValues values. (An empty array
// or object counts as two.)
func checkValues(raw []byte) error {
	if len(raw) < MaxValues {
		return nil // each value needs a byte
	}
	n := 1
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i = skipString(raw, i) - 1
		case ',', '[', '{':
			if n++; n > MaxValues {
				return &FrameError{Fault: TooMany, Limit: MaxValues, Excerpt: excerpt(raw)}
			}
		}
	}
	return nil
}

// Decode returns the Go value of raw, validated JSON: a map[string]any, []any, string,
// bool or nil. An integer is an int64, a uint64 above 2^63-1, and a *big.Int beyond 64
// bits. Any other number is a float64, an infinity if it is too large for one. If a
// name is repeated, the last one counts. Invalid UTF-8 and lone surrogates become
// U+FFFD. For a number with more than MaxDigits digits, and for more than MaxValues values,
// the error is a *FrameError.
func Decode(raw []byte) (any, error) {
	if err := checkValues(raw); err != nil {
		return nil, err
	}
	d := decoder{b: raw}
	v := d.value()
	return v, d.err
}

// decoder reads validated JSON once, from start to end, and builds the values.
type decoder struct {
	b   []byte
	i   int   // the index of the next byte
	err error // the first error
}

func (d *decoder) value() any {
	d.i = skipSpace(d.b, d.i)
	if d.i >= len(d.b) {
		return nil
	}
	switch c := d.b[d.i]; c {
	case '{':
		return d.object()
	case '[':
		return d.array()
	case '"':
		return d.text()
	case 't':
		d.i += len("true")
		return true
	case 'f':
		d.i += len("false")
		return false
	case 'n':
		d.i += len("null")
		return nil
	default:
		return d.number()
	}
}

// more skips white space and a comma. It reports whether the object or array, whose last
// byte is end, has another element. If it has none, more skips end too.
func (d *decoder) more(end byte) bool {
	d.i = skipSpace(d.b, d.i)
	if d.i < len(d.b) && d.b[d.i] == ',' {
		d.i = skipSpace(d.b, d.i+1)
	}
	if d.i >= len(d.b) || d.b[d.i] == end {
		d.i++
		return false
	}
	return true
}

func (d *decoder) object() map[string]any {
	m := make(map[string]any)
	d.i++
	for d.more('}') {
		name := d.text()
		d.i = skipSpace(d.b, d.i) + 1 // the colon
		m[name] = d.value()
	}
	return m
}

func (d *decoder) array() []any {
	a := []any{}
	d.i++
	for d.more(']') {
		a = append(a, d.value())
	}
	return a
}

func (d *decoder) text() string {
	start := d.i
	d.i = skipString(d.b, start)
	return unquote(d.b[start:d.i])
}

func (d *decoder) number() any {
	start := d.i
	for d.i < len(d.b) && !isDelim(d.b[d.i]) {
		d.i++
	}
	if d.i == start {
		d.i++ // validated bytes never come here; it keeps the walk finite for others
		return nil
	}
	text := d.b[start:d.i]
	if len(text) > MaxDigits && digits(text) > MaxDigits {
		if d.err == nil {
			d.err = &FrameError{Fault: BadNumber, Limit: MaxDigits, Excerpt: excerpt(text)}
		}
		return nil
	}
	if bytes.ContainsAny(text, ".eE") {
		f, _ := strconv.ParseFloat(string(text), 64) // out of range: infinite, as documented
		return f
	}
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(string(text), 10, 64); err == nil {
		return n
	}
	n, _ := new(big.Int).SetString(string(text), 10)
	return n
}

// digits counts the digits of the number text, those of the exponent included.
func digits(text []byte) int {
	n := 0
	for _, c := range text {
		if '0' <= c && c <= '9' {
			n++
		}
	}
	return n
}
