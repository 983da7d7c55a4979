package mux

import "time"

// An outbox has what is to be written to a user. The user's mu guards it.
type outbox struct {
	limit int  // of events, in bytes; negative for none
	drop  bool // drop the oldest events when there are more

	queue   []message
	events  int // bytes of events in queue, without gaps
	gaps    int // bytes of gaps in queue
	replies int // bytes of replies in queue, and of those being written
	writing int // bytes of replies being written
}

// A message is one line for a user.
type message struct {
	bytes []byte
	event bool
	gap   bool // it is ConnectionLost, which is never dropped
	lost  int  // it stands for so many events that were lost, and bytes is nil
}

func (o *outbox) empty() bool { return len(o.queue) == 0 }

// add adds a reply, or the greeting.
func (o *outbox) add(reply []byte) {
	o.queue = append(o.queue, message{bytes: reply})
	o.replies += len(reply)
}

// addEvent adds an event, a gap, or a number of lost events. If there are too many, it drops
// the oldest events, or returns an error.
func (o *outbox) addEvent(m message) *SlowUserError {
	n := len(m.bytes)
	switch {
	case m.lost > 0:
		o.queue = appendLost(o.queue, m.lost)
		return nil
	case m.gap:
		if o.limit >= 0 && o.gaps > 0 && o.gaps+n > o.limit {
			return &SlowUserError{Unread: o.events + o.gaps + n, Limit: o.limit}
		}
		o.gaps += n
	default:
		if o.limit >= 0 && o.events > 0 && o.events+n > o.limit {
			if !o.drop {
				return &SlowUserError{Unread: o.events + n, Limit: o.limit}
			}
			o.dropEvents(n)
		}
		o.events += n
	}
	o.queue = append(o.queue, m)
	return nil
}

// appendLost adds n lost events to a queue.
func appendLost(queue []message, n int) []message {
	if last := len(queue) - 1; last >= 0 && queue[last].lost > 0 {
		queue[last].lost += n
		return queue
	}
	return append(queue, message{lost: n})
}

// dropEvents drops the oldest events, until n more bytes fit or half of the limit is free:
// so not each new event looks through the queue. Each run of dropped events leaves one
// mark.
func (o *outbox) dropEvents(n int) {
	target := max(min(o.limit-n, o.limit/2), 0)
	kept := o.queue[:0]
	for _, m := range o.queue {
		lost := m.lost
		if m.event && o.events > target {
			o.events -= len(m.bytes)
			lost = 1
		}
		if lost == 0 {
			kept = append(kept, m)
		} else {
			kept = appendLost(kept, lost)
		}
	}
	clear(o.queue[len(kept):])
	o.queue = kept
}

// take moves messages to buf, about 64 KiB or one message.
func (o *outbox) take(buf []byte) []byte {
	const much = 64 << 10
	n := 0
	for n < len(o.queue) && (len(buf) == 0 || len(buf)+len(o.queue[n].bytes) <= much) {
		m := o.queue[n]
		switch {
		case m.lost > 0:
			buf = append(buf, lostEvent(time.Now(), m.lost)...)
		case m.gap:
			o.gaps -= len(m.bytes)
			buf = append(buf, m.bytes...)
		case m.event:
			o.events -= len(m.bytes)
			buf = append(buf, m.bytes...)
		default:
			o.writing += len(m.bytes)
			buf = append(buf, m.bytes...)
		}
		n++
	}
	clear(o.queue[:n])
	if o.queue = o.queue[n:]; len(o.queue) == 0 {
		o.queue = nil
	}
	return buf
}

// written notes that what take returned has been written.
func (o *outbox) written() {
	o.replies -= o.writing
	o.writing = 0
}
