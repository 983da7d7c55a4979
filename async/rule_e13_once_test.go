// Tests of rule E13 (nothing is executed twice).
// The code that they hold: call.go and session.go.
package async_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// wantWire checks what the server was sent, for each connection.
func wantWire(t testing.TB, p *qmptest.Player, want ...string) {
	t.Helper()
	got := make([][]string, len(want))
	for _, m := range p.Received() {
		if m.Conn >= len(got) {
			t.Fatalf("got connection no. %d, want %d", m.Conn+1, len(want))
		}
		got[m.Conn] = append(got[m.Conn], m.Name)
	}
	for i := range want {
		if !slices.Equal(got[i], strings.Fields(want[i])) {
			t.Errorf("connection no. %d: the server was sent %v, want [%s]", i+1, got[i], want[i])
		}
	}
}

// However a connection ends, the next connection carries only what is sent over
// it, and nothing that the first one left.
func TestE13NothingIsSentAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		capabilities string
		steps        []qmptest.Step // after the handshake of the first connection
		calls        int            // how many are pending when it ends
		sent         int            // how many of these were sent: the first ones
		wire         string
	}{
		{name: "hung up", steps: []qmptest.Step{qmptest.Expect("victim-0"), qmptest.HangUp()}, calls: 1, sent: 1, wire: "victim-0"},
		{name: "reset", steps: []qmptest.Step{qmptest.Expect("victim-0"), qmptest.Reset()}, calls: 1, sent: 1, wire: "victim-0"},
		{name: "garbage", steps: []qmptest.Step{qmptest.Expect("victim-0"), qmptest.Send("?"), qmptest.Stall()}, calls: 1, sent: 1, wire: "victim-0"},
		{name: "unread", steps: []qmptest.Step{qmptest.Pause(time.Second), qmptest.HangUp()}, calls: 3, sent: 3},
		{
			name: "pipelined", steps: []qmptest.Step{qmptest.Expect("victim-0"), qmptest.Expect("victim-1"), qmptest.HangUp()},
			calls: 2, sent: 2, wire: "victim-0 victim-1",
		},
		{
			name: "waiting at the window", capabilities: "oob", steps: []qmptest.Step{qmptest.Expect("victim-0"), qmptest.Expect("victim-1"), qmptest.Pause(time.Second), qmptest.HangUp()},
			calls: 12, sent: 8, wire: "victim-0 victim-1",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, slices.Concat(
					connected(tt.capabilities, tt.steps...), []qmptest.Step{qmptest.Accept()},
					connected(tt.capabilities, qmptest.ExpectNothing(time.Hour/2), qmptest.Expect("after"), qmptest.Return(`{}`)))...)
				c := dial(t, p, nil)
				var calls []<-chan result
				for i := range tt.calls {
					calls = append(calls, start(t.Context(), c, async.Command{Name: fmt.Sprint("victim-", i)}))
					synctest.Wait()
				}
				for i, call := range calls {
					wantInterrupted(t, fmt.Sprint("victim-", i), (<-call).err, i < tt.sent)
				}
				if err := c.Disconnect(t.Context()); err == nil {
					t.Error("Disconnect: got no cause")
				}
				connect(t, c)
				time.Sleep(45 * time.Minute) // of the bubble's clock
				execute(t, c, "after", "{}")
				wantWire(t, p, "qmp_capabilities "+tt.wire, "qmp_capabilities after")
			})
		})
	}
}

// A command that was withdrawn or canceled is not sent later, neither over this
// connection nor over the next.
func TestE13CancelledIsNotSentAgain(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := play(t, qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: 512}, slices.Concat(
			connected("", qmptest.Expect("sent"), qmptest.AwaitMark("read on"),
				qmptest.Expect("big"), qmptest.Return(`{}`), qmptest.Expect("after"), qmptest.Return(`{}`), qmptest.ExpectEOF(), qmptest.Accept()),
			connected("", qmptest.Expect("after"), qmptest.Return(`{}`)))...)
		c := dial(t, p, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Execute(ctx, "sent", nil)
		wantInterrupted(t, "sent", err, true, context.DeadlineExceeded)
		big := start(t.Context(), c, async.Command{Name: "big", Args: map[string]any{"x": strings.Repeat("x", 4096)}})
		synctest.Wait()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Execute(ctx, "unsent", nil)
		wantInterrupted(t, "unsent", err, false, context.DeadlineExceeded)
		p.Mark("read on")
		wantNil(t, "big", (<-big).err)
		execute(t, c, "after", "{}")
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		connect(t, c)
		execute(t, c, "after", "{}")
		wantWire(t, p, "qmp_capabilities sent big after", "qmp_capabilities after")
	})
}

// A write that failed is not repeated, and no other message is written after
// it: it would begin in the middle of the first.
func TestE13FailedWriteIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, partly := range []bool{false, true} {
		t.Run(fmt.Sprintf("partly=%v", partly), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, slices.Concat(
					connected("", qmptest.Stall(), qmptest.Accept()),
					connected("", qmptest.Expect("after"), qmptest.Return(`{}`)))...)
				broken := errors.New("the cable is cut")
				conns, failures := 0, 0
				c := dial(t, p, &async.Options{Dialer: rig(p, func(conn net.Conn) net.Conn {
					if conns++; conns > 1 {
						return conn
					}
					writes := 0
					return &rigged{Conn: conn, write: func(b []byte) (int, error) {
						if writes++; writes == 1 {
							return conn.Write(b)
						}
						failures++
						if partly {
							n, _ := conn.Write(b[:len(b)/2])
							return n, broken
						}
						return 0, broken
					}}
				})})
				first := start(t.Context(), c, async.Command{Name: "victim"})
				synctest.Wait()
				second := start(t.Context(), c, async.Command{Name: "victim"})
				err := (<-first).err
				// A net.Conn does not tell whether a failed Write wrote something.
				wantIs(t, "the first", err, broken)
				wantAs[*async.ExecInterruptedError](t, "the first", err)
				wantInterrupted(t, "the second", (<-second).err, false, broken)
				wantIs(t, "Disconnect", c.Disconnect(t.Context()), broken)
				connect(t, c)
				execute(t, c, "after", "{}")
				if failures != 1 {
					t.Errorf("writes to a broken connection: got %d, want the one that failed", failures)
				}
				wantWire(t, p, "qmp_capabilities", "qmp_capabilities after")
			})
		})
	}
}

// The engine does not begin its ids again with a new connection. So a late
// reply to a command of the last connection answers no command of this one, and
// not the negotiation.
func TestE13RepliesOfTheLastConnectionAnswerNobody(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, slices.Concat(
			connected("", qmptest.Expect("a"), qmptest.Return(`{}`), qmptest.Expect("b"), qmptest.HangUp(), qmptest.Accept()),
			[]qmptest.Step{
				qmptest.Greet(),
				qmptest.ExpectRaw(`{"execute":"qmp_capabilities","arguments":{},"id":4}`),
				qmptest.Reply(`{"return": "old", "id": 2}`),
				qmptest.Reply(`{"error": {"class": "GenericError", "desc": "old"}, "id": 3}`),
				qmptest.Pause(time.Second),
				qmptest.Return(`{}`),
				qmptest.ExpectRaw(`{"execute":"after","id":5}`),
				qmptest.Reply(`{"return": "old", "id": 2}`),
				qmptest.Pause(time.Second),
				qmptest.Return(`"new"`),
			})...)
		c := dial(t, p, nil)
		execute(t, c, "a", "{}")
		_, err := c.Execute(t.Context(), "b", nil)
		wantInterrupted(t, "b", err, true)
		c.Disconnect(t.Context())
		connect(t, c)
		execute(t, c, "after", `"new"`)
	})
}
