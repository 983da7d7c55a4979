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
	// Filter decides which events are queued. Nil queues all. The connection reads
	// nothing while it runs: it must return at once, and must not call methods of
	// this client or listener.
	Filter func(Event) bool

	// Limit is how many unread events are kept. When there are more, the oldest is
	// dropped, and the next read returns an [*OverflowError] that counts the dropped
	// ones. Zero or less is no limit.
	Limit int

	// Notify is called each time the queue has changed: after an event or a notice was
	// added, when waiting has become useless, and on Close. It is for a program that
	// reads many listeners and does not want a goroutine for each: Notify says when to
	// call [EventListener.TryNext]. A call may find nothing, since another reader was
	// faster. The connection reads nothing while it runs, and locks are held: it must
	// return at once, and must not call methods of this client or listener.
	Notify func()

	// History is how many of the newest events [EventListener.History] returns,
	// whether they have been read or not. Zero or less keeps none.
	History int
}

// An EventListener is a queue of events. It receives events until its Close, from
// any number of connections, one after the other. All methods may be called
// concurrently; an event goes to one of the readers.
//
// A reader also gets two kinds of notices, as errors. Each comes once, in its place
// among the events: an [*OverflowError] where events were dropped, and an
// [*ExecInterruptedError] where a connection ended without a call of Disconnect or
// Close. The reader can go on reading after a notice.
type EventListener struct {
	client  *Client
	names   map[string]struct{} // nil takes every name
	filter  func(Event) bool
	notify  func() // may be nil; called with mu held
	limit   int
	history int

	mu     sync.Mutex    // guards the fields below; may be locked with Client.mu held, and never the other way round
	queue  []Event       // unread, oldest first
	base   uint64        // how many events were queued before queue[0]
	ends   []listenerEnd // unread ends of connections, oldest first
	lost   int           // how many events were dropped since the last read
	past   []Event       // the history, oldest first
	state  Runstate      // the client's
	cause  error         // why the connection ended, while there is no other; otherwise nil
	epoch  uint64        // grows when Disconnect ends a connection or an attempt: a wait that sees it ends with ErrClosed
	closed bool
	wake   chan struct{} // closed at the next change; nil if no reader waits
}

// listenerEnd is the notice that a connection ended.
type listenerEnd struct {
	at  uint64 // its place: after this many events, counted as base counts them
	err error
}

// NewListener returns a listener for the events with the given names, or for all
// events if no name is given. It receives events from now on, whether the client is
// connected or not. Close it when you no longer read it. opts is copied; nil keeps
// every event.
func (c *Client) NewListener(opts *ListenerOptions, names ...string) *EventListener {
	if opts == nil {
		opts = &ListenerOptions{}
	}
	l := &EventListener{client: c, filter: opts.Filter, notify: opts.Notify, limit: max(opts.Limit, 0), history: max(opts.History, 0)}
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

// Close ends the listener. It does not wait. A reader that waits gets [ErrClosed].
// Events in the queue can still be read.
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

// hears reports whether the listener was made for events of this name.
func (l *EventListener) hears(name string) bool {
	if l.names == nil {
		return true
	}
	_, ok := l.names[name]
	return ok
}

// wanted returns the names that the listener was made for, sorted; none means all.
func (l *EventListener) wanted() []string { return slices.Sorted(maps.Keys(l.names)) }

// put queues ev, unless the filter rejects it, and returns at once.
//
// Lower half: runs on readLoop.
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

// drop removes the oldest event from the queue. mu is held.
func (l *EventListener) drop() {
	l.queue[0] = Event{} // so that its bytes are freed
	l.queue = l.queue[1:]
	l.base++
}

// connectionEnded queues the notice that a connection ended without a Disconnect.
// Called with Client.mu held.
func (l *EventListener) connectionEnded(err *ExecInterruptedError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit > 0 && len(l.ends) == l.limit {
		l.ends = l.ends[1:] // so memory stays bounded, however often a connection fails
	}
	l.ends = append(l.ends, listenerEnd{at: l.base + uint64(len(l.queue)), err: err})
	l.wakeAll()
}

// stateChanged notes that the client has changed its run state. orderly says that
// Disconnect did it. cause is why the connection ended, while there is no other. Called
// with Client.mu held.
func (l *EventListener) stateChanged(state Runstate, orderly bool, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state, l.cause = state, cause
	if orderly {
		l.epoch++
	}
	if orderly || state == Idle || state == Disconnecting {
		l.wakeAll()
	}
}

// wakeAll wakes all readers that wait, after a change. mu is held.
func (l *EventListener) wakeAll() {
	if l.notify != nil {
		l.notify()
	}
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

// take returns the next event or notice without waiting. ok is false if there is
// neither. mu is held.
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
			l.queue = nil // so that the memory of a burst of events is freed
		}
		return ev, true, nil
	}
	return Event{}, false, nil
}

// Next returns the oldest unread event. If there is none, it waits for one. The
// error is one of these:
//
//   - a notice: [*OverflowError] or [*ExecInterruptedError] (see [EventListener]);
//   - an [*EventWaitError] around what ctx ended with;
//   - a [*StateError], at once, if nothing is unread and the client is neither
//     connected nor connecting;
//   - [ErrClosed] if the listener is closed and nothing is unread, or if a
//     Disconnect ended the connection or the attempt to connect during the wait.
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

// idleError returns why no event can come, or nil. epoch is l.epoch at the beginning
// of the wait. mu is held.
func (l *EventListener) idleError(epoch uint64) error {
	switch {
	case l.closed, l.epoch != epoch:
		return ErrClosed
	case l.state == Idle, l.state == Disconnecting:
		return &StateError{Op: "wait for an event", State: l.state, Required: Running, Client: l.client.name(), Cause: l.cause}
	}
	return nil
}

// TryNext is [EventListener.Next] without the wait. ok is false if there is no unread
// event, and if err is a notice. err is nil or a notice.
func (l *EventListener) TryNext() (ev Event, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ev, taken, err := l.take()
	return ev, taken && err == nil, err
}

// Drain returns the unread events before the first notice, without waiting. If a
// notice comes before the first event, Drain returns only that, as the error; the
// next Drain returns the events after it.
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

// Len returns how many events are unread. Notices do not count.
func (l *EventListener) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

// History returns the newest events that were queued, whether they have been read,
// dropped or neither, oldest first. There are at most as many as History in
// [ListenerOptions] says. The slice belongs to the caller.
func (l *EventListener) History() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.past)
}

// All returns an iterator over the events, which waits as [EventListener.Next] does.
// It yields a notice as an error, and goes on. Any other error of Next is the last
// that it yields.
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

// isNotice reports whether err is a notice, after which reading goes on.
func isNotice(err error) bool {
	switch err.(type) {
	case *OverflowError, *ExecInterruptedError:
		return true
	}
	return false
}
