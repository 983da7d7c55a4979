package machine

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/growth"
)

// What an event or a call costs does not depend on how many events are in the queue.

var lengths = []int{1 << 8, 1 << 10, 1 << 12, 1 << 14}

// filled returns a queue of n events that are not named WANTED.
func filled(tb testing.TB, n int) *eventQueue {
	q, other := new(eventQueue), parsed(tb, "OTHER")
	for range n {
		q.put(other)
	}
	return q
}

func parsed(tb testing.TB, name string) async.Event {
	tb.Helper()
	ev, err := async.ParseEvent(fmt.Appendf(nil, `{"event": %q, "timestamp": {"seconds": 1, "microseconds": 2}, "data": {}}`, name))
	if err != nil {
		tb.Fatal(err)
	}
	return ev
}

// Other events come while EventWait waits.
func TestGrowthOfWaiting(t *testing.T) {
	growth.Check(t, growth.Case{Sizes: lengths, Most: 8, Setup: func(tb testing.TB, n int) func() int {
		q, other := filled(tb, n), parsed(tb, "OTHER")
		for range 3 {
			var wg sync.WaitGroup
			tb.Cleanup(wg.Wait)
			ctx, cancel := context.WithCancel(tb.Context())
			tb.Cleanup(cancel)
			wg.Go(func() { q.await(ctx, wanted{patterns: []EventMatch{{Name: "WANTED"}}}) })
			for waiting := false; !waiting; {
				q.mu.Lock()
				waiting = len(q.waiting.named["WANTED"]) > 0
				q.mu.Unlock()
			}
		}
		return func() int {
			const events = 5000
			for range events {
				q.put(other)
			}
			return events
		}
	}})
}

// NextEvent reads the queue back.
func TestGrowthOfNextEvent(t *testing.T) {
	growth.Check(t, growth.Case{Sizes: lengths, Most: 8, Setup: func(tb testing.TB, n int) func() int {
		q := filled(tb, n)
		return func() int {
			for range n {
				if _, err := q.await(context.Background(), wanted{all: true}); err != nil {
					tb.Fatal(err)
				}
			}
			return n
		}
	}})
}

// EventWait takes an event that stands after n others.
func TestGrowthOfEventWaitPastOthers(t *testing.T) {
	growth.Check(t, growth.Case{Sizes: lengths, Most: 8, Setup: func(tb testing.TB, n int) func() int {
		q, ev := filled(tb, n), parsed(tb, "WANTED")
		w := wanted{patterns: []EventMatch{{Name: "ANOTHER"}, {Name: "WANTED"}}}
		return func() int {
			const calls = 2000
			for range calls {
				q.put(ev)
				q.put(parsed(tb, "OTHER"))
				if _, err := q.await(context.Background(), w); err != nil {
					tb.Fatal(err)
				}
			}
			return calls
		}
	}})
}

// EventWait takes events from the middle of a queue in which they take turns with others.
func TestGrowthOfEventWaitBetweenOthers(t *testing.T) {
	growth.Check(t, growth.Case{Sizes: lengths, Most: 8, Setup: func(tb testing.TB, n int) func() int {
		q, ev, other := new(eventQueue), parsed(tb, "WANTED"), parsed(tb, "OTHER")
		for range n {
			q.put(other)
			q.put(ev)
		}
		q.put(other)
		w := wanted{patterns: []EventMatch{{Name: "WANTED"}}}
		return func() int {
			for range n {
				if _, err := q.await(context.Background(), w); err != nil {
					tb.Fatal(err)
				}
			}
			return n
		}
	}})
}

// EventWait takes events of one name that stand after n that were taken, past one that is not wanted.
func TestGrowthOfEventWaitPastTaken(t *testing.T) {
	growth.Check(t, growth.Case{Sizes: lengths, Most: 8, Setup: func(tb testing.TB, n int) func() int {
		q := new(eventQueue)
		named := func(n string) async.Event {
			ev, err := async.ParseEvent(fmt.Appendf(nil, `{"event": "WANTED", "data": {"n": %q}}`, n))
			if err != nil {
				tb.Fatal(err)
			}
			return ev
		}
		other, ev := named("other"), named("wanted")
		q.put(other) // it stays in the queue, as the first one
		for range 2 * n {
			q.put(ev)
		}
		q.put(other)
		w := wanted{patterns: []EventMatch{{Name: "WANTED", Pattern: map[string]any{"data": map[string]any{"n": "wanted"}}}}}
		return func() int {
			for range n {
				if _, err := q.await(context.Background(), w); err != nil {
					tb.Fatal(err)
				}
			}
			return n
		}
	}})
}

// A wait gives up while n events are in the queue.
func TestGrowthOfGivingUp(t *testing.T) {
	growth.Check(t, growth.Case{Sizes: lengths, Most: 8, Setup: func(tb testing.TB, n int) func() int {
		q := filled(tb, n)
		ctx, cancel := context.WithCancel(tb.Context())
		cancel()
		return func() int {
			const calls = 500
			for range calls {
				if _, err := q.await(ctx, wanted{patterns: []EventMatch{{Name: "WANTED"}}}); err == nil {
					tb.Fatal("the wait succeeded")
				}
			}
			return calls
		}
	}})
}

// n calls wait for any event, and one event comes after the other.
func TestGrowthOfManyThatWait(t *testing.T) {
	growth.Check(t, growth.Case{Sizes: []int{8, 32, 128, 512}, Most: 10, Setup: func(tb testing.TB, n int) func() int {
		q, ev := new(eventQueue), parsed(tb, "OTHER")
		ctx, cancel := context.WithCancel(tb.Context())
		taken := make(chan struct{})
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				for {
					if _, err := q.await(ctx, wanted{all: true}); err != nil {
						return
					}
					taken <- struct{}{}
				}
			})
		}
		tb.Cleanup(wg.Wait)
		tb.Cleanup(cancel)
		return func() int {
			const events = 1000
			for range events {
				q.put(ev)
				<-taken
			}
			return events
		}
	}})
}
