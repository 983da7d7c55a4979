// Tests of rule E5 (nobody waits for a listener that is not read): queues with and
// without a limit, what was dropped, and the history.
// The code that they hold: listener.go.
package async_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A listener that nobody reads slows nothing down. Without a limit it loses no
// event.
func TestE5UnreadListenerHoldsNothingUp(t *testing.T) {
	t.Parallel()
	const burst, rounds = 200, 20
	var steps []qmptest.Step
	for range rounds {
		steps = append(steps, qmptest.Expect("x"), events(burst), qmptest.Return(`{}`))
	}
	c := dial(t, memory(t, connected("", steps...)...), nil)
	unread, bounded := c.NewListener(nil), c.NewListener(&async.ListenerOptions{Limit: 1})
	for range rounds {
		execute(t, c, "x", "{}")
	}
	if got := unread.Len(); got != rounds*burst {
		t.Errorf("unbounded listener: got %d unread events, want %d", got, rounds*burst)
	}
	if got := bounded.Len(); got != 1 {
		t.Errorf("bounded listener: got %d unread events, want 1", got)
	}
}

// When the queue is over its limit, the oldest events are dropped. The next
// read says once how many.
func TestE5Overflow(t *testing.T) {
	t.Parallel()
	type next func(l *async.EventListener) (string, error)
	for name, read := range map[string]next{
		"Next": func(l *async.EventListener) (string, error) {
			ev, err := l.Next(t.Context())
			return ev.Name, err
		},
		"TryNext": func(l *async.EventListener) (string, error) {
			ev, ok, err := l.TryNext()
			if ok != (err == nil) {
				t.Errorf("TryNext: got ok %v with error %v", ok, err)
			}
			return ev.Name, err
		},
		"All": func(l *async.EventListener) (string, error) {
			for ev, err := range l.All(t.Context()) {
				return ev.Name, err
			}
			return "", nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := memory(t, connected("",
				qmptest.Expect("x"), events(10), qmptest.Return(`{}`),
				qmptest.Expect("x"), events(4), qmptest.Return(`{}`),
				qmptest.Expect("x"), events(3), qmptest.Return(`{}`))...)
			c := dial(t, p, nil)
			l := c.NewListener(&async.ListenerOptions{Limit: 3})
			reads := func(want string) {
				t.Helper()
				for _, want := range strings.Fields(want) {
					if got, err := read(l); got != want || err != nil {
						t.Errorf("got %q and error %v, want %s", got, err, want)
					}
				}
			}
			loses := func(want int) {
				t.Helper()
				_, err := read(l)
				if e := wantAs[*async.OverflowError](t, "over the limit", err); e.Lost != want {
					t.Errorf("over the limit: got %d lost, want %d", e.Lost, want)
				}
				wantText(t, "over the limit", err, fmt.Sprintf("the %d oldest events were dropped", want))
			}
			execute(t, c, "x", "{}")
			loses(7)
			reads("E7 E8")
			execute(t, c, "x", "{}") // one unread, four more
			loses(2)
			reads("E1 E2 E3")
			execute(t, c, "x", "{}") // just at the limit
			reads("E0 E1 E2")
		})
	}
}

func TestE5DrainStopsAtANotice(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, slices.Concat(
			connected("", qmptest.Expect("x"), events(2), qmptest.HangUp(), qmptest.Accept()),
			connected("", qmptest.Expect("x"), events(1), qmptest.HangUp(), qmptest.Accept()),
			connected("", qmptest.Expect("x"), events(3), qmptest.Return(`{}`)))...)
		c := newClient(t, &async.Options{Dialer: p.Dial})
		l := c.NewListener(&async.ListenerOptions{Limit: 5})
		for range 2 {
			connect(t, c)
			c.Execute(t.Context(), "x", nil)
			wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
		}
		connect(t, c)
		execute(t, c, "x", "{}") // the sixth event: the first one is dropped

		_, err := l.Drain()
		wantAs[*async.OverflowError](t, "first Drain", err)
		wantNames(t, "second Drain", drained(t, l), "E1")
		_, err = l.Drain()
		wantAs[*async.ExecInterruptedError](t, "third Drain", err)
		wantNames(t, "fourth Drain", drained(t, l), "E0")
		_, err = l.Drain()
		wantAs[*async.ExecInterruptedError](t, "fifth Drain", err)
		wantNames(t, "sixth Drain", drained(t, l), "E0 E1 E2")
		wantNames(t, "last Drain", drained(t, l), "")
	})
}

// A bounded listener stays bounded, however often a connection ends.
func TestE5EndsAreBoundedToo(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		const rounds = 5
		var steps []qmptest.Step
		for i := range rounds {
			if i > 0 {
				steps = append(steps, qmptest.Accept())
			}
			steps = append(steps, connected("", qmptest.Pause(time.Second), qmptest.HangUp())...)
		}
		c := newClient(t, &async.Options{Dialer: memory(t, steps...).Dial})
		l := c.NewListener(&async.ListenerOptions{Limit: 2})
		for range rounds {
			connect(t, c)
			time.Sleep(time.Minute)
			wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
		}
		got := 0
		for {
			if _, _, err := l.TryNext(); err == nil {
				break
			}
			got++
		}
		if got != 2 {
			t.Errorf("a listener with limit 2 has %d ends in it, want 2", got)
		}
	})
}

// The history is off by default. It has its own limit, and keeps events that
// have been read, or that the queue has dropped.
func TestE5History(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("", qmptest.Expect("x"), events(10), qmptest.Return(`{}`))...)
	c := dial(t, p, nil)
	off, on := c.NewListener(nil), c.NewListener(&async.ListenerOptions{Limit: 2, History: 4})
	few := c.NewListener(&async.ListenerOptions{History: 100}, "E1", "E2")
	execute(t, c, "x", "{}")
	wantNames(t, "off by default", names(off.History()), "")
	wantNames(t, "limit of its own", names(on.History()), eventNames(6, 10))
	_, err := on.Drain()
	wantAs[*async.OverflowError](t, "Drain", err)
	drained(t, on)
	wantNames(t, "read or not", names(on.History()), eventNames(6, 10))
	wantNames(t, "only what was queued", names(few.History()), "E1 E2")
}
