package machine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/internal/secrets"
)

// An event is one that was received. The first call of object decodes it.
type event struct {
	async.Event
	seq   uint64 // counts events, from 1
	taken bool   // it has left the queue; eventQueue.mu guards it
	once  sync.Once
	obj   map[string]any
}

// object returns the whole event as a Go value.
func (ev *event) object() map[string]any {
	ev.once.Do(func() {
		obj, err := ev.Event.Object()
		if err != nil {
			// It has a number of thousands of digits. Calls that look for another
			// event must not fail for that, so this one has only its name.
			obj = map[string]any{"event": ev.Name}
		}
		ev.obj = obj
	})
	return ev.obj
}

// An eventQueue holds the events that nobody has taken, oldest first. A call takes
// the event that it waits for from anywhere in the queue, and leaves the others in
// their places. What a call or an event costs does not depend on how many other events
// are in the queue, except that a wait with a pattern looks at those of its names.
type eventQueue struct {
	mu      sync.Mutex // guards the fields below, and what they hold
	all     line
	named   map[string]*line // the same events, by name; no line is empty
	waiting waiters
	gone    []goneEvent   // the last keptGone of those that have left the queue, oldest first
	last    uint64        // how many events have come so far
	ended   error         // why no more will come; nil while a machine runs
	fate    guestFate     // what the events say about the guest
	fated   chan struct{} // closed when fate changes, or at the end; nil while nobody watches
}

// A goneEvent is an event that has left the queue. It is kept for error texts: a
// later call may wait for this event, and its error says that an earlier call took
// it.
type goneEvent struct {
	*event
	how string // such as "taken by Events"
}

// keptGone is how many goneEvents an eventQueue keeps.
const keptGone = 64

// remove notes that events have left the queue. mu is held.
func (q *eventQueue) remove(how string, events ...*event) {
	for _, ev := range events[max(0, len(events)-keptGone):] {
		q.gone = append(q.gone, goneEvent{ev, how})
	}
	if extra := len(q.gone) - keptGone; extra > 0 {
		q.gone = slices.Delete(q.gone, 0, extra)
	}
}

// reset empties the queue, for a new launch.
func (q *eventQueue) reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.empty()
	q.gone, q.ended, q.fate = nil, nil, guestFate{}
}

// put adds an event.
//
// It runs on the reading goroutine of the client, and so it must return at once.
func (q *eventQueue) put(arrived async.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last++
	before := q.fate
	if q.fate.note(arrived); q.fate != before {
		q.tellFate()
	}
	ev := &event{Event: arrived, seq: q.last}
	q.all.add(ev)
	if q.named == nil {
		q.named = make(map[string]*line)
	}
	named := q.named[ev.Name]
	if named == nil {
		named = new(line)
		q.named[ev.Name] = named
	}
	named.add(ev)
	q.waiting.tell(ev.Name)
}

// end notes that no more events will come, and why.
func (q *eventQueue) end(why error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = why
	q.waiting.tellAll()
	q.tellFate()
}

// tellFate wakes those who watch the guest's fate. mu is held.
func (q *eventQueue) tellFate() {
	if q.fated != nil {
		close(q.fated)
		q.fated = nil
	}
}

// whyEnded returns why no more events will come, or nil.
func (q *eventQueue) whyEnded() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ended
}

// next returns the oldest event whose seq is above seen, and that is wanted as far as
// its name says. It returns nil if there is none. mu is held.
func (q *eventQueue) next(seen uint64, w wanted) *event {
	if w.all {
		return q.all.after(seen)
	}
	var oldest *event
	for _, p := range w.patterns {
		named := q.named[p.Name]
		if named == nil {
			continue
		}
		if ev := named.after(seen); ev != nil && (oldest == nil || ev.seq < oldest.seq) {
			oldest = ev
		}
	}
	return oldest
}

// take takes the oldest event that is wanted and whose seq is above *seen. It sets
// *seen to the seq of the last event that it looked at, so that the caller's next
// take does not look at those again. It returns nil if there is none. mu is held; it is
// released while an event is compared with the patterns, since the reader must not wait
// for that.
func (q *eventQueue) take(seen *uint64, w wanted) *event {
	for {
		ev := q.next(*seen, w)
		if ev == nil {
			return nil
		}
		*seen = ev.seq
		if !w.all {
			q.mu.Unlock()
			matches := w.matches(ev)
			q.mu.Lock()
			if !matches || ev.taken { // another call may have taken it meanwhile
				continue
			}
		}
		q.leave(ev)
		q.remove("taken by an earlier wait", ev)
		return ev
	}
}

// leave removes ev from the lines. mu is held.
func (q *eventQueue) leave(ev *event) {
	ev.taken = true
	q.all.left()
	named := q.named[ev.Name]
	if named.left(); named.len() == 0 {
		delete(q.named, ev.Name)
	}
}

// empty removes all events from the lines, and returns them. mu is held.
func (q *eventQueue) empty() []*event {
	var all []*event
	for _, p := range q.all.rest() {
		p.taken = true
		all = append(all, p.event)
	}
	q.all, q.named = line{}, nil
	return all
}

// takeAll takes all events. how says what the caller does with them, for goneEvent.
func (q *eventQueue) takeAll(how string) []*event {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.empty()
	q.remove(how, all...)
	return all
}

// await waits for the oldest event that is wanted and takes it.
func (q *eventQueue) await(ctx context.Context, w wanted) (*event, error) {
	var seen uint64
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if ev := q.take(&seen, w); ev != nil {
			return ev, nil
		}
		switch {
		case q.ended != nil:
			return nil, q.explain(q.ended, w)
		case ctx.Err() != nil:
			return nil, q.explain(contexts.Err(ctx), w)
		}
		me := q.waiting.join(w)
		q.mu.Unlock()
		select {
		case <-me.wake:
		case <-ctx.Done():
		}
		q.mu.Lock()
		q.waiting.leave(me)
	}
}

// explain returns err, why a wait has ended, with what a person wants to know then:
// which events are in the queue, and whether an earlier call took one that is
// wanted. mu is held; it is released while events are compared with the patterns.
func (q *eventQueue) explain(err error, w wanted) error {
	var b strings.Builder
	if n := q.all.len(); n == 0 {
		b.WriteString("; there are no other events")
	} else {
		const most = 8
		var names []string
		for _, ev := range q.all.newest(most) {
			names = append(names, ev.Name)
		}
		fmt.Fprintf(&b, "; there are %d other events, the last of them %s", n, strings.Join(names, ", "))
		var near *event // the newest with one of the names
		for _, p := range w.patterns {
			if named := q.named[p.Name]; named != nil {
				if ev := named.newest(1)[0]; near == nil || ev.seq > near.seq {
					near = ev
				}
			}
		}
		if near != nil {
			fmt.Fprintf(&b, "; one of that name does not match: %s", excerpt(near))
		}
	}
	gone := slices.Clone(q.gone)
	q.mu.Unlock()
	defer q.mu.Lock()
	for _, ev := range slices.Backward(gone) {
		if !w.all && w.matches(ev.event) {
			fmt.Fprintf(&b, "; one that matches came before and was %s: %s", ev.how, excerpt(ev.event))
			break
		}
	}
	return fmt.Errorf("%w%s", err, harmless.Line(b.String()))
}

// excerpt returns the beginning of an event, with its secrets masked.
func excerpt(ev *event) string {
	const most = 300
	raw := secrets.Event(ev.Raw())
	if len(raw) > most {
		return string(raw[:most]) + "..."
	}
	return string(raw)
}
