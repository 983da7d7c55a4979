package qmpsync_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	qmpsync "github.com/goqmp/qmp/sync"
)

func TestWaitEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connected(t, nil, qmptest.Expect("x"),
			qmptest.Event("A", `{"n":1}`), qmptest.Event("B", `{"n":2}`), qmptest.Event("A", `{"n":3}`),
			qmptest.Event("C", `{"n":4}`), qmptest.Event("D", `{"n":5}`), qmptest.Return(`{}`),
			qmptest.Pause(time.Minute), qmptest.Event("E", `{"n":6}`))
		if _, err := c.Execute("x", nil); err != nil {
			t.Fatal(err)
		}
		_, err := c.WaitEvent(-1)
		wantTimeout(t, err, 0)

		wait := func(want string, names ...string) {
			t.Helper()
			ev, err := c.WaitEvent(0, names...)
			if string(ev.Data) != want || err != nil {
				t.Errorf("WaitEvent(%q): %s %s, %v; want %s", names, ev.Name, ev.Data, err, want)
			}
		}
		wait(`{"n": 2}`, "B", "C") // it came before the call; the first A is discarded
		wait(`{"n": 3}`)
		ev, err := c.WaitEventFunc(0, func(ev async.Event) bool { return ev.Name > "C" })
		if ev.Name != "D" || err != nil {
			t.Errorf("WaitEventFunc: %v, %v", ev.Name, err)
		}
		start := time.Now()
		_, err = c.WaitEvent(time.Second, "E")
		wantTimeout(t, err, time.Second)
		wait(`{"n": 6}`, "E")
		if took := time.Since(start); took != time.Minute {
			t.Errorf("the event came after %v, want a minute", took)
		}
	})
}

// WaitEventFunc ends at its limit even if unwanted events come faster than match
// returns.
func TestWaitEventLimitAmongEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var noise []qmptest.Step
		for range 1000 {
			noise = append(noise, qmptest.Event("NOISE", ""), qmptest.Pause(10*time.Millisecond))
		}
		c := connected(t, nil, noise...)
		start := time.Now()
		_, err := c.WaitEventFunc(time.Second, func(async.Event) bool {
			time.Sleep(20 * time.Millisecond) // as a match would that asks the machine something
			return false
		})
		wantTimeout(t, err, time.Second)
		if took := time.Since(start); took > time.Second+20*time.Millisecond {
			t.Errorf("it took %v, want at most a second and one call of match", took)
		}
		time.Sleep(time.Minute) // by then the script has ended
	})
}

func TestWaitEventAcrossConnections(t *testing.T) {
	c := scripted(t, nil, append(handshake(
		qmptest.Expect("x"), qmptest.Event("A", ""), qmptest.Return(`{}`), qmptest.HangUp(), qmptest.Accept()),
		handshake(qmptest.Expect("y"), qmptest.Event("B", ""), qmptest.Return(`{}`))...)...)
	_, err := c.WaitEvent(0)
	wantState(t, err, async.Idle, async.Running)
	if err := c.Connect("script"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Execute("x", nil); err != nil {
		t.Fatal(err)
	}
	if ev, err := c.WaitEvent(0); ev.Name != "A" || err != nil {
		t.Errorf("event %q, %v", ev.Name, err)
	}
	// The notice of the end is returned once, in its place.
	var ended *async.ExecInterruptedError
	if _, err = c.WaitEvent(0, "B"); !errors.As(err, &ended) || !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want an async.ExecInterruptedError around io.EOF", err)
	}
	_, err = c.WaitEvent(0, "B")
	wantState(t, err, async.Disconnecting, async.Running)
	if err := c.Disconnect(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if err := c.Connect("script"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Execute("y", nil); err != nil {
		t.Fatal(err)
	}
	if ev, err := c.WaitEvent(0, "B"); ev.Name != "B" || err != nil {
		t.Errorf("event %q, %v", ev.Name, err)
	}
}

// Disconnect ends a call that waits for an event.
func TestDisconnectEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connected(t, nil)
		failed := make(chan error)
		go func() {
			_, err := c.WaitEvent(0)
			failed <- err
		}()
		synctest.Wait()
		if err := c.Disconnect(); err != nil {
			t.Error(err)
		}
		if err := <-failed; !errors.Is(err, async.ErrClosed) {
			t.Errorf("error %v, want async.ErrClosed", err)
		}
	})
}

func TestEventLimit(t *testing.T) {
	const sent = qmpsync.DefaultEventLimit + 10
	for _, tt := range []struct {
		name        string
		limit, kept int
	}{
		{"default", 0, qmpsync.DefaultEventLimit},
		{"set", 3, 3},
		{"off", -1, sent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			steps := []qmptest.Step{qmptest.Expect("x")}
			for range sent {
				steps = append(steps, qmptest.Event("A", ""))
			}
			steps = append(steps, qmptest.Event("B", ""), qmptest.Return(`{}`))
			c := connected(t, &qmpsync.Options{EventLimit: tt.limit}, steps...)
			if _, err := c.Execute("x", nil); err != nil {
				t.Fatal(err)
			}
			want := min(tt.kept, sent+1)
			if tt.limit < 0 {
				want = sent + 1
			}
			if got := c.Events().Len(); got != want {
				t.Errorf("%d events kept, want %d", got, want)
			}
			// Dropped events do not make WaitEvent fail.
			if ev, err := c.WaitEvent(0, "B"); ev.Name != "B" || err != nil {
				t.Errorf("event %q, %v", ev.Name, err)
			}
		})
	}
}

func TestListener(t *testing.T) {
	c := connected(t, nil, qmptest.Expect("x"),
		qmptest.Event("A", ""), qmptest.Event("B", ""), qmptest.Event("A", ""), qmptest.Event("A", ""),
		qmptest.Return(`{}`), qmptest.HangUp())
	l := c.NewListener(&async.ListenerOptions{Limit: 2, History: 3}, "A")
	defer l.Close()
	if _, err := c.Execute("x", nil); err != nil {
		t.Fatal(err)
	}
	if l.Len() != 2 || len(l.History()) != 3 {
		t.Errorf("%d unread, %d in the history; want 2 and 3", l.Len(), len(l.History()))
	}
	var dropped *async.OverflowError
	if _, err := l.Next(0); !errors.As(err, &dropped) || dropped.Lost != 1 {
		t.Errorf("error %v, want an async.OverflowError of 1", err)
	}
	if ev, ok, err := l.TryNext(); ev.Name != "A" || !ok || err != nil {
		t.Errorf("TryNext: %q, %v, %v", ev.Name, ok, err)
	}
	if evs, err := l.Drain(); len(evs) != 1 || err != nil {
		t.Errorf("Drain: %v, %v", evs, err)
	}
	var errs []error
	for ev, err := range c.Events().All() {
		if err != nil {
			errs = append(errs, err)
		} else if ev.Name == "" {
			t.Error("an event without a name")
		}
	}
	var ended *async.ExecInterruptedError
	if len(errs) != 2 || !errors.As(errs[0], &ended) {
		t.Fatalf("errors %v, want an async.ExecInterruptedError and an async.StateError", errs)
	}
	wantState(t, errs[1], async.Disconnecting, async.Running)
	if l.Async() == nil || l.Async().Len() != 0 {
		t.Error("Async returns another queue")
	}
	l.Close()
	if _, err := l.Next(0); !errors.As(err, &ended) {
		t.Errorf("the end is not in the closed listener: %v", err)
	}
	if _, err := l.Next(0); !errors.Is(err, async.ErrClosed) {
		t.Errorf("error %v, want async.ErrClosed", err)
	}
}
