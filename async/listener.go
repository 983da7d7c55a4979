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
	names   map[string]*int // the wanted names, with the index in hearing.byName, which hearing.mu guards; nil takes every name
	index   int             // in hearing.all or hearing.named; hearing.mu guards it
	filter  func(Event) bool
	notify  func() // may be nil; called with mu held
	limit   int
	history int

	mu      sync.Mutex         // guards the fields below; may be locked with Client.mu or hearing.mu held, and never the other way round
	queue   eventQueue         // the unread events
	base    uint64             // how many events were queued before the first one of queue
	ends    []listenerEnd      // unread ends of connections, oldest first
	lost    int                // how many events were dropped since the last read
	past    []*heard           // the history, oldest first
	state   Runstate           // the client's
	cause   error              // why the connection ended, while there is no other; otherwise nil
	epoch   uint64             // grows when Disconnect ends a connection or an attempt: a wait that sees it ends with ErrClosed
	readers fifo[*eventReader] // those that wait and have not been woken
	spare   *eventReader       // one that is not in use; nil for none
	closed  bool
}

// An eventReader is a call of Next that waits.
type eventReader struct {
	place element[*eventReader] // guarded by EventListener.mu
	wake  chan struct{}         // has room for one; gets a value when the reader has left the queue of readers
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
		l.names = make(map[string]*int, len(names))
		for _, name := range names {
			l.names[name] = new(int)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.state, l.cause = c.stage.state(), c.stage.cause()
	c.hearing.add(l)
	return l
}

// Close ends the listener. It does not wait. A reader that waits gets [ErrClosed].
// Events in the queue can still be read.
func (l *EventListener) Close() {
	l.client.hearing.remove(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wakeAll()
}

// wanted returns the names that the listener was made for, sorted; none means all.
func (l *EventListener) wanted() []string { return slices.Sorted(maps.Keys(l.names)) }

// put queues those of events that the filter takes, and returns at once.
//
// Lower half: runs on readLoop.
func (l *EventListener) put(events []*heard) {
	if l.filter != nil {
		var taken []*heard
		for _, e := range events {
			if l.filter(e.event()) {
				taken = append(taken, e)
			}
		}
		events = taken
	}
	if len(events) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.history > 0 {
		l.past = append(l.past, events...)
		if n := len(l.past) - l.history; n > 0 {
			clear(l.past[:n])
			l.past = l.past[n:]
		}
	}
	l.queue.push(events)
	for l.limit > 0 && l.queue.len() > l.limit {
		l.queue.pop()
		l.base++
		l.lost++
	}
	l.changed(len(events))
}

// connectionEnded queues the notice that a connection ended without a Disconnect.
// Called with Client.mu held.
func (l *EventListener) connectionEnded(err *ExecInterruptedError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit > 0 && len(l.ends) == l.limit {
		l.ends = l.ends[1:] // so memory stays bounded, however often a connection fails
	}
	l.ends = append(l.ends, listenerEnd{at: l.base + uint64(l.queue.len()), err: err})
	l.changed(1)
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

// changed says that n events or notices were added: it wakes as many readers. mu is held.
func (l *EventListener) changed(n int) {
	for i := 0; i < n && l.notify != nil; i++ {
		l.notify()
	}
	l.wake(n)
}

// wake wakes n of the readers that wait, or all if they are fewer. mu is held.
func (l *EventListener) wake(n int) {
	for ; n > 0; n-- {
		r := l.readers.pop()
		if r == nil {
			return
		}
		r.value.wake <- struct{}{}
	}
}

// wakeAll wakes all readers that wait, after a change that all must see. mu is held.
func (l *EventListener) wakeAll() {
	if l.notify != nil {
		l.notify()
	}
	l.wake(l.readers.length)
}

// take returns the next event or notice without waiting. ok is false if there is
// neither. mu is held.
func (l *EventListener) take() (e *heard, ok bool, err error) {
	if l.lost > 0 {
		err = &OverflowError{Lost: l.lost}
		l.lost = 0
		return nil, true, err
	}
	if len(l.ends) > 0 && l.ends[0].at <= l.base {
		err = l.ends[0].err
		l.ends = l.ends[1:]
		return nil, true, err
	}
	if e := l.queue.pop(); e != nil {
		l.base++
		return e, true, nil
	}
	return nil, false, nil
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
	l.mu.Lock()
	for first := true; ; first = false {
		if e, ok, err := l.take(); ok {
			l.mu.Unlock()
			return taken(e), err
		}
		if first {
			epoch = l.epoch
		}
		if err := l.idleError(epoch); err != nil {
			l.mu.Unlock()
			return Event{}, err
		}
		r := l.newReader()
		l.readers.push(&r.place)
		l.mu.Unlock()

		select {
		case <-r.wake:
			l.mu.Lock()
			l.spare = r
		case <-ctx.Done():
			l.leave(r)
			return Event{}, &EventWaitError{Names: l.wanted(), Client: l.client.name(), Err: contexts.Err(ctx)}
		}
	}
}

// leave ends the wait of r, which gives up. If r has been woken meanwhile, another
// reader is woken in its place.
func (l *EventListener) leave(r *eventReader) {
	l.mu.Lock()
	if !r.place.remove() {
		<-r.wake
		if next := l.readers.pop(); next != nil {
			next.value.wake <- struct{}{}
		}
	}
	l.spare = r
	l.mu.Unlock()
}

// newReader returns a reader for a call that is going to wait. mu is held.
func (l *EventListener) newReader() *eventReader {
	r := l.spare
	if r == nil {
		r = &eventReader{wake: make(chan struct{}, 1)}
		r.place.value = r
	}
	l.spare = nil
	return r
}

// taken returns the event that take has returned, for a caller.
func taken(e *heard) Event {
	if e == nil {
		return Event{}
	}
	return e.event()
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
	e, _, err := l.take()
	l.mu.Unlock()
	return taken(e), e != nil, err
}

// Drain returns the unread events before the first notice, without waiting. If a
// notice comes before the first event, Drain returns only that, as the error; the
// next Drain returns the events after it.
func (l *EventListener) Drain() ([]Event, error) {
	l.mu.Lock()
	e, ok, err := l.take()
	if !ok || err != nil {
		l.mu.Unlock()
		return nil, err
	}
	n := l.queue.len()
	if len(l.ends) > 0 {
		n = int(l.ends[0].at - l.base)
	}
	rest := l.queue.cut(n)
	l.base += uint64(n)
	l.mu.Unlock()

	events := make([]Event, 1, 1+n)
	events[0] = e.event()
	for _, e := range rest {
		events = append(events, e.event())
	}
	return events, nil
}

// Len returns how many events are unread. Notices do not count.
func (l *EventListener) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.len()
}

// History returns the newest events that were queued, whether they have been read,
// dropped or neither, oldest first. There are at most as many as History in
// [ListenerOptions] says. The slice belongs to the caller.
func (l *EventListener) History() []Event {
	l.mu.Lock()
	past := slices.Clone(l.past)
	l.mu.Unlock()
	var events []Event
	for _, e := range past {
		events = append(events, e.event())
	}
	return events
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
