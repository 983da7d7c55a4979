package machine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/goqmp/qmp/async"
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
	w := wanted{patterns: patterns}
	return m.await(ctx, strings.Join(w.names(), " or "), w)
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

// names returns the names in the patterns, each once.
func (w wanted) names() []string {
	var names []string
	for _, p := range w.patterns {
		if !slices.Contains(names, p.Name) {
			names = append(names, p.Name)
		}
	}
	return names
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
