package machine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
)

// An EventMatch describes events: those of a name whose whole object matches a
// pattern, as [Match] does it. A nil pattern matches every event of that name.
type EventMatch struct {
	Name    string // such as "BLOCK_JOB_READY"
	Pattern any    // such as map[string]any{"data": map[string]any{"device": "drive0"}}
}

// NextEvent takes the oldest event, and waits for one. It is the whole object,
// with its members event, data and timestamp; for the types of its values see
// [Machine.QMP].
//
// The error is what ctx ended with; a [*ProcessEndedError] or
// [*async.ExecInterruptedError] when the process or its connection has ended;
// or [ErrNotRunning]. Events that came before that are given out first. The error's
// text names the events that are there in place of the wanted one, and one that
// would have been right but was taken or cleared by an earlier call.
func (m *Machine) NextEvent(ctx context.Context) (map[string]any, error) {
	return m.await(ctx, "an event", wanted{all: true})
}

// Events takes all events that are there, oldest first, and waits for none.
// Events that came before a reply are there when the call that got the reply
// returns.
func (m *Machine) Events() []map[string]any {
	var all []map[string]any
	for _, ev := range m.events.takeAll("taken by Events") {
		all = append(all, ev.object())
	}
	return all
}

// ClearEvents drops all events that are there.
func (m *Machine) ClearEvents() { m.events.takeAll("dropped by ClearEvents") }

// EventWait takes the oldest event of that name that matches pattern, as [Match]
// does it (nil matches all), and waits for one. Events that it passes over stay,
// for other calls, in their order. Errors are those of [Machine.NextEvent]: with
// a ctx that has ended it looks at what is there, and waits for nothing.
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
// matches, or all.
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

// await takes the oldest event that is wanted. what names it in errors.
func (m *Machine) await(ctx context.Context, what string, w wanted) (map[string]any, error) {
	ev, err := m.events.await(ctx, w)
	if err != nil {
		return nil, m.explain(ctx, "wait for "+what, err)
	}
	return ev.object(), nil
}

// An event is one that was received. Whoever looks at it first decodes it.
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
			// A number of thousands of digits somewhere inside. No caller can do
			// anything about it; the name is still true.
			obj = map[string]any{"event": ev.Name}
		}
		ev.obj = obj
	})
	return ev.obj
}

// An eventQueue holds the events that nobody has taken, oldest first. Waiting for
// some passes over others, so it is one queue, not one of new events and one of
// those put aside.
type eventQueue struct {
	mu      sync.Mutex // guards the fields below
	queue   []*event
	gone    []goneEvent   // the last of those that are not in queue any more, oldest first
	last    uint64        // how many events there were
	ended   error         // why no more will come; nil while a machine runs
	fate    guestFate     // what the events tell of the guest
	changed chan struct{} // closed at the next change; nil while nobody waits
}

// A goneEvent is an event that is not in the queue any more. It is kept for a while
// so that the error of a call that waits for it in vain can say where it went.
type goneEvent struct {
	*event
	how string // such as "taken by Events"
}

// keptGone is how many of them are kept.
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

// reset begins anew, for a launch.
func (q *eventQueue) reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue, q.gone, q.ended, q.fate = nil, nil, nil, guestFate{}
}

// put adds an event. It runs inside the engine and returns at once.
func (q *eventQueue) put(ev async.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last++
	q.fate.note(ev)
	q.queue = append(q.queue, &event{Event: ev, seq: q.last})
	q.wake()
}

// end says that no more events will come, and why.
func (q *eventQueue) end(why error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = why
	q.wake()
}

// wake wakes all who wait. mu is held.
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

// take takes the oldest event after *seen that is wanted, and sets *seen to the
// last one that was looked at. mu is held.
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

// takeAll takes all events. how says what becomes of them.
func (q *eventQueue) takeAll(how string) []*event {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.queue
	q.queue = nil
	q.remove(how, all...)
	return all
}

// await takes the oldest event that is wanted, and waits for one.
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
			return nil, q.instead(ended, w)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, q.instead(contexts.Err(ctx), w)
		}
	}
}

// instead adds to err, why a wait has ended, what is known of the event that was
// wanted: which events are there in its place, and where one went that was right.
func (q *eventQueue) instead(err error, w wanted) error {
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
	return fmt.Errorf("%w%s", err, b.String())
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

// listen feeds q from c. The listener's filter takes each event at once, inside
// the engine, so that what came before a reply is in q when the call that got the
// reply returns, whoever else may be waiting. What is left in the listener is the
// notice that the connection has ended.
func (q *eventQueue) listen(c *async.Client) *eventSource {
	take := func(ev async.Event) bool {
		q.put(ev)
		return false
	}
	return &eventSource{queue: q, listener: c.NewListener(&async.ListenerOptions{Filter: take})}
}

// watch ends the queue when the connection ends. It is for a client that is
// connected.
func (s *eventSource) watch() {
	s.watching.Go(func() {
		_, err := s.listener.Next(context.Background())
		s.queue.end(err)
	})
}

// close ends the watch.
func (s *eventSource) close() {
	s.listener.Close()
	s.watching.Wait()
}
