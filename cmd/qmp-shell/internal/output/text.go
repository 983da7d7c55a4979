package output

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// risky reports whether a terminal may obey r in place of showing it, or may show other
// characters in another order because of it.
func risky(r rune) bool {
	switch {
	case r < 0x20, 0x7f <= r && r < 0xa0: // control characters
		return true
	case 0x200e <= r && r <= 0x200f, 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069: // writing directions
		return true
	}
	return false
}

// escape writes risky characters of the JSON b, other than line ends, as \u escapes. In
// JSON they stand only in texts.
func escape(b []byte) []byte {
	i := 0
	for i < len(b) && (b[i] == '\n' || 0x20 <= b[i] && b[i] < 0x7f) {
		i++
	}
	if i == len(b) {
		return b
	}
	out := append([]byte(nil), b[:i]...)
	for i < len(b) {
		r, n := utf8.DecodeRune(b[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			out = append(out, `\ufffd`...)
		case r != '\n' && risky(r):
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = append(out, b[i:i+n]...)
		}
		i += n
	}
	return out
}

// Text returns text of a machine or a guest in a form that is safe for a terminal: control
// characters other than line ends and tabs, and bytes that are not UTF-8, are shown as
// escapes.
func Text(text string) string {
	clean := true
	for _, r := range text {
		if r == utf8.RuneError || r != '\n' && r != '\t' && risky(r) {
			clean = false
			break
		}
	}
	if clean {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '\r' && strings.HasPrefix(text[i:], "\r\n"): // shown as a line end
		case r == utf8.RuneError && n == 1, r < 0x100 && r != '\n' && r != '\t' && risky(r):
			fmt.Fprintf(&out, `\x%02x`, text[i : i+n][n-1])
		case r != '\n' && r != '\t' && risky(r):
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteString(text[i : i+n])
		}
		i += n
	}
	return out.String()
}
