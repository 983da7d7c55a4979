// Package harmless makes text from outside fit to be shown to a person. What a server,
// a process or a file says may contain characters that a terminal obeys, that reverse
// the order of the text around them, or that nobody sees.
package harmless

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line returns s on one line, with each character that may do harm written as a Go
// string literal writes it: ESC as \x1b, U+202E as \u202e, the byte 0xff as \xff. A line
// end becomes a space. Everything else is as in s.
func Line(s string) string { return escape(s, " ") }

// Text is like Line for a text of several lines: line ends become "\n", and "\n" and
// "\t" are kept.
func Text(s string) string { return escape(s, "\n") }

// Error returns an error whose text is Line of err's text, and which wraps err. If the
// text is harmless already, or err is nil, it returns err.
func Error(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if line := Line(text); line != text {
		return &harmlessError{line, err}
	}
	return err
}

type harmlessError struct {
	text string
	err  error
}

func (e *harmlessError) Error() string { return e.text }
func (e *harmlessError) Unwrap() error { return e.err }

func escape(s, lineEnd string) string {
	i := 0
	for i < len(s) && ' ' <= s[i] && s[i] < 0x7f {
		i++
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:i])
	for i < len(s) {
		r, size := utf8.DecodeRuneInString(s[i:])
		c := s[i : i+size]
		switch {
		case r == '\r' && strings.HasPrefix(s[i+size:], "\n"):
			// The line feed stands for both.
		case r == '\n', r == '\r' && lineEnd == " ":
			b.WriteString(lineEnd)
		case r == '\t':
			b.WriteByte('\t')
		case r == utf8.RuneError && size == 1:
			writeHex(&b, `\x`, 2, rune(s[i]))
		case !harms(r):
			b.WriteString(c)
		case r < 0x80:
			writeHex(&b, `\x`, 2, r)
		case r < 0x10000:
			writeHex(&b, `\u`, 4, r)
		default:
			writeHex(&b, `\U`, 8, r)
		}
		i += size
	}
	return b.String()
}

// harms reports whether r is a control character, a character that changes how others
// are shown, or a separator of lines.
func harms(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// writeHex writes r as so many hexadecimal digits.
func writeHex(b *strings.Builder, prefix string, digits int, r rune) {
	b.WriteString(prefix)
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b.WriteByte("0123456789abcdef"[r>>shift&0xf])
	}
}
