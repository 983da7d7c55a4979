package qmptest

import (
	"bytes"

	"github.com/goqmp/qmp/internal/proto"
)

const whitespace = " \t\r\n"

// A LineEnd is what a server writes after each message.
type LineEnd int

// The line ends.
const (
	CRLF      LineEnd = iota // as QEMU does
	LF                       // as the guest agent does
	NoLineEnd                // nothing: the next message follows directly
)

// String returns the bytes themselves.
func (e LineEnd) String() string {
	switch e {
	case LF:
		return "\n"
	case NoLineEnd:
		return ""
	}
	return "\r\n"
}

// layout appends the JSON text the way QEMU prints it: on one line with a blank
// after each colon and comma, or, if pretty, over several lines.
func layout(dst, text []byte, pretty bool, end LineEnd) []byte {
	nl := end.String()
	if nl == "" {
		nl = "\n" // pretty output needs line breaks within a message
	}
	depth := 0
	newline := func() {
		if pretty {
			dst = append(dst, nl...)
			dst = append(dst, bytes.Repeat([]byte("    "), depth)...)
		}
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ' ', '\t', '\r', '\n':
		case '"':
			start := i
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			dst = append(dst, text[start:i+1]...)
		case '{', '[':
			dst = append(dst, c)
			depth++
			// QEMU spreads empty objects over two lines, too.
			if !pretty || !closes(text[i+1:]) {
				newline()
			}
		case '}', ']':
			depth--
			newline()
			dst = append(dst, c)
		case ',':
			dst = append(dst, c)
			if pretty {
				newline()
			} else {
				dst = append(dst, ' ')
			}
		case ':':
			dst = append(dst, ": "...)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, end.String()...)
}

// upperEscapes writes the digits of \u escapes in upper case, as QEMU does. It
// changes text.
func upperEscapes(text []byte) []byte {
	for i := 0; i+5 < len(text); i++ {
		if text[i] != '\\' { // a backslash only stands in a string
			continue
		}
		if i++; text[i] == 'u' {
			copy(text[i+1:], bytes.ToUpper(text[i+1:i+5]))
		}
	}
	return text
}

// closes reports whether the next thing in text is the end of an object or
// array.
func closes(text []byte) bool {
	text = bytes.TrimLeft(text, whitespace)
	return len(text) > 0 && (text[0] == '}' || text[0] == ']')
}

// appendErrorReply appends an error reply. Its id is the first member, as in
// QEMU's replies.
func appendErrorReply(class, desc string, id []byte) []byte {
	b := []byte("{")
	if len(id) > 0 {
		b = append(b, `"id":`...)
		b = append(b, id...)
		b = append(b, ',')
	}
	b = append(b, `"error":{"class":`...)
	b = proto.AppendText(b, class)
	b = append(b, `,"desc":`...)
	b = proto.AppendText(b, desc)
	return append(b, "}}"...)
}
