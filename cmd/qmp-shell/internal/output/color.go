package output

import "bytes"

// The escape sequences. These colors can be read on a dark and on a light background:
// names have the terminal's own color.
const (
	bold    = "\x1b[1m"
	green   = "\x1b[32m"
	magenta = "\x1b[35m"
	plain   = "\x1b[0m"
)

// paint returns the JSON b with colors: names of members are bold, texts green, numbers
// and the words true, false and null magenta.
func paint(b []byte) []byte {
	var out bytes.Buffer
	for i := 0; i < len(b); {
		end, color := i+1, ""
		switch c := b[i]; {
		case c == '"':
			end = textEnd(b, i)
			color = green
			if end < len(b) && b[end] == ':' {
				color = bold
			}
		case c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z':
			for end < len(b) && !bytes.ContainsRune([]byte(",]} \n"), rune(b[end])) {
				end++
			}
			color = magenta
		}
		if color == "" {
			out.Write(b[i:end])
		} else {
			out.WriteString(color)
			out.Write(b[i:end])
			out.WriteString(plain)
		}
		i = end
	}
	return out.Bytes()
}

// textEnd returns the index after the JSON text that begins at b[i].
func textEnd(b []byte, i int) int {
	for j := i + 1; j < len(b); j++ {
		switch b[j] {
		case '\\':
			j++
		case '"':
			return j + 1
		}
	}
	return len(b)
}
