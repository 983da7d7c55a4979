// Tests of rule E9 (bounds): the size and the depth of sent messages.
// The code that they hold: options.go, command.go and session.go.
package async_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A message that is exactly as large as the limit is sent, however it was made.
// A message that is one byte larger is refused, and only its own call fails.
// The same holds for the number of levels, which includes the outer object.
func TestE9SentBounds(t *testing.T) {
	t.Parallel()
	const size, levels = 600, 1000
	// padded returns frame, made n bytes long.
	padded := func(frame string, n int) string {
		return strings.Replace(frame, "PAD", strings.Repeat("x", n-len(frame)+len("PAD")), 1)
	}
	nested := func(n int) string { return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1) }
	const frame = `{"execute":"big","arguments":{"a":"PAD"},"id":2}`
	argsOf := func(message string) json.RawMessage {
		args := strings.TrimPrefix(message, `{"execute":"big","arguments":`)
		return json.RawMessage(strings.TrimSuffix(args, `,"id":2}`))
	}
	tests := []struct {
		name   string
		max    int
		cmd    async.Command
		hook   string       // what OnSend replaces the message with
		reason async.Reason // "" if it is sent
	}{
		{name: "at the limit", max: size, cmd: async.Command{Name: "big", Args: argsOf(padded(frame, size))}},
		{name: "a byte over", max: size, cmd: async.Command{Name: "big", Args: argsOf(padded(frame, size+1))}, reason: async.TooLarge},
		{name: "no limit", max: -1, cmd: async.Command{Name: "big", Args: argsOf(padded(frame, 1<<20))}},
		{name: "the usual limit", cmd: async.Command{Name: "big", Args: argsOf(padded(frame, 1<<20))}},
		{name: "object at the limit", max: size, cmd: async.Command{Object: json.RawMessage(padded(`{"execute":"big","x":"PAD"}`, size-len(`,"id":2`)))}},
		{name: "object a byte over", max: size, cmd: async.Command{Object: json.RawMessage(padded(`{"execute":"big","x":"PAD"}`, size+1-len(`,"id":2`)))}, reason: async.TooLarge},
		{name: "object with an id at the limit", max: size, cmd: async.Command{Object: json.RawMessage(padded(`{"execute":"big","x":"PAD","id":"a"}`, size))}},
		{name: "object with an id a byte over", max: size, cmd: async.Command{Object: json.RawMessage(padded(`{"execute":"big","x":"PAD","id":"a"}`, size+1))}, reason: async.TooLarge},
		{name: "white space does not count", max: size, cmd: async.Command{Name: "big", Args: json.RawMessage(strings.Replace(string(argsOf(padded(frame, size))), ":", ": \n"+strings.Repeat(" ", size), 1))}},
		{name: "hook at the limit", max: size, cmd: async.Command{Name: "big"}, hook: padded(frame, size)},
		{name: "hook a byte over", max: size, cmd: async.Command{Name: "big"}, hook: padded(frame, size+1), reason: async.TooLarge},
		{name: "escapes count", max: size, cmd: async.Command{Name: "big", Args: map[string]string{"a": strings.Repeat("é", size/6)}}, reason: async.TooLarge},
		{name: "1,000 levels", cmd: async.Command{Name: "big", Args: json.RawMessage(nested(levels - 1))}},
		{name: "1,001 levels", cmd: async.Command{Name: "big", Args: json.RawMessage(nested(levels))}, reason: async.TooDeep},
		{name: "1,001 levels, no limit of size", max: -1, cmd: async.Command{Name: "big", Args: json.RawMessage(nested(levels))}, reason: async.TooDeep},
		{name: "hook with 1,000 levels", cmd: async.Command{Name: "big"}, hook: `{"execute":"big","id":2,"x":` + nested(levels-1) + `}`},
		{name: "hook with 1,001 levels", cmd: async.Command{Name: "big"}, hook: `{"execute":"big","id":2,"x":` + nested(levels) + `}`, reason: async.TooDeep},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				var steps []qmptest.Step
				if tt.reason == "" {
					steps = append(steps, qmptest.ExpectFunc("big", func(m qmptest.Message) error {
						if m.Name != "big" || tt.max > 0 && len(m.Raw) != tt.max {
							return fmt.Errorf("got %d bytes, %s, want big of %d bytes", len(m.Raw), m, tt.max)
						}
						return nil
					}), qmptest.Return(`"big"`))
				}
				p := memory(t, connected("oob", append(steps, qmptest.Expect("after"), qmptest.Return(`{}`))...)...)
				c := dial(t, p, &async.Options{MaxMessage: tt.max, OnSend: func(m json.RawMessage) json.RawMessage {
					if tt.hook != "" && bytes.Contains(m, []byte(`"big"`)) {
						return json.RawMessage(tt.hook)
					}
					return nil
				}})
				reply, err := c.Do(t.Context(), tt.cmd)
				if tt.reason == "" {
					wantNil(t, "big", err)
					value, err := reply.Value()
					wantValue(t, "big", value, err, `"big"`)
				} else {
					e := wantAs[*async.MessageError](t, "big", err)
					limit, says := tt.max, "Options.MaxMessage"
					if tt.reason == async.TooDeep {
						limit, says = levels, "levels"
					}
					if e.Reason != tt.reason || e.Limit != limit || e.Command != "big" {
						t.Errorf("big: got Reason %q, Limit %d, Command %q, want %q, %d, big", e.Reason, e.Limit, e.Command, tt.reason, limit)
					}
					wantText(t, "big", err, "big", "not sent", fmt.Sprint(limit), says)
				}
				execute(t, c, "after", "{}") // only that call failed
			})
		})
	}
}

// The largest message that QEMU reads is sent. A message that is one byte
// larger is refused, and only its own call fails. (TestE9SentBounds tries all
// ways to make a message.)
func TestE9SentAtFullSize(t *testing.T) {
	t.Parallel()
	most := 64<<20 - 1 // the most that QEMU reads; see Options.MaxMessage
	if testing.Short() {
		t.Log("1 MiB in place of 64: a short run")
		most = 1<<20 - 1
	}
	client, server := qmptest.Pipe()
	sent := 0
	opts := &async.Options{SkipGreeting: true, SkipNegotiation: true}
	if testing.Short() {
		opts.MaxMessage = most
	}
	c := newClient(t, opts)
	wantNil(t, "Attach", c.Attach(t.Context(), &rigged{Conn: client, write: func(p []byte) (int, error) {
		// The bytes are only counted: a pipe for them is slow under the race detector.
		if sent += len(p); sent < most {
			return len(p), nil
		}
		_, err := io.WriteString(server, `{"return":"big","id":2}`)
		return len(p), err
	}}))
	const frame = `{"execute":"big","arguments":{"a":""},"id":1}`
	args := []byte(`{"a":"` + strings.Repeat("x", most+1-len(frame)) + `"}`)
	_, err := c.Execute(t.Context(), "big", json.RawMessage(args))
	if e := wantAs[*async.MessageError](t, "a byte more", err); e.Reason != async.TooLarge || e.Limit != most || e.Command != "big" {
		t.Errorf("a byte more: got Reason %q, Limit %d, Command %q, want %q, %d, big", e.Reason, e.Limit, e.Command, async.TooLarge, most)
	}
	wantText(t, "a byte more", err, "not sent", strconv.Itoa(most), "Options.MaxMessage")
	if len(err.Error()) > 500 {
		t.Errorf("the error text has %d bytes, want less than 500", len(err.Error()))
	}
	wantState(t, c, async.Running)
	wantNothingPending(t, c)
	if sent != 0 {
		t.Errorf("%d bytes were sent of what was refused", sent)
	}

	args = append(args[:len(args)-3], `"}`...) // one byte less
	value, err := c.Execute(t.Context(), "big", json.RawMessage(args))
	wantValue(t, "the largest", value, err, `"big"`)
	if sent != most {
		t.Errorf("%d bytes were sent, want %d", sent, most)
	}
}
