package machine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// woken returns how many of the calls have been told.
func woken(calls ...*eventWaiter) int {
	n := 0
	for _, me := range calls {
		n += len(me.wake)
	}
	return n
}

// An event wakes the calls that wait for its name, and one of those that take any event.
func TestEventWakesOnlyWhoWaitsForIt(t *testing.T) {
	q := new(eventQueue)
	stop := q.waiting.join(wanted{patterns: []EventMatch{{Name: "STOP"}, {Name: "RESUME"}, {Name: "STOP"}}})
	same := q.waiting.join(wanted{patterns: []EventMatch{{Name: "STOP"}}})
	first, second := q.waiting.join(wanted{all: true}), q.waiting.join(wanted{all: true})
	end := q.waiting.join(wanted{})

	q.put(parsed(t, "RESET"))
	if woken(first) != 1 || woken(stop, same, second, end) != 0 {
		t.Errorf("RESET: %d and %d that take any event were woken, and %d others; want 1, 0, 0", woken(first), woken(second), woken(stop, same, end))
	}
	q.put(parsed(t, "STOP"))
	if woken(first, second) != 2 || woken(stop) != 1 || woken(same) != 1 || woken(end) != 0 {
		t.Errorf("STOP: woken %d, %d, %d, %d; want all but the last", woken(first, second), woken(stop), woken(same), woken(end))
	}
	q.end(ErrNotRunning)
	if woken(end) != 1 {
		t.Error("the end did not wake the call that waits for it")
	}
	for _, me := range []*eventWaiter{stop, same, first, second, end} {
		q.waiting.leave(me)
	}
	if len(q.waiting.named) != 0 || len(q.waiting.none) != 0 || q.waiting.any.Len() != 0 {
		t.Errorf("calls have left, and this stays: %v", q.waiting)
	}
}

// Many calls take any event. If a call was woken and gave up, or came too late, another call
// that waits gets the event.
func TestEveryEventIsTakenByManyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls, events = 20, 200
		q := new(eventQueue)
		ctx, cancel := context.WithCancel(t.Context())
		taken := make(chan uint64, 2*events)
		for i := range calls {
			go func() {
				for {
					mine, giveUp := context.WithCancel(ctx)
					if i%2 == 0 {
						go giveUp()
					}
					w := wanted{all: true}
					if i%5 == 0 {
						w = wanted{patterns: []EventMatch{{Name: "STOP"}}}
					}
					ev, err := q.await(mine, w)
					giveUp()
					switch {
					case err == nil:
						taken <- ev.seq
					case ctx.Err() != nil:
						return
					case !errors.Is(err, context.Canceled):
						t.Error(err)
					}
				}
			}()
		}
		for i := range events {
			q.put(parsed(t, []string{"STOP", "RESET"}[i%2]))
		}
		seen := make(map[uint64]bool)
		for range events {
			seen[<-taken] = true
		}
		cancel()
		synctest.Wait()
		if len(seen) != events || len(taken) != 0 || q.all.len() != 0 || len(q.named) != 0 {
			t.Errorf("%d of %d events were taken, %d twice, and %d are left", len(seen), events, len(taken), q.all.len())
		}
	})
}

// A call whose context has ended gets an event that has come before.
func TestEndedContextTakesWhatHasCome(t *testing.T) {
	q := new(eventQueue)
	q.put(parsed(t, "STOP"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ev, err := q.await(ctx, wanted{all: true}); err != nil || ev.Name != "STOP" {
		t.Errorf("got %v and %v, want STOP", ev, err)
	}
	if ev, err := q.await(ctx, wanted{all: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v and %v, want the context's error", ev, err)
	}
}

// A line is as a plain list of events would be, whatever is taken from it.
func TestLineIsLikeAList(t *testing.T) {
	for seed := range 200 {
		var l line
		var list []*event
		rnd := uint32(seed)
		next := func(n int) int { rnd = rnd*1664525 + 1013904223; return int(rnd>>8) % n }
		for seq := uint64(1); seq < 100; seq++ {
			ev := &event{seq: seq}
			l.add(ev)
			list = append(list, ev)
			for next(5) > 2 && len(list) > 0 {
				i := next(len(list))
				list[i].taken = true
				list = append(list[:i], list[i+1:]...)
				l.left()
			}
			seen := uint64(next(100))
			var want *event
			for _, ev := range list {
				if ev.seq > seen {
					want = ev
					break
				}
			}
			if got := l.after(seen); got != want {
				t.Fatalf("seed %d: after %d comes %v, want %v", seed, seen, got, want)
			}
			newest := l.newest(3)
			if l.len() != len(list) || len(newest) != min(3, len(list)) || len(newest) > 0 && newest[len(newest)-1] != list[len(list)-1] {
				t.Fatalf("seed %d: %d events, the newest of them %v, want %d events", seed, l.len(), newest, len(list))
			}
			if 2*l.taken > len(l.events) {
				t.Fatalf("seed %d: %d of %d events were taken", seed, l.taken, len(l.events))
			}
		}
		if rest := l.rest(); len(rest) != len(list) {
			t.Fatalf("seed %d: %d events at the end, want %d", seed, len(rest), len(list))
		}
	}
}
