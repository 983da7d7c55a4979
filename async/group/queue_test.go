package group

import (
	"math/rand/v2"
	"testing"
)

// The queue is compared with a plain slice while it grows and shrinks at random. It keeps
// no more space than is in proportion to what it holds.
func TestQueue(t *testing.T) {
	t.Parallel()
	var q queue
	var want []*feed
	most := 0 // how long it was since it was empty
	for i := range 60_000 {
		growing := i/6_000%2 == 0
		switch n := rand.IntN(10); {
		case n < 4 || growing && n < 6:
			f := new(feed)
			q.push(entry{feed: f})
			want = append(want, f)
		default:
			e, ok := q.pop()
			if ok != (len(want) > 0) || ok && e.feed != want[0] {
				t.Fatalf("step %d: pop returned %v, %t", i, e, ok)
			}
			if ok && n == 9 {
				q.putBack(e)
			} else if ok {
				want = want[1:]
			}
		}
		if q.len() != len(want) {
			t.Fatalf("step %d: it has %d entries, want %d", i, q.len(), len(want))
		}
		if most = max(most, len(want)); len(want) == 0 {
			most = 0
		}
		if cap(q.entries) > 4*max(most, 256) {
			t.Fatalf("step %d: space for %d entries, and never more than %d since it was empty", i, cap(q.entries), most)
		}
	}
}

// A reader that keeps up with a long queue before it: the queue moves an entry twice at
// most on average.
func TestQueueMovesLittle(t *testing.T) {
	t.Parallel()
	var q queue
	const length, reads = 2_000, 40_000
	for range length {
		q.push(entry{feed: new(feed)})
	}
	moved := 0
	for range reads {
		q.pop()
		first, space := q.first, cap(q.entries)
		q.push(entry{})
		if q.first < first || cap(q.entries) != space {
			moved += q.len()
		}
	}
	if moved > 2*reads || cap(q.entries) > 4*length {
		t.Errorf("%d reads moved %d entries; there is space for %d", reads, moved, cap(q.entries))
	}
}
