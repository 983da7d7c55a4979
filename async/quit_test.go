// Tests of Quit and HungUp.
// The code that they hold: end.go and disconnect.go.
package async_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

func TestQuit(t *testing.T) {
	t.Parallel()
	told := []qmptest.Step{qmptest.Expect("quit"), qmptest.Return(`{}`)}
	for _, tt := range []struct {
		name  string
		steps []qmptest.Step
		limit time.Duration
		check func(t *testing.T, err error) // nil: there is no error
		state async.Runstate
	}{
		{name: "end of file", steps: append(told, qmptest.HangUp())},
		{name: "end of file later", steps: append(told, qmptest.Pause(time.Minute), qmptest.HangUp())},
		{name: "reset", steps: append(told, qmptest.Reset())},
		{name: "end of file before the reply", steps: []qmptest.Step{qmptest.Expect("quit"), qmptest.HangUp()}},
		{name: "reset before the reply", steps: []qmptest.Step{qmptest.Expect("quit"), qmptest.Reset()}},
		{name: "refused", steps: []qmptest.Step{qmptest.Expect("quit"), qmptest.ReturnError("CommandNotFound", "no")}, state: async.Running, check: func(t *testing.T, err error) {
			wantAs[*async.ExecuteError](t, "Quit", err)
		}},
		{name: "no reply", limit: time.Second, steps: []qmptest.Step{qmptest.Expect("quit"), qmptest.Stall()}, state: async.Running, check: func(t *testing.T, err error) {
			wantInterrupted(t, "Quit", err, true, context.DeadlineExceeded)
		}},
		{name: "no end", limit: time.Second, steps: append(told, qmptest.Stall()), state: async.Running, check: func(t *testing.T, err error) {
			wantInterrupted(t, "Quit", err, true, context.DeadlineExceeded)
			wantText(t, "Quit", err, "answered", "has not ended the connection")
		}},
		{name: "garbage after the reply", steps: append(told, qmptest.Send("x")), state: async.Disconnecting, check: func(t *testing.T, err error) {
			wantAs[*async.MessageError](t, "Quit", err)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				c := dial(t, memory(t, connected("", tt.steps...)...), nil)
				limit := tt.limit
				if limit == 0 {
					limit = time.Hour
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				err := c.Quit(ctx)
				wantState(t, c, tt.state)
				if tt.check != nil {
					tt.check(t, err)
					return
				}
				wantNil(t, "Quit", err)
				wantNil(t, "Close after that", c.Close())
				wantAs[*async.StateError](t, "Quit again", c.Quit(ctx))
			})
		})
	}
}

// Other goroutines may wait for events, execute, disconnect and quit at the
// same time.
func TestQuitAndOthers(t *testing.T) {
	t.Parallel()
	t.Run("a command that waits", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			c := dial(t, memory(t, connected("", qmptest.Expect("slow"), qmptest.Expect("quit"), qmptest.Return(`{}`), qmptest.Reset())...), nil)
			slow := start(t.Context(), c, async.Command{Name: "slow"})
			synctest.Wait()
			wantNil(t, "Quit", c.Quit(t.Context()))
			wantInterrupted(t, "slow", (<-slow).err, true, io.EOF) // a reset after the reply to quit counts as io.EOF
		})
	})
	t.Run("a Disconnect", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			c := dial(t, memory(t, connected("", qmptest.Expect("quit"), qmptest.Return(`{}`), qmptest.Stall())...), nil)
			quit := do(func() error { return c.Quit(t.Context()) })
			synctest.Wait()
			wantNil(t, "Disconnect", c.Disconnect(t.Context()))
			wantInterrupted(t, "Quit", <-quit, true, async.ErrClosed)
		})
	})
	t.Run("a second Quit", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			c := dial(t, memory(t, connected("", qmptest.Expect("quit"), qmptest.Expect("quit"), qmptest.HangUp())...), nil)
			first := do(func() error { return c.Quit(t.Context()) })
			second := do(func() error { return c.Quit(t.Context()) })
			for _, err := range []error{<-first, <-second} {
				if _, late := errors.AsType[*async.StateError](err); !late {
					wantNil(t, "Quit", err)
				}
			}
			wantState(t, c, async.Idle)
		})
	})
}
