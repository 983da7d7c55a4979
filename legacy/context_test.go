package legacy_test

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

// Do returns the reply's bytes, and an error reply without an error of its own.
func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := connected(t,
			qmptest.Expect("x"), qmptest.Reply(`{"return": {"z": 1.0, "a": 2}, "id": $id}`),
			qmptest.Expect("y"), qmptest.ReturnError("GenericError", "no"),
			qmptest.Expect("slow"))
		reply, err := q.Do(t.Context(), async.Command{Name: "x"})
		if value, valueErr := reply.Value(); err != nil || valueErr != nil || string(value) != `{"z": 1.0, "a": 2}` {
			t.Errorf("%s, %v, %v", value, err, valueErr)
		}
		reply, err = q.Do(t.Context(), async.Command{Name: "y"})
		wantNoError(t, err)
		wantError[*async.ExecuteError](t, reply.Err())

		// The context is the limit.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = q.Do(ctx, async.Command{Name: "slow"})
		wantError[*async.ExecInterruptedError](t, err)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// Close returns an end that Do or NextEvent has returned.
func TestCloseAfterCallsWithContexts(t *testing.T) {
	for name, call := range map[string]func(*testing.T, context.Context) error{
		"Do": func(t *testing.T, ctx context.Context) error {
			q := connected(t, qmptest.Expect("x"), qmptest.HangUp())
			_, err := q.Do(ctx, async.Command{Name: "x"})
			wantError[*async.ExecInterruptedError](t, err)
			return q.Close()
		},
		"NextEvent": func(t *testing.T, ctx context.Context) error {
			q := connected(t, qmptest.Pause(time.Second), qmptest.HangUp())
			_, err := q.NextEvent(ctx)
			wantError[*async.ExecInterruptedError](t, err)
			return q.Close()
		},
		"TryEvent": func(t *testing.T, ctx context.Context) error {
			q := connected(t, qmptest.Event("A", ""), qmptest.Pause(time.Second), qmptest.HangUp())
			time.Sleep(time.Minute) // by the bubble's clock
			if ev, ok := q.TryEvent(); !ok || ev.Name != "A" {
				t.Errorf("%v, %v", ev.Name, ok)
			}
			return q.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := call(t, t.Context()); !errors.Is(err, io.EOF) {
					t.Errorf("Close: %v", err)
				}
			})
		})
	}
}

func TestNextEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := connected(t, qmptest.Expect("x"), qmptest.Send(`{"event": "A", "n": 1.0}`), qmptest.Return(`{}`))
		if _, ok := q.TryEvent(); ok {
			t.Error("an event in an empty queue")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := q.NextEvent(ctx)
		wantError[*async.EventWaitError](t, err)
		execute(t, q, "x")
		// An event that is in the queue comes also after the context has ended.
		ev, err := q.NextEvent(ctx)
		if err != nil || string(ev.Raw()) != `{"event": "A", "n": 1.0}` {
			t.Errorf("%s, %v", ev.Raw(), err)
		}
		wantNoError(t, q.Close())
		_, err = q.NextEvent(t.Context())
		wantState(t, err, async.Idle, async.Running)
	})
}

// The notice of a connection that ended is not an event of this package.
func TestNextEventSkipsNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := scripted(t, nil, join(handshake(qmptest.Pause(time.Second), qmptest.HangUp()), handshake(qmptest.Event("B", "")))...)
		connect(t, q)
		time.Sleep(time.Minute) // by the bubble's clock
		wantNoError(t, q.Close())
		connect(t, q)
		if ev, err := q.NextEvent(t.Context()); err != nil || ev.Name != "B" {
			t.Errorf("%v, %v", ev.Name, err)
		}
	})
}
