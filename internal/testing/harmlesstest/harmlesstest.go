// Package harmlesstest checks that the texts of errors are harmless: see package harmless.
package harmlesstest

import (
	"testing"

	"github.com/goqmp/qmp/internal/harmless"
)

// Spell is a text that a terminal obeys. It has no line end.
const Spell = "\x1b[2J\a\x00\u0085\u009b1m\u202e\u2028\x7f"

// Want requires an error whose text has no character that a terminal obeys. what is the
// call that returned it.
func Want(t testing.TB, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
	} else if text := err.Error(); text != harmless.Line(text) {
		t.Errorf("%s: a terminal obeys the text of a %T: %q", what, err, text)
	}
}
