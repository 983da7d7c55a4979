package qtest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/goqmp/qmp/compat/qtest"
	"github.com/goqmp/qmp/internal/testing/harmlesstest"
)

const spell = harmlesstest.Spell

// Whatever QEMU answers, no error's text has a character that a terminal obeys. The
// fields have the words as they came.
// Holds secure.
func TestWordsOfQEMUAreHarmless(t *testing.T) {
	t.Parallel()
	// The call is for any answer an error.
	calls := map[string]func(ctx context.Context, q *qtest.Client) error{
		"Command": func(ctx context.Context, q *qtest.Client) error {
			_, err := q.Command(ctx, "x"+spell[:3]+" y")
			return err
		},
		"ByteOrder": func(ctx context.Context, q *qtest.Client) error { _, err := q.ByteOrder(ctx); return err },
		"ReadB":     func(ctx context.Context, q *qtest.Client) error { _, err := q.ReadB(ctx, 1); return err },
		"Read":      func(ctx context.Context, q *qtest.Client) error { _, err := q.Read(ctx, 1, 4); return err },
		"NextIRQ": func(ctx context.Context, q *qtest.Client) error {
			q.ByteOrder(ctx)
			_, err := q.NextIRQ(ctx)
			return err
		},
	}
	for what, answer := range map[string]string{
		"a refusal":            "FAIL " + spell,
		"an unknown command":   "FAIL Unknown command '" + spell + "'",
		"an error":             "ERR " + spell,
		"an odd status":        "FAIL" + spell + " x",
		"an odd value":         "OK " + spell,
		"an odd interrupt":     "IRQ raise " + spell,
		"another protocol":     spell,
		"a very long line":     spell + string(make([]byte, 5<<20)),
		"a line that ends odd": "OK 0x1" + spell,
	} {
		for name, call := range calls {
			if name == "Command" && answer[:2] == "OK" || name == "NextIRQ" && answer[:3] != "IRQ" {
				continue // no error
			}
			t.Run(what+"/"+name, func(t *testing.T) {
				t.Parallel()
				q := serve(t, func(string) string { return answer })
				err := call(t.Context(), q)
				harmlesstest.Want(t, "the call", err)
				if e, ok := errors.AsType[*qtest.CommandError](err); ok && what == "a refusal" && e.Message != spell {
					t.Errorf("the field of the error has %q", e.Message)
				}
			})
		}
	}
	for _, err := range []error{
		&qtest.ArgumentError{Command: spell, Problem: spell},
		&qtest.InterruptedError{Command: spell, Err: errors.New(spell)},
		&qtest.InterruptedError{Command: spell, Sent: true, Err: errors.New(spell)},
		&qtest.InterruptedError{Err: errors.New(spell)},
		&qtest.ProtocolError{Line: spell, Problem: spell},
	} {
		harmlesstest.Want(t, "an error's text", err)
	}
}
