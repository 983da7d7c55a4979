package async

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/goqmp/qmp/internal/contexts"
)

// ListenerOptions configures an [EventListener]. A nil *ListenerOptions, like
// the zero value, keeps every event until it is read.
type ListenerOptions struct {
	// Filter decides which events are queued; nil takes all. It runs inside
	// the engine and holds up the connection: it returns at once, and calls
	// nothing of this client or listener.
	Filter func(Event) bool

	// Limit is how many unread events are kept. Beyond it the oldest are
	// dropped, and the next read says how many. Zero is no limit.
	Limit int

	// History is how many of the events that were queued are kept for
	// [EventListener.History], read or not. Zero keeps none.
	History int
}

// An EventListener is a queue of events. It lives until its Close, over any
// number of connections. All methods may be called concurrently; an event goes
// to one of the readers.
//
// Besides events a reader gets two kinds of notice, each once, in its place
// among them: an [*OverflowError] where events were dropped, and an
// [*ExecInterruptedError] where a connection ended without being asked to.
// Reading goes on behind them.
type EventListener struct {
	client  *Client
	names   map[string]struct{} // nil takes every name
	filter  func(Event) bool
	limit   int
	history int

	mu     sync.Mutex    // guards the fields below; taken with Client.mu held, never the other way round
	queue  []Event       // unread, oldest first
	base   uint64        // how many events were queued before queue[0]
	ends   []listenerEnd // unread ends of connections
	lost   int           // dropped since the last read
	past   []Event       // the history, oldest first
	state  Runstate      // of the client
	cause  error         // of the client: why the connection ended, until that is collected
	epoch  uint64        // counts orderly disconnects: they wake readers with ErrClosed
	closed bool
	wake   chan struct{} // closed at the next change; nil while nobody waits
}

// listenerEnd is the end of a connection behind the first at events.
type listenerEnd struct {
	at  uint64
	err error
}

// NewListener returns a listener for the events of the given names, or for all
// events if there are none. It hears events from now on. Close it when done.
func (c *Client) NewListener(opts *ListenerOptions, names ...string) *EventListener {
	if opts == nil {
		opts = &ListenerOptions{}
	}
	l := &EventListener{client: c, filter: opts.Filter, limit: max(opts.Limit, 0), history: max(opts.History, 0)}
	if len(names) > 0 {
		l.names = make(map[string]struct{}, len(names))
		for _, name := range names {
			l.names[name] = struct{}{}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.state, l.cause = c.stage.state(), c.stage.cause()
	c.storeListeners(append(slices.Clone(c.loadListeners()), l))
	return l
}

// Close ends the listener. Whoever waits gets [ErrClosed]; what is still queued
// can be read.
func (l *EventListener) Close() {
	c := l.client
	c.mu.Lock()
	c.storeListeners(slices.DeleteFunc(slices.Clone(c.loadListeners()), func(o *EventListener) bool { return o == l }))
	c.mu.Unlock()

	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wakeAll()
}

// hears reports whether the listener wants events of this name at all.
func (l *EventListener) hears(name string) bool {
	if l.names == nil {
		return true
	}
	_, ok := l.names[name]
	return ok
}

// wanted returns the names that the listener was made for, sorted.
func (l *EventListener) wanted() []string { return slices.Sorted(maps.Keys(l.names)) }

// put queues ev, unless the filter is against it, and returns at once.
//
// Lower half: runs on the reader.
func (l *EventListener) put(ev Event) {
	if l.filter != nil && !l.filter(ev) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.history > 0 {
		if len(l.past) == l.history {
			l.past[0] = Event{}
			l.past = l.past[1:]
		}
		l.past = append(l.past, ev)
	}
	if l.limit > 0 && len(l.queue) == l.limit {
		l.drop()
		l.lost++
	}
	l.queue = append(l.queue, ev)
	l.wakeAll()
}

// drop takes the oldest event off the queue. mu is held.
func (l *EventListener) drop() {
	l.queue[0] = Event{} // let go of its bytes
	l.queue = l.queue[1:]
	l.base++
}

// connectionEnded marks the place where a connection ended unasked.
func (l *EventListener) connectionEnded(err *ExecInterruptedError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cause = err.Err
	if l.limit > 0 && len(l.ends) == l.limit {
		l.ends = l.ends[1:] // a bounded listener stays bounded however often a connection fails
	}
	l.ends = append(l.ends, listenerEnd{at: l.base + uint64(len(l.queue)), err: err})
	l.wakeAll()
}

// stateChanged follows the client. Called with Client.mu held.
func (l *EventListener) stateChanged(state Runstate, orderly bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = state
	if state == Idle {
		l.cause = nil
	}
	if orderly {
		l.epoch++
	}
	if orderly || state == Idle || state == Disconnecting {
		l.wakeAll()
	}
}

func (l *EventListener) wakeAll() {
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

// take returns what is next without waiting. ok is false if there is nothing.
// mu is held.
func (l *EventListener) take() (ev Event, ok bool, err error) {
	if l.lost > 0 {
		err = &OverflowError{Lost: l.lost}
		l.lost = 0
		return Event{}, true, err
	}
	if len(l.ends) > 0 && l.ends[0].at <= l.base {
		err = l.ends[0].err
		l.ends = l.ends[1:]
		return Event{}, true, err
	}
	if len(l.queue) > 0 {
		ev = l.queue[0]
		l.drop()
		if len(l.queue) == 0 {
			l.queue = nil // a burst's memory goes when it has been read
		}
		return ev, true, nil
	}
	return Event{}, false, nil
}

// Next returns the oldest unread event, and waits for one. The error is one of
// the two notices of [EventListener]; an [*EventWaitError] around what ctx ended
// with; with nothing unread, a [*StateError] at once while the client is neither connected nor connecting;
// or [ErrClosed] when the wait was ended by an orderly disconnect or by Close.
func (l *EventListener) Next(ctx context.Context) (Event, error) {
	var epoch uint64
	for first := true; ; first = false {
		l.mu.Lock()
		if ev, ok, err := l.take(); ok {
			l.mu.Unlock()
			return ev, err
		}
		if first {
			epoch = l.epoch
		}
		if err := l.idleError(epoch); err != nil {
			l.mu.Unlock()
			return Event{}, err
		}
		if l.wake == nil {
			l.wake = make(chan struct{})
		}
		wake := l.wake
		l.mu.Unlock()

		select {
		case <-wake:
		case <-ctx.Done():
			return Event{}, &EventWaitError{Names: l.wanted(), Client: l.client.name(), Err: contexts.Err(ctx)}
		}
	}
}

// idleError says why waiting on is pointless, or nil. mu is held.
func (l *EventListener) idleError(epoch uint64) error {
	switch {
	case l.closed, l.epoch != epoch:
		return ErrClosed
	case l.state == Idle, l.state == Disconnecting:
		return &StateError{Op: "wait for an event", State: l.state, Required: Running, Client: l.client.name(), Cause: l.cause}
	}
	return nil
}

// TryNext is Next without the wait: ok is false if nothing is unread. err is
// one of the two notices, and ok then false as well.
func (l *EventListener) TryNext() (ev Event, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ev, taken, err := l.take()
	return ev, taken && err == nil, err
}

// Drain returns all unread events up to the first notice, without waiting. If
// a notice stands in front, it is the error, and the events behind it come
// with the next Drain.
func (l *EventListener) Drain() ([]Event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var events []Event
	for {
		if len(events) > 0 && len(l.ends) > 0 && l.ends[0].at <= l.base {
			return events, nil
		}
		ev, ok, err := l.take()
		if err != nil {
			return nil, err
		}
		if !ok {
			return events, nil
		}
		events = append(events, ev)
	}
}

// Len returns how many events are unread.
func (l *EventListener) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

// History returns the newest events that were queued, read or not, oldest
// first, as many as ListenerOptions.History says.
func (l *EventListener) History() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.past)
}

// All returns an iterator over the events. A notice is yielded as an error, and
// the iteration goes on behind it; any other error of [EventListener.Next] is
// yielded last.
func (l *EventListener) All(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			ev, err := l.Next(ctx)
			if !yield(ev, err) {
				return
			}
			if err != nil && !isNotice(err) {
				return
			}
		}
	}
}

// isNotice tells the two errors behind which a listener goes on.
func isNotice(err error) bool {
	switch err.(type) {
	case *OverflowError, *ExecInterruptedError:
		return true
	}
	return false
}
