package qmpsync_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	qmpsync "github.com/goqmp/qmp/sync"
)

// The server is started again after each connection. Calls go on, with Wait within their
// time limits; OnConnect comes first on each connection; and a listener reads across the
// gap, with a notice that names the session that ended.
// Holds E14.
func TestCallsGoOnAfterTheServerWasRestarted(t *testing.T) {
	for _, wait := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			setUp := []qmptest.Step{qmptest.Expect("set-up"), qmptest.Return(`{}`)}
			var steps []qmptest.Step
			for _, more := range [][]qmptest.Step{
				{qmptest.Expect("x"), qmptest.Event("LAST", ""), qmptest.HangUp(), qmptest.Accept()},
				{qmptest.Event("FIRST", ""), qmptest.Expect("y"), qmptest.Return(`2`), qmptest.Expect("z"), qmptest.Return(`3`)},
			} {
				steps = append(steps, append(handshake(setUp...), more...)...)
			}
			c := scripted(t, &qmpsync.Options{Async: async.Options{
				Backoff: async.Every(time.Second),
				Reconnect: &async.Reconnect{Wait: wait, OnConnect: func(ctx context.Context, c async.Caller) error {
					_, err := async.Call[struct{}](ctx, c, "set-up", nil)
					return err
				}},
			}}, steps...)
			events := c.NewListener(nil)
			if err := c.Connect("script"); err != nil {
				t.Fatal(err)
			}
			_, err := c.Execute("x", nil)
			var lost *async.ExecInterruptedError
			if !errors.As(err, &lost) || !lost.Sent || lost.Session != 1 || !errors.Is(err, io.EOF) {
				t.Errorf("x: got %v, want that it was sent, and the end of session 1", err)
			}

			// In the gap.
			begin := time.Now()
			c.SetTimeout(time.Second / 4)
			_, err = c.Execute("short", nil)
			if wait {
				wantTimeout(t, err, time.Second/4)
				if !errors.As(err, &lost) || lost.Sent {
					t.Errorf("short: got %v, want that it was not sent", err)
				}
			} else {
				wantState(t, err, async.Connecting, async.Running)
				if !async.HungUp(err) {
					t.Errorf("short: %v does not say that the server has hung up", err)
				}
			}
			c.SetTimeout(time.Minute)
			if wait {
				if v, err := c.Execute("y", nil); string(v) != "2" || err != nil {
					t.Errorf("y: got %s, %v", v, err)
				}
			}

			// The listener has all of it, in order, and so has the client's own queue.
			read := map[string]func() (async.Event, error){
				"a listener": func() (async.Event, error) { return events.Next(time.Minute) },
				"WaitEvent":  func() (async.Event, error) { return c.WaitEvent(time.Minute) },
			}
			for name, next := range read {
				if ev, err := next(); err != nil || ev.Name != "LAST" || ev.Session != 1 {
					t.Errorf("%s: got %s of session %d, %v, want LAST of session 1", name, ev.Name, ev.Session, err)
				}
				if _, err := next(); !errors.As(err, &lost) || lost.Session != 1 || !errors.Is(err, io.EOF) {
					t.Errorf("%s: got %v, want the notice that session 1 has ended", name, err)
				}
				if ev, err := next(); err != nil || ev.Name != "FIRST" || ev.Session != 2 {
					t.Errorf("%s: got %s of session %d, %v, want FIRST of session 2", name, ev.Name, ev.Session, err)
				}
			}
			if took := time.Since(begin); took != time.Second {
				t.Errorf("the client was connected again after %v, want a second", took)
			}
			synctest.Wait()
			wantRunstate(t, c, async.Running)
			if !wait {
				if v, err := c.Execute("y", nil); string(v) != "2" || err != nil {
					t.Errorf("y: got %s, %v", v, err)
				}
			}
			if v, err := c.Execute("z", nil); string(v) != "3" || err != nil {
				t.Errorf("z: got %s, %v", v, err)
			}
			if err := c.Disconnect(); err != nil {
				t.Errorf("Disconnect: %v", err)
			}
		})
	}
}
