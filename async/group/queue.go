package group

import (
	"slices"

	"github.com/goqmp/qmp/async"
)

// An entry of a listener's queue stands for something to be read of a member: for item,
// or for the next of feed.events if item is nil. Of the latter there are at least as many
// as feed.events has events, and one more if it has notices. There may be more, which
// stand for nothing.
type entry struct {
	feed *feed
	item *item
}

// An item is an event or a notice that is in no other queue. err is nil for an event.
type item struct {
	event async.Event
	err   error
}

// left is the item that says that a member has left. What feed.events has comes before
// it.
var left = new(item)

// A queue has entries, oldest first.
type queue struct {
	entries []entry // with those before first, which have been taken
	first   int
}

func (q *queue) len() int { return len(q.entries) - q.first }

// push adds an entry to the end.
func (q *queue) push(e entry) {
	if q.first > 0 && len(q.entries) == cap(q.entries) && q.first >= len(q.entries)/2 {
		// Use the space of those that were taken. As they are at least half of all, this
		// moves each entry once at most.
		q.entries = slices.Delete(q.entries, 0, q.first)
		q.first = 0
	}
	q.entries = append(q.entries, e)
}

// pop removes the first entry. ok is false if there is none.
func (q *queue) pop() (e entry, ok bool) {
	if q.len() == 0 {
		return entry{}, false
	}
	e = q.entries[q.first]
	q.entries[q.first] = entry{}
	q.first++
	if q.len() == 0 {
		const keep = 256
		if cap(q.entries) > keep {
			q.entries = nil // so that the memory of a burst of events is freed
		}
		q.entries, q.first = q.entries[:0], 0
	}
	return e, true
}

// putBack adds an entry to the beginning: one that pop has just returned.
func (q *queue) putBack(e entry) {
	if q.first == 0 {
		q.entries = slices.Insert(q.entries, 0, e) // the queue is empty, or others have used it meanwhile
		return
	}
	q.first--
	q.entries[q.first] = e
}
