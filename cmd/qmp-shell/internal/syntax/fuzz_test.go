package syntax

import (
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Any text is a command, or an error at a place in the text. What is sent is valid JSON,
// without a name that is twice in an object. The cursor can be anywhere.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"query-status", "x a=1 b.c='d e' f={\"g\": [1, 0x10, None]}", "transaction( a x=1\nb )", "{'execute': 'x', 'arguments': {}}",
		"exec-oob yank", "x a.0=1 a.1=2", "x {\"a\": \"\\ud83d\\ude00\"}", "# c\nx a=\"", "transaction(a x=f(1)) b=c", "x a=b\"c d\"", "\xff", "x \xff=1",
	} {
		f.Add(text, len(text))
	}
	f.Fuzz(func(t *testing.T, text string, cursor int) {
		cmd, err := Parse(text)
		var e *Error
		switch {
		case err == nil:
			wire := jsontext.Value(cmd.Wire())
			if !wire.IsValid() {
				t.Fatalf("%q: not valid: %q", text, wire)
			}
			if cmd.Name == "" {
				t.Fatalf("%q: no name", text)
			}
			for _, k := range cmd.Keys {
				if k.Start > k.Value || k.Value > k.End || k.End > len(text) || len(k.Path) == 0 {
					t.Fatalf("%q: key %+v", text, k)
				}
			}
		case errors.Is(err, ErrEmpty):
		case errors.As(err, &e):
			if e.Offset < 0 || e.Offset > len(text) {
				t.Fatalf("%q: offset %d", text, e.Offset)
			}
			if line, column := e.Position(); line < 1 || column < 1 || err.Error() == "" {
				t.Fatalf("%q: line %d, column %d", text, line, column)
			}
		default:
			t.Fatalf("%q: %v", text, err)
		}
		c := At(text, cursor)
		if c.Start < 0 || c.Start > c.End || c.End > len(text) {
			t.Fatalf("%q at %d: %+v", text, cursor, c)
		}
		if v := Quote(text); utf8.ValidString(text) {
			again, err := Parse("x k=" + v)
			if err != nil || len(again.Keys) != 1 {
				t.Fatalf("%q is written as %s: %v", text, v, err)
			}
		}
	})
}
