package qemujson

import "bytes"

// A kind is what a token is.
type kind uint8

const (
	noToken kind = iota
	openBrace
	closeBrace
	openBracket
	closeBracket
	colon
	comma
	number
	keyword
	text
	stray // bytes that do not begin or continue a token
)

// A state is what the scanner is in the middle of.
type state uint8

const (
	between state = iota // between tokens
	inDouble
	inDoubleEscape
	inSingle
	inSingleEscape
	afterMinus
	afterZero
	inDigits
	afterPoint
	inFraction
	afterE
	afterSign
	inExponent
	inKeyword
	recovering // after a stray byte: up to the next byte at which a token may begin
)

// A scanner cuts bytes into tokens.
type scanner struct {
	state state
	token []byte // the bytes of the present token so far
}

// step takes the byte c. If that ends a token, step returns its kind, and the token is in
// s.token until the next call. If used is false, the token ended before c, and c has to be
// given to step again.
func (s *scanner) step(c byte) (k kind, used bool) {
	if s.state == between {
		s.token = s.token[:0]
	}
	next, k, used := s.state.next(c)
	if used && next != recovering && (next != between || k != noToken) || k == stray {
		s.token = append(s.token, c)
	}
	s.state = next
	return k, used
}

// skip takes as many bytes of b as belong to the string or the rubbish that the scanner is
// in the middle of, without looking at each of them. It returns how many. A string grows by at
// most room bytes.
func (s *scanner) skip(b []byte, room int) int {
	switch s.state {
	case inDouble, inSingle:
		n := 0
		b = b[:min(len(b), room)]
		for n < len(b) && b[n] >= ' ' && b[n] < 0xFE && b[n] != '"' && b[n] != '\'' && b[n] != '\\' {
			n++
		}
		s.token = append(s.token, b[:n]...)
		return n
	case recovering:
		n := 0
		for n < len(b) && !resumes(b[n]) {
			n++
		}
		return n
	}
	return 0
}

// resumes reports whether c ends the recovery from a stray byte: a structural character, a
// control character but the tab, or a byte that UTF-8 does not have.
func resumes(c byte) bool {
	return c < ' ' && c != '\t' || c >= 0xFE || bytes.IndexByte([]byte("{}[],:"), c) >= 0
}

// next returns the state after the byte c, the kind of the token that c ends, and whether
// c has been used.
func (s state) next(c byte) (next state, ended kind, used bool) {
	digit := '0' <= c && c <= '9'
	switch s {
	case between:
		return begin(c)
	case inDouble, inSingle:
		switch {
		case c == '"' && s == inDouble, c == '\'' && s == inSingle:
			return between, text, true
		case c == '\\':
			return s + 1, noToken, true
		case inString(c):
			return s, noToken, true
		}
	case inDoubleEscape, inSingleEscape:
		if inString(c) {
			return s - 1, noToken, true
		}
	case afterMinus:
		switch {
		case c == '0':
			return afterZero, noToken, true
		case digit:
			return inDigits, noToken, true
		}
	case afterZero, inDigits:
		switch {
		case digit && s == inDigits:
			return inDigits, noToken, true
		case c == '.':
			return afterPoint, noToken, true
		case c == 'e' || c == 'E':
			return afterE, noToken, true
		case !digit:
			return between, number, false
		}
	case afterPoint:
		if digit {
			return inFraction, noToken, true
		}
	case inFraction:
		switch {
		case digit:
			return inFraction, noToken, true
		case c == 'e' || c == 'E':
			return afterE, noToken, true
		}
		return between, number, false
	case afterE:
		switch {
		case digit:
			return inExponent, noToken, true
		case c == '+' || c == '-':
			return afterSign, noToken, true
		}
	case afterSign:
		if digit {
			return inExponent, noToken, true
		}
	case inExponent:
		if digit {
			return inExponent, noToken, true
		}
		return between, number, false
	case inKeyword:
		if 'a' <= c && c <= 'z' {
			return inKeyword, noToken, true
		}
		return between, keyword, false
	case recovering:
		if resumes(c) {
			return between, noToken, false
		}
		return recovering, noToken, true
	}
	return recovering, stray, true
}

// begin returns what next returns between tokens.
func begin(c byte) (next state, ended kind, used bool) {
	switch c {
	case ' ', '\t', '\r', '\n':
		return between, noToken, true
	case '{':
		return between, openBrace, true
	case '}':
		return between, closeBrace, true
	case '[':
		return between, openBracket, true
	case ']':
		return between, closeBracket, true
	case ':':
		return between, colon, true
	case ',':
		return between, comma, true
	case '"':
		return inDouble, noToken, true
	case '\'':
		return inSingle, noToken, true
	case '-':
		return afterMinus, noToken, true
	case '0':
		return afterZero, noToken, true
	}
	switch {
	case '1' <= c && c <= '9':
		return inDigits, noToken, true
	case 'a' <= c && c <= 'z':
		return inKeyword, noToken, true
	}
	return recovering, stray, true
}

// inString reports whether c may be in a string.
func inString(c byte) bool { return c >= ' ' && c < 0xFE }
