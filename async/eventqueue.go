package async

// keepQueue is how many events an eventQueue has room for when it is empty, so that the
// memory of a burst of events is freed.
const keepQueue = 64

// An eventQueue is a queue of events. The zero eventQueue is empty.
type eventQueue struct {
	events []*heard // events[first:] are in the queue; nil before that
	first  int
}

func (q *eventQueue) len() int { return len(q.events) - q.first }

// push puts events at the end.
func (q *eventQueue) push(events []*heard) {
	if q.first > len(q.events)/2 && len(q.events)+len(events) > cap(q.events) {
		n := copy(q.events, q.events[q.first:])
		clear(q.events[n:])
		q.events, q.first = q.events[:n], 0
	}
	q.events = append(q.events, events...)
}

// pop takes the first event, or returns nil if there is none.
func (q *eventQueue) pop() *heard {
	if q.len() == 0 {
		return nil
	}
	e := q.events[q.first]
	q.events[q.first] = nil // so that its bytes are freed
	q.first++
	if q.first == len(q.events) {
		q.events, q.first = q.events[:0], 0
		if cap(q.events) > keepQueue {
			q.events = nil
		}
	}
	return e
}

// cut takes the first n events. The result does not change any more.
func (q *eventQueue) cut(n int) []*heard {
	cut := q.events[q.first : q.first+n : q.first+n]
	var rest []*heard
	if n < q.len() {
		rest = append(rest, q.events[q.first+n:]...)
	}
	q.events, q.first = rest, 0
	return cut
}
