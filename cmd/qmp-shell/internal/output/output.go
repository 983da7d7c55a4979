// Package output prints values for people and for scripts: JSON on one line or on many,
// with colors on a terminal, and text of a machine that cannot harm a terminal.
package output

import (
	"bytes"
	"encoding/json"
	"io"
	"os"

	"golang.org/x/term"
)

// A Printer prints JSON values. Its methods may be called concurrently if that is true
// of its Writer.
type Printer struct {
	W      io.Writer
	Pretty bool // one member on each line, in place of one value on each line
	Color  bool // with escape sequences for colors
	Safe   bool // characters that a terminal may obey are written as \u escapes
	Raw    bool // a value that is a text is printed as the text, without quotes and escapes
}

// New returns a Printer for w. It uses colors as [Colors] says, and is safe if w is a
// terminal.
func New(w io.Writer, pretty bool) *Printer {
	return &Printer{W: w, Pretty: pretty, Color: Colors(w), Safe: IsTerminal(w)}
}

// IsTerminal reports whether stream, such as os.Stdout, is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Colors reports whether colors are to be written to w: it is a terminal, which is not
// "dumb", and the environment variable NO_COLOR is not set, or empty (https://no-color.org).
func Colors(w io.Writer) bool {
	return IsTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// Print prints value and a line end, with one call of Write. value is valid JSON.
func (p *Printer) Print(value json.RawMessage) error {
	_, err := p.W.Write(append(p.Format(value), '\n'))
	return err
}

// Format returns what Print prints, without the line end. Numbers and the order of
// members stay as they are in value.
func (p *Printer) Format(value json.RawMessage) []byte {
	var text string
	if p.Raw && json.Unmarshal(value, &text) == nil && !bytes.Equal(bytes.TrimSpace(value), []byte("null")) {
		if p.Safe {
			text = Text(text)
		}
		return []byte(text)
	}
	var b bytes.Buffer
	var err error
	if p.Pretty {
		err = json.Indent(&b, value, "", "  ")
	} else {
		err = json.Compact(&b, value)
	}
	if err != nil { // not JSON: as it came
		b.Reset()
		b.Write(value)
	}
	out := bytes.TrimSpace(b.Bytes())
	if !p.Pretty {
		out = bytes.ReplaceAll(out, []byte("\n"), []byte(" ")) // only if it is not JSON
	}
	if p.Safe {
		out = escape(out)
	}
	if p.Color && err == nil {
		out = paint(out)
	}
	return out
}
