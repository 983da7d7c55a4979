// Tests of rule E11 (Disconnect always completes): a Disconnect while a message is
// being written.
// The code that they hold: disconnect.go and write.go.
package async_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// The peer reads. Disconnect finishes the message that is being written, and
// begins no other.
func TestE11WhatIsBeingWrittenIsFinished(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := play(t, qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: 512}, connected("",
			qmptest.AwaitMark("read on"),
			qmptest.Expect("big", fmt.Sprintf(`{"x":%q}`, strings.Repeat("x", 4096))),
			qmptest.ExpectEOF())...)
		c := dial(t, p, nil)
		big := start(t.Context(), c, async.Command{Name: "big", Args: map[string]any{"x": strings.Repeat("x", 4096)}})
		synctest.Wait()
		waiting := start(t.Context(), c, async.Command{Name: "waiting"})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		ended := do(func() error { return c.Disconnect(ctx) })
		synctest.Wait()
		wantState(t, c, async.Disconnecting)
		wantInterrupted(t, "waiting", (<-waiting).err, false, async.ErrClosed) // at once
		_, err := c.Execute(t.Context(), "later", nil)
		wantAs[*async.StateError](t, "later", err)
		select {
		case err := <-ended:
			t.Errorf("Disconnect did not wait for the message being written (%v)", err)
		default:
		}
		p.Mark("read on")
		wantNil(t, "Disconnect", <-ended)
		wantInterrupted(t, "big", (<-big).err, true, async.ErrClosed)
		wantState(t, c, async.Idle)
	})
}

// A reply that comes while Disconnect waits still counts.
func TestE11ReplyWhileDisconnecting(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := play(t, qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: 512}, connected("",
			qmptest.Expect("first"), qmptest.AwaitMark("go on"), qmptest.Return(`"first"`), qmptest.Pause(time.Second),
			qmptest.Expect("big"))...)
		c := dial(t, p, nil)
		first := start(t.Context(), c, async.Command{Name: "first"})
		synctest.Wait()
		big := start(t.Context(), c, async.Command{Name: "big", Args: map[string]any{"x": strings.Repeat("x", 4096)}})
		synctest.Wait()
		ended := do(func() error { return c.Disconnect(t.Context()) })
		synctest.Wait()
		p.Mark("go on")
		got := <-first
		wantValue(t, "first", got.value, got.err, `"first"`)
		wantNil(t, "Disconnect", <-ended)
		wantInterrupted(t, "big", (<-big).err, true, async.ErrClosed)
	})
}

// When its context ends, Disconnect cuts off the message that is being written.
// Close cuts it off at once.
func TestE11ContextCutsABlockedWrite(t *testing.T) {
	t.Parallel()
	why := errors.New("the user canceled")
	for _, tt := range []struct {
		name string
		end  func(*async.Client) error
		took time.Duration
		want []error
	}{
		{"deadline", func(c *async.Client) error {
			ctx, cancel := context.WithTimeoutCause(context.Background(), 3*time.Second, why)
			defer cancel()
			return c.Disconnect(ctx)
		}, 3 * time.Second, []error{context.DeadlineExceeded, why}},
		{"cancel", func(c *async.Client) error {
			ctx, cancel := context.WithCancelCause(context.Background())
			time.AfterFunc(3*time.Second, func() { cancel(why) })
			return c.Disconnect(ctx)
		}, 3 * time.Second, []error{context.Canceled, why}},
		{"ended context", func(c *async.Client) error {
			ctx, cancel := context.WithCancelCause(context.Background())
			cancel(why)
			return c.Disconnect(ctx)
		}, 0, []error{context.Canceled, why}},
		{"Close", (*async.Client).Close, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := play(t, qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: 512}, connected("",
					qmptest.AwaitMark("read on"),
					qmptest.Do("read to the end", func(s *qmptest.Peer) error {
						conn, err := s.Conn()
						if err != nil {
							return err
						}
						got, err := io.ReadAll(conn)
						if len(got) == 0 || len(got) > 512 {
							return fmt.Errorf("got %d bytes and %v, want what went into the pipe", len(got), err)
						}
						return err
					}))...)
				c := dial(t, p, &async.Options{Nickname: "vm1"})
				big := start(context.Background(), c, async.Command{Name: "big", Args: map[string]any{"x": strings.Repeat("x", 4096)}})
				synctest.Wait()
				begin := time.Now()
				err := tt.end(c)
				if took := time.Since(begin); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if tt.want == nil {
					wantNil(t, "the end", err)
				} else {
					wantIs(t, "the end", err, tt.want...)
					wantText(t, "the end", err, "vm1", "disconnect")
				}
				wantState(t, c, async.Idle)
				wantInterrupted(t, "big", (<-big).err, true, tt.want...)
				p.Mark("read on")
			})
		})
	}
}

// Where no message is being written, Disconnect has nothing to wait for, and a
// context that has ended makes no difference.
func TestE11EndedContextOfAHealthyDisconnect(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := dial(t, memory(t, connected("", qmptest.Expect("x"))...), nil)
		call := start(t.Context(), c, async.Command{Name: "x"})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantNil(t, "Disconnect", c.Disconnect(ctx))
		wantInterrupted(t, "x", (<-call).err, true, async.ErrClosed)
		wantState(t, c, async.Idle)
	})
}
