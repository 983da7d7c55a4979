package proto

import (
	"bytes"
	"math/big"
	"strconv"
)

// MaxDigits is how many digits a number may have to be converted to a Go
// value. Conversion takes more than linear time, so there has to be a bound;
// this is the one of the Python original.
const MaxDigits = 4300

// Decode returns the Go value of raw, validated JSON: map[string]any, []any,
// string, bool, nil; an integer is an int64, a uint64 above 2^63-1, a *big.Int
// beyond 64 bits; any other number is a float64, infinite where it does not
// fit. Of repeated names the last counts. Invalid UTF-8 and lone surrogates
// become U+FFFD. A number over MaxDigits is a *FrameError.
func Decode(raw []byte) (any, error) {
	d := decoder{b: raw}
	v := d.value()
	return v, d.err
}

// decoder walks over validated JSON once, building values as it goes.
type decoder struct {
	b   []byte
	i   int
	err error // the first one
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

// more steps over white space and a comma, and reports whether the object or
// array that ends in end goes on; if not, it steps over end.
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
