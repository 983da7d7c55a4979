// Tests of what listeners cost: that does not depend on how many there are, or how many
// of them wait. They count; nothing depends on speed.
// The code that they hold: hearing.go, listener.go and eventqueue.go.
package async_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// Making and closing a listener allocates the same, however many there are.
func TestE5ManyListenersCostNoMore(t *testing.T) {
	for _, names := range [][]string{nil, {"A", "B"}} {
		c := newClient(t, nil)
		once := func() float64 {
			return testing.AllocsPerRun(20, func() { c.NewListener(nil, names...).Close() })
		}
		c.NewListener(nil, names...)
		few := once()
		for range 5000 {
			c.NewListener(nil, names...)
		}
		if many := once(); many > few+1 {
			t.Errorf("names %q: %v allocations with 5,000 listeners, %v with one", names, many, few)
		}
	}
}

// A listener that was closed, and one that was closed twice, gets nothing. The others
// get the events with their names, each once and in order.
func TestE5ListenersJoinAndLeave(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("", qmptest.Expect("x"),
			qmptest.Send(`{"event":"A"}{"event":"B"}{"event":"A"}{"event":"C"}{"ev\u0065nt":"\u0041"}`), qmptest.Return(`{}`))...)
		c := newClient(t, &async.Options{Dialer: p.Dial})
		wants := map[*async.EventListener]string{
			c.NewListener(nil):                          "[A B A C A]",
			c.NewListener(nil, "A"):                     "[A A A]",
			c.NewListener(nil, "B", "A"):                "[A B A A]",
			c.NewListener(nil, "D"):                     "[]",
			c.NewListener(nil, "C", "C"):                "[C]",
			c.NewListener(&async.ListenerOptions{}, ""): "[]",
		}
		for range 3 {
			for _, names := range [][]string{nil, {"A"}, {"A", "B"}} {
				l := c.NewListener(nil, names...)
				l.Close()
				l.Close()
				wants[l] = "[]"
			}
		}
		connect(t, c)
		execute(t, c, "x", "{}")
		for l, want := range wants {
			events, err := l.Drain()
			wantNil(t, "Drain", err)
			names := []string{}
			for _, ev := range events {
				names = append(names, ev.Name)
			}
			if got := fmt.Sprint(names); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
}

// No event is left while a reader waits: a reader that has been woken and gives up leaves
// the event to another one.
func TestE5NoEventIsLeftWhileAReaderWaits(t *testing.T) {
	t.Parallel()
	for range 20 {
		bubble(t, func(t *testing.T) {
			const readers = 50
			p := memory(t, connected("", qmptest.Expect("x"), qmptest.Send(`{"event":"A"}{"event":"B"}`), qmptest.Return(`{}`))...)
			c := newClient(t, &async.Options{Dialer: p.Dial})
			l := c.NewListener(nil)
			connect(t, c)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			got := make(chan string, readers)
			for i := range readers {
				own, giveUp := context.WithCancel(ctx)
				go func() {
					if ev, err := l.Next(own); err == nil {
						got <- ev.Name
					}
				}()
				if i%2 == 0 {
					go func() { // at about the time of the events
						c.Greeting()
						giveUp()
					}()
				} else {
					defer giveUp()
				}
			}
			execute(t, c, "x", "{}")
			synctest.Wait()
			if a, b := len(got), l.Len(); a != 2 || b != 0 {
				t.Errorf("%d events were read and %d are unread, want 2 and 0", a, b)
			}
		})
	}
}

// The events that come after a Drain do not change what it returned.
func TestE5DrainOfMany(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("", qmptest.Expect("x"), events(3000), qmptest.Return(`{}`), qmptest.Expect("y"), events(3000), qmptest.Return(`{}`))...)
	c := newClient(t, &async.Options{Dialer: p.Dial})
	l := c.NewListener(nil)
	connect(t, c)
	execute(t, c, "x", "{}")
	first, err := l.Drain()
	wantNil(t, "Drain", err)
	execute(t, c, "y", "{}")
	second, err := l.Drain()
	wantNil(t, "Drain", err)
	for what, events := range map[string][]async.Event{"first": first, "second": second} {
		if len(events) != 3000 {
			t.Fatalf("the %s Drain returned %d events, want 3000", what, len(events))
		}
		for i, ev := range events {
			if want := fmt.Sprint("E", i); ev.Name != want {
				t.Fatalf("the %s Drain: event %d is %s, want %s", what, i, ev.Name, want)
			}
		}
	}
}
