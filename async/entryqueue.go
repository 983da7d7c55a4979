package async

import (
	"cmp"
	"slices"
)

// An entryQueue has the entries of calls that wait for a connection, sorted by their
// numbers. An entry that is removed stays in its place for a while, without being queued.
// At most half of the entries are such ones, and never the first: so removing one costs
// the same, however many there are. Client.mu guards it.
type entryQueue struct {
	entries []*entry
	removed int
}

func (q *entryQueue) len() int { return len(q.entries) - q.removed }

// insert adds e, which has a number and is not queued.
func (q *entryQueue) insert(e *entry) {
	i, found := slices.BinarySearchFunc(q.entries, e.number, func(o *entry, n uint64) int { return cmp.Compare(o.number, n) })
	e.queued = true
	if found { // it was removed, and is still in its place
		q.removed--
		return
	}
	q.entries = slices.Insert(q.entries, i, e)
}

// remove removes e, if it is queued.
func (q *entryQueue) remove(e *entry) {
	if !e.queued {
		return
	}
	e.queued = false
	q.removed++
	for len(q.entries) > 0 && !q.entries[0].queued {
		q.entries[0] = nil // so that it is freed
		q.entries = q.entries[1:]
		q.removed--
	}
	if q.removed > len(q.entries)/2 {
		q.compact()
	}
}

// pop removes the first entry and returns it. There must be one.
func (q *entryQueue) pop() *entry {
	e := q.entries[0]
	q.remove(e)
	return e
}

// removeFunc removes the entries for which f returns true.
func (q *entryQueue) removeFunc(f func(*entry) bool) {
	for _, e := range q.entries {
		if e.queued && f(e) {
			e.queued = false
		}
	}
	q.compact()
}

// compact drops the entries that were removed.
func (q *entryQueue) compact() {
	q.entries = slices.DeleteFunc(q.entries, func(e *entry) bool { return !e.queued })
	q.removed = 0
}
