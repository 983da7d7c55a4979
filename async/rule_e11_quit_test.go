// Tests of rule E11 (a reply that has arrived beats the hang-up after it): the reply to
// quit, and the end of file or reset that follows it.
// The code that they hold: receive.go (quit) and session.go (end).
package async_test

import (
	"context"
	"io"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// The reply to quit is never lost, and a reset after it counts as an end of
// file. After any other command a reset is a reset.
func TestE11ResetBehindQuit(t *testing.T) {
	t.Parallel()
	reset := []error{syscall.ECONNRESET}
	tests := []struct {
		name  string
		cmd   async.Command
		reply []qmptest.Step
		want  []error
	}{
		{"quit", async.Command{Name: "quit"}, []qmptest.Step{qmptest.Return(`{}`)}, nil},
		{"quit with an id", async.Command{Name: "quit", ID: "bye"}, []qmptest.Step{qmptest.Return(`{}`)}, nil},
		{"quit as an object", async.Command{Object: map[string]any{"execute": "quit"}}, []qmptest.Step{qmptest.Return(`{}`)}, nil},
		{"quit and its events", async.Command{Name: "quit"}, []qmptest.Step{qmptest.Return(`{}`), qmptest.Event("SHUTDOWN", "")}, nil},
		{"quit that is refused", async.Command{Name: "quit"}, []qmptest.Step{qmptest.ReturnError("GenericError", "no")}, reset},
		{"quit without a reply", async.Command{Name: "quit"}, nil, reset},
		{"another command", async.Command{Name: "stop"}, []qmptest.Step{qmptest.Return(`{}`)}, reset},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, connected("", slices.Concat(
					[]qmptest.Step{qmptest.ExpectFunc("the command", func(qmptest.Message) error { return nil })}, tt.reply, []qmptest.Step{qmptest.Reset()})...)...)
				c := dial(t, p, nil)
				reply, err := c.Do(t.Context(), tt.cmd)
				if tt.reply != nil {
					wantNil(t, "the command", err)
					if len(reply.Raw()) == 0 {
						t.Error("the command: got an empty reply")
					}
				} else {
					wantInterrupted(t, "the command", err, true, tt.want...)
				}
				synctest.Wait()
				err = c.Disconnect(t.Context())
				if tt.want == nil {
					if err != io.EOF {
						t.Errorf("Disconnect: got %v (%T), want io.EOF", err, err)
					}
				} else {
					wantIs(t, "Disconnect", err, tt.want...)
				}
			})
		})
	}
}

// A caller gets its reply although the server hangs up right after it, on every
// kind of connection.
func TestE11ReplyBeatsTheHangUp(t *testing.T) {
	t.Parallel()
	for _, network := range []string{qmptest.Unix, qmptest.TCP, qmptest.Memory} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			const rounds = 30
			var steps []qmptest.Step
			for i := range rounds {
				hangUp := qmptest.HangUp()
				if i%2 == 1 && network != qmptest.Unix {
					hangUp = qmptest.Reset()
				}
				steps = append(steps, qmptest.Accept())
				steps = append(steps, connected("oob", qmptest.Expect("quit"), qmptest.Return(`{}`), hangUp)...)
			}
			p := play(t, qmptest.ScriptOptions{Network: network}, steps...)
			c := newClient(t, &async.Options{Dialer: p.Dial})
			for range rounds {
				connect(t, c)
				execute(t, c, "quit", "{}")
				if err := c.Disconnect(t.Context()); err != nil && err != io.EOF { // nil if this side was first
					t.Errorf("Disconnect: got %v, want an end of file", err)
				}
			}
		})
	}
}

// The caller of quit has given up. When the reply comes, a reset after it still
// counts as an end of file.
func TestE11ResetBehindAQuitThatWasGivenUp(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("", qmptest.Expect("quit"), qmptest.Pause(2*time.Second), qmptest.Return(`{}`), qmptest.Reset())...)
		c := dial(t, p, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Execute(ctx, "quit", nil)
		wantInterrupted(t, "quit", err, true, context.DeadlineExceeded)
		time.Sleep(time.Minute)
		if err := c.Disconnect(t.Context()); err != io.EOF {
			t.Errorf("Disconnect: got %v, want io.EOF", err)
		}
	})
}
