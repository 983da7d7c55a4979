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
)

// An EventMatch describes events: those with a name, whose whole object matches a
// pattern by the rules of [Match]. A nil pattern matches every event of that name.
type EventMatch struct {
	Name    string // such as "BLOCK_JOB_READY"
	Pattern any    // such as map[string]any{"data": map[string]any{"device": "drive0"}}
}

// NextEvent returns the oldest event and removes it from the queue. If the queue is
// empty it waits for an event. The result is the whole object, with its members
// event, data and timestamp. [Machine.QMP] says which types its values have.
//
// The error is what ctx ended with; a [*ProcessEndedError] or an
// [*async.ExecInterruptedError] if the process or its connection has ended; or
// [ErrNotRunning]. Events that came before the end are returned before the error.
// The error's text names the events that are in the queue. It also says if an event
// that matches came before, and an earlier call took or dropped it.
func (m *Machine) NextEvent(ctx context.Context) (map[string]any, error) {
	return m.await(ctx, "an event", wanted{all: true})
}

// Events returns all events in the queue, oldest first, and removes them. It does
// not wait. An event that QEMU sent before a reply is in the queue when the call
// that gets the reply returns.
func (m *Machine) Events() []map[string]any {
	var all []map[string]any
	for _, ev := range m.events.takeAll("taken by Events") {
		all = append(all, ev.object())
	}
	return all
}

// ClearEvents drops all events that are in the queue.
func (m *Machine) ClearEvents() { m.events.takeAll("dropped by ClearEvents") }

// EventWait returns the oldest event of that name that matches pattern, by the rules
// of [Match] (nil matches all), and removes it from the queue. If there is none it
// waits for one. All other events stay in the queue, in their order. Errors are those
// of [Machine.NextEvent]. With a ctx that has ended EventWait looks through the queue
// and does not wait.
func (m *Machine) EventWait(ctx context.Context, name string, pattern any) (map[string]any, error) {
	return m.EventsWait(ctx, EventMatch{Name: name, Pattern: pattern})
}

// EventsWait is [Machine.EventWait] for the oldest event that any of the
// descriptions matches.
func (m *Machine) EventsWait(ctx context.Context, matches ...EventMatch) (map[string]any, error) {
	patterns, err := compile(matches)
	if err != nil {
		return nil, fmt.Errorf("machine %s: event match: %w", m.opts.Name, err)
	}
	return m.await(ctx, namesOf(patterns), wanted{patterns: patterns})
}

// wanted describes the events that a call waits for: those that one of the patterns
// matches, or all. The zero value is for none.
type wanted struct {
	patterns []EventMatch
	all      bool
}

func (w wanted) matches(ev *event) bool {
	for _, p := range w.patterns {
		if ev.Name == p.Name && match(ev.object(), p.Pattern) {
			return true
		}
	}
	return w.all
}

// names reports whether a pattern is for events of that name.
func (w wanted) names(name string) bool {
	return slices.ContainsFunc(w.patterns, func(p EventMatch) bool { return p.Name == name })
}

// namesOf says what is waited for.
func namesOf(patterns []EventMatch) string {
	var names []string
	for _, p := range patterns {
		if !slices.Contains(names, p.Name) {
			names = append(names, p.Name)
		}
	}
	return strings.Join(names, " or ")
}

// await waits for the oldest event that is wanted and takes it from the queue. what
// describes it in errors.
func (m *Machine) await(ctx context.Context, what string, w wanted) (map[string]any, error) {
	ev, err := m.events.await(ctx, w)
	if err != nil {
		return nil, m.explain(ctx, "wait for "+what, err)
	}
	return ev.object(), nil
}

// An event is one that was received. The first call of object decodes it.
type event struct {
	async.Event
	seq  uint64 // counts events, from 1
	once sync.Once
	obj  map[string]any
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
// their places.
type eventQueue struct {
	mu      sync.Mutex // guards the fields below
	queue   []*event
	gone    []goneEvent   // the last keptGone of those that have left queue, oldest first
	last    uint64        // how many events have come so far
	ended   error         // why no more will come; nil while a machine runs
	fate    guestFate     // what the events say about the guest
	changed chan struct{} // closed at the next change; nil while nobody waits
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
	for _, ev := range events {
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
	q.queue, q.gone, q.ended, q.fate = nil, nil, nil, guestFate{}
}

// put adds an event.
//
// It runs on the reading goroutine of the client, and so it must return at once.
func (q *eventQueue) put(ev async.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last++
	q.fate.note(ev)
	q.queue = append(q.queue, &event{Event: ev, seq: q.last})
	q.wake()
}

// end notes that no more events will come, and why.
func (q *eventQueue) end(why error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = why
	q.wake()
}

// wake wakes all calls that wait. mu is held.
func (q *eventQueue) wake() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// whyEnded returns why no more events will come, or nil.
func (q *eventQueue) whyEnded() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ended
}

// take takes the oldest event that is wanted and whose seq is above *seen. It sets
// *seen to the seq of the last event that it looked at, so that the caller's next
// take does not look at those again. It returns nil if there is none. mu is held.
func (q *eventQueue) take(seen *uint64, w wanted) *event {
	for i, ev := range q.queue {
		if ev.seq <= *seen {
			continue
		}
		*seen = ev.seq
		if w.matches(ev) {
			q.queue = slices.Delete(q.queue, i, i+1)
			q.remove("taken by an earlier wait", ev)
			return ev
		}
	}
	return nil
}

// takeAll takes all events. how says what the caller does with them, for goneEvent.
func (q *eventQueue) takeAll(how string) []*event {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.queue
	q.queue = nil
	q.remove(how, all...)
	return all
}

// await waits for the oldest event that is wanted and takes it.
func (q *eventQueue) await(ctx context.Context, w wanted) (*event, error) {
	var seen uint64
	for {
		q.mu.Lock()
		ev, ended := q.take(&seen, w), q.ended
		if q.changed == nil {
			q.changed = make(chan struct{})
		}
		changed := q.changed
		q.mu.Unlock()
		switch {
		case ev != nil:
			return ev, nil
		case ended != nil:
			return nil, q.explain(ended, w)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, q.explain(contexts.Err(ctx), w)
		}
	}
}

// explain returns err, why a wait has ended, with what a person wants to know then:
// which events are in the queue, and whether an earlier call took one that is
// wanted.
func (q *eventQueue) explain(err error, w wanted) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var b strings.Builder
	if n := len(q.queue); n == 0 {
		b.WriteString("; there are no other events")
	} else {
		const most = 8
		var names []string
		for _, ev := range q.queue[max(0, n-most):] {
			names = append(names, ev.Name)
		}
		fmt.Fprintf(&b, "; there are %d other events, the last of them %s", n, strings.Join(names, ", "))
		for _, ev := range slices.Backward(q.queue) {
			if w.names(ev.Name) {
				fmt.Fprintf(&b, "; one of that name does not match: %s", excerpt(ev.Raw()))
				break
			}
		}
	}
	for _, ev := range slices.Backward(q.gone) {
		if !w.all && w.matches(ev.event) {
			fmt.Fprintf(&b, "; one that matches came before and was %s: %s", ev.how, excerpt(ev.Raw()))
			break
		}
	}
	return fmt.Errorf("%w%s", err, harmless.Line(b.String()))
}

// excerpt returns the beginning of a message.
func excerpt(raw []byte) string {
	const most = 300
	if len(raw) > most {
		return string(raw[:most]) + "..."
	}
	return string(raw)
}

// An eventSource feeds a queue from a client.
type eventSource struct {
	queue    *eventQueue
	listener *async.EventListener
	watching sync.WaitGroup
}

// listen feeds q from c. The listener's filter puts each event into q and keeps none
// for the listener. The filter runs on the client's reading goroutine, so an event
// that came before a reply is in q when the call that gets the reply returns. The
// listener itself then only tells when the connection ends.
func (q *eventQueue) listen(c *async.Client) *eventSource {
	take := func(ev async.Event) bool {
		q.put(ev)
		return false
	}
	return &eventSource{queue: q, listener: c.NewListener(&async.ListenerOptions{Filter: take})}
}

// watch starts a goroutine that ends the queue when the connection ends. The client
// must be connected.
func (s *eventSource) watch() {
	s.watching.Go(func() {
		_, err := s.listener.Next(context.Background())
		s.queue.end(err)
	})
}

// close closes the listener and waits until the goroutine of watch has ended.
func (s *eventSource) close() {
	s.listener.Close()
	s.watching.Wait()
}
