package qemujson

import (
	"unicode/utf16"
	"unicode/utf8"
)

// unquote appends to dst the text of the string token, quotes included. It is in QEMU's
// own UTF-8, in which the character 0 is the two bytes C0 80. The fault is "" or QEMU's
// words.
func unquote(dst, token []byte) (_ []byte, fault string) {
	inner := token[1 : len(token)-1]
	for i := 0; i < len(inner); {
		c := inner[i]
		switch {
		case c == '\\':
			r, n, fault := unescape(token[1+i:])
			if fault != "" {
				return dst, fault
			}
			dst = appendRune(dst, r)
			i += n
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := decode(inner[i:])
			if r < 0 {
				return dst, "invalid UTF-8 sequence in string"
			}
			dst = appendRune(dst, r)
			i += n
		}
	}
	return dst, ""
}

// unescape returns the character of the escape sequence at the beginning of b, and its
// length. b ends with the string's quote.
func unescape(b []byte) (r rune, n int, fault string) {
	switch b[1] {
	case '"', '\'', '\\', '/':
		return rune(b[1]), 2, ""
	case 'b':
		return '\b', 2, ""
	case 'f':
		return '\f', 2, ""
	case 'n':
		return '\n', 2, ""
	case 'r':
		return '\r', 2, ""
	case 't':
		return '\t', 2, ""
	case 'u':
		r, n := hex(b), 6
		if utf16.IsSurrogate(r) && len(b) > n && b[n] == '\\' && b[n+1] == 'u' {
			// DecodeRune returns U+FFFD unless the two are a pair.
			if second := hex(b[n:]); second >= 0 {
				if pair := utf16.DecodeRune(r, second); pair != utf8.RuneError {
					r, n = pair, n+6
				}
			}
		}
		if !valid(r) {
			return 0, 0, string(b[:min(n, len(b))]) + " is not a valid Unicode character"
		}
		return r, n, ""
	}
	return 0, 0, "invalid escape sequence in string"
}

// hex returns the value of the four digits of an escape sequence \uXXXX, or -1.
func hex(b []byte) rune {
	if len(b) < 6 {
		return -1
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// valid reports whether QEMU takes r for a character: no surrogate, and no noncharacter.
func valid(r rune) bool {
	return utf8.ValidRune(r) && (r < 0xFDD0 || r > 0xFDEF) && r&0xFFFE != 0xFFFE
}

// appendRune appends r in QEMU's own UTF-8.
func appendRune(dst []byte, r rune) []byte {
	if r == 0 {
		return append(dst, 0xC0, 0x80)
	}
	return utf8.AppendRune(dst, r)
}

// decode returns the character at the beginning of b, which is not empty, in QEMU's own
// UTF-8, and how many bytes it has. If that is not a valid character, it returns -1 and how
// many bytes one U+FFFD stands for.
func decode(b []byte) (r rune, n int) {
	if b[0] < utf8.RuneSelf {
		return rune(b[0]), 1
	}
	if len(b) > 1 && b[0] == 0xC0 && b[1] == 0x80 {
		return 0, 2
	}
	if r, n := utf8.DecodeRune(b); n > 1 {
		if !valid(r) {
			r = -1
		}
		return r, n
	}
	// The bytes of a sequence that is malformed, too long or too large count as one.
	size := sequence(b[0])
	for n = 1; n < size && n < len(b) && b[n]&0xC0 == 0x80; {
		n++
	}
	return -1, n
}

// sequence returns how many bytes a sequence that begins with c should have.
func sequence(c byte) int {
	switch {
	case c >= 0xFE || c < 0xC0:
		return 1
	case c >= 0xFC:
		return 6
	case c >= 0xF8:
		return 5
	case c >= 0xF0:
		return 4
	case c >= 0xE0:
		return 3
	}
	return 2
}

// AppendText appends text as a JSON string, as QEMU writes it: in ASCII. Bytes that are not
// UTF-8 become U+FFFD. Like in QEMU, the text ends at a 0 byte.
func AppendText(dst []byte, text string) []byte {
	b := []byte(text)
	dst = append(dst, '"')
	for len(b) > 0 && b[0] != 0 {
		r, n := decode(b)
		dst = appendEscaped(dst, r)
		b = b[n:]
	}
	return append(dst, '"')
}

const upperHex = "0123456789ABCDEF"

// appendEscaped appends one character of a string. -1 stands for an invalid one.
func appendEscaped(dst []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r == '\b':
		return append(dst, `\b`...)
	case r == '\f':
		return append(dst, `\f`...)
	case r == '\n':
		return append(dst, `\n`...)
	case r == '\r':
		return append(dst, `\r`...)
	case r == '\t':
		return append(dst, `\t`...)
	case r < 0:
		return appendUnit(dst, utf8.RuneError)
	case r > 0xFFFF:
		high, low := utf16.EncodeRune(r)
		return appendUnit(appendUnit(dst, high), low)
	case r < ' ' || r >= 0x7F:
		return appendUnit(dst, r)
	}
	return append(dst, byte(r))
}

func appendUnit(dst []byte, u rune) []byte {
	return append(dst, '\\', 'u', upperHex[u>>12&15], upperHex[u>>8&15], upperHex[u>>4&15], upperHex[u&15])
}
