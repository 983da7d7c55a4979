// Tests of rule E3 (events come before what they caused).
// The code that they hold: receive.go and listener.go.
package async_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// An event that comes before a reply is in every listener's queue when the call
// returns, however the bytes were cut.
func TestE3EventIsThereWhenTheCallReturns(t *testing.T) {
	t.Parallel()
	const text = `{"event":"STOP","timestamp":{"seconds":1,"microseconds":2}}` + "\r\n" + `{"return":{},"id":$id}` + "\r\n"
	for every := range 9 {
		t.Run(fmt.Sprintf("split=%d", every), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				var steps []qmptest.Step
				for range 20 {
					steps = append(steps, qmptest.Expect("stop"), qmptest.Reply(text[:strings.Index(text, "\r\n")]), qmptest.Return(`{}`))
				}
				c := dial(t, memory(t, connected("", append([]qmptest.Step{qmptest.SplitEvery(every)}, steps...)...)...), nil)
				first, second, other := c.NewListener(nil), c.NewListener(nil, "STOP"), c.NewListener(nil, "RESUME")
				for range 20 {
					execute(t, c, "stop", "{}")
					for i, l := range []*async.EventListener{first, second} {
						// The test does not wait for it.
						if ev, ok, err := l.TryNext(); !ok || err != nil || ev.Name != "STOP" {
							t.Fatalf("listener %d: got %q, %v, %v, want STOP", i, ev.Name, ok, err)
						}
					}
					if _, ok, err := other.TryNext(); ok || err != nil {
						t.Fatalf("the listener for others: got %v, %v, want nothing", ok, err)
					}
				}
			})
		})
	}
}

// An event, a reply and another event come in one packet. When the call
// returns, both events are in the queue.
func TestE3EventAndReplyInOnePacket(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("", qmptest.Expect("x"),
		qmptest.Send(`{"event":"A"}{"return":{},"id":2}{"event":"B"}`))...)
	c := dial(t, p, nil)
	l := c.NewListener(nil)
	execute(t, c, "x", "{}")
	wantNames(t, "after the reply", drained(t, l), "A B")
}

// Many callers execute a command at the same time, and each causes an event of
// its own. No call returns before its event is in the queue.
func TestE3ManyCallers(t *testing.T) {
	t.Parallel()
	s := qmptest.Start(t, &qmptest.Options{NoRecord: true})
	s.Handle("emit", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		var args struct{ Name string }
		if err := cmd.Decode(&args); err != nil {
			return nil, err
		}
		return nil, cmd.Server.Emit(args.Name, nil)
	})
	c := newClient(t, nil)
	if err := c.Connect(t.Context(), s.Addr()); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprintf("E%d", i)
			l := c.NewListener(nil, name)
			defer l.Close()
			for range 100 {
				if _, err := c.Execute(t.Context(), "emit", map[string]any{"name": name}); err != nil {
					t.Errorf("emit %s: %v", name, err)
					return
				}
				if ev, ok, err := l.TryNext(); !ok || err != nil || ev.Name != name {
					t.Errorf("after the reply: got %q, %v, %v, want %s", ev.Name, ok, err, name)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Every listener gets the events in the order of the wire.
func TestE3EventsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	const n = 500
	var flood strings.Builder
	for i := range n {
		fmt.Fprintf(&flood, `{"event":"E%d"}`+"\n", i)
	}
	p := memory(t, connected("", qmptest.Expect("x"), qmptest.SplitEvery(7), qmptest.Send(flood.String()), qmptest.SplitEvery(0), qmptest.Return(`{}`))...)
	c := dial(t, p, nil)
	listeners := []*async.EventListener{c.NewListener(nil), c.NewListener(&async.ListenerOptions{Limit: n}), c.NewListener(&async.ListenerOptions{Filter: func(async.Event) bool { return true }})}
	execute(t, c, "x", "{}")
	for i, l := range listeners {
		got := drained(t, l)
		if len(got) != n {
			t.Errorf("listener %d: got %d events, want %d", i, len(got), n)
		}
		for j, name := range got {
			if name != fmt.Sprintf("E%d", j) {
				t.Errorf("listener %d: event %d is %s", i, j, name)
				break
			}
		}
	}
}
