package group

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
)

// An EventListener is one queue for the events of the members of a group. It hears the
// members of the moment when it is made, and those that join later, until its Close. All
// methods may be called concurrently; an event goes to one of the readers.
//
// The events of one member come in their order. Those of several members come in the
// order in which they were received, except that a member's events move forward to the
// places of those that it lost to its limit.
//
// A reader also gets notices, as errors of type [*Error] with the member's name. Each comes
// once, in its place among the events of its member. The reader can go on reading after
// it. Err is one of these:
//
//   - an [*async.ExecInterruptedError]: the member's connection has ended, without a call
//     of its Disconnect or Close. The member stays in the group;
//   - an [*async.GaveUpError]: the member has given up connecting again (see Reconnect in
//     [async.Options]);
//   - an [*async.StateError] with a Cause: its connection had ended already when the member
//     joined, or when the listener was made;
//   - an [*async.OverflowError]: the member sent more events than Limit in
//     [ListenerOptions] allows, and the oldest were dropped. No other member loses
//     events by that;
//   - [ErrLeft]: the member was removed from the group. It is the last of this member,
//     unless it joins again;
//   - [ErrNoEvents]: the member is of a type that has no events.
type EventListener struct {
	names  []string
	opts   ListenerOptions
	forget func() // removes the listener from its group

	feeds map[string]*feed // by the member's name; Group.mu guards it

	mu     sync.Mutex // guards the fields below; may be locked with locks of clients and of Group held, and never the other way round
	queue  queue
	closed bool
	wake   chan struct{} // closed at the next change; nil if no reader waits
}

// A feed is what a listener hears of one member. EventListener.mu guards its fields.
type feed struct {
	member string
	events *async.EventListener // nil while the member joins, and if it has no events
	queued int                  // how many entries without an item there are, or are to be added when the member has joined
	gaveUp *async.GaveUpError   // the last one that a reader got, or nil
}

// NewListener returns a listener for the events with the given names of all members, or
// for all events if no name is given. It hears what comes from now on. Close it when you
// no longer read it. opts is copied; it may be nil.
//
// A member has events if it has a method NewListener as [*async.Client] has, or a method
// Client that returns an *async.Client, as *machine.Machine has.
func (g *Group[C]) NewListener(opts *ListenerOptions, names ...string) *EventListener {
	l := &EventListener{names: slices.Clone(names), feeds: make(map[string]*feed)}
	if opts != nil {
		l.opts = *opts
	}
	if l.opts.Limit == 0 {
		l.opts.Limit = DefaultLimit
	}
	l.forget = func() { g.forget(l) }
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listeners == nil {
		g.listeners = make(map[*EventListener]struct{})
	}
	g.listeners[l] = struct{}{}
	for name, m := range g.members {
		l.join(name, m.caller)
	}
	return l
}

// forget removes a listener that is being closed.
func (g *Group[C]) forget(l *EventListener) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.listeners, l)
	for _, f := range l.feeds {
		if f.events != nil {
			f.events.Close()
		}
	}
	clear(l.feeds)
}

// Close ends the listener. It does not wait. A reader that waits gets
// [async.ErrClosed]. What is in the queue can still be read.
func (l *EventListener) Close() {
	l.forget()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wakeAll()
}

// ended is a context that has ended.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// join makes the listener hear a member, if it is to. Group.mu is held.
func (l *EventListener) join(name string, machine any) {
	if l.opts.Select != nil && !l.opts.Select(name) {
		return
	}
	f := &feed{member: name}
	l.feeds[name] = f
	var first *item
	var events *async.EventListener
	if from := heard(machine); from == nil {
		first = &item{err: ErrNoEvents}
	} else {
		opts := &async.ListenerOptions{Limit: l.opts.Limit, Notify: func() { l.changed(f) }}
		if filter := l.opts.Filter; filter != nil {
			opts.Filter = func(ev async.Event) bool { return filter(Event{name, ev}) }
		}
		events = from.NewListener(opts, l.names...)
		first = l.firstOf(f, events)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if first != nil {
		l.queue.push(entry{f, first})
	}
	f.events = events
	for range f.queued {
		l.queue.push(entry{f, nil})
	}
	l.wakeAll()
}

// firstOf reads from a new listener without waiting, and returns nil if there is nothing
// to read. That the connection had ended before is not in the new listener's queue, but
// the read says it.
func (l *EventListener) firstOf(f *feed, events *async.EventListener) *item {
	ev, err := events.Next(ended)
	if err == nil {
		return &item{event: ev}
	}
	if notice := l.notice(f, err); notice != nil {
		return &item{err: notice}
	}
	if state, ok := errors.AsType[*async.StateError](err); ok && state.Cause != nil {
		return &item{err: state}
	}
	return nil
}

// read reads from f's listener without waiting. It returns an event if ok is true, a
// notice if err is not nil, or else nothing. mu is not held.
func (l *EventListener) read(f *feed, events *async.EventListener) (ev async.Event, ok bool, err error) {
	ev, err = events.Next(ended)
	if err != nil {
		return async.Event{}, false, l.notice(f, err)
	}
	return ev, true, nil
}

// notice returns the notice in err, which a read from f's listener has returned, or nil if
// err says only that there is nothing to read. mu is not held.
func (l *EventListener) notice(f *feed, err error) error {
	switch e := err.(type) {
	case *async.OverflowError, *async.ExecInterruptedError:
		return err
	case *async.StateError:
		// That the client has given up connecting again is in no queue. Each read says it.
		l.mu.Lock()
		defer l.mu.Unlock()
		if gaveUp, ok := errors.AsType[*async.GaveUpError](e.Cause); ok && gaveUp != f.gaveUp {
			f.gaveUp = gaveUp
			return gaveUp
		}
	}
	return nil
}

// leave makes the listener stop to hear a member. Group.mu is held.
func (l *EventListener) leave(name string) {
	f := l.feeds[name]
	if f == nil {
		return
	}
	delete(l.feeds, name)
	if f.events != nil {
		f.events.Close() // nothing comes into its queue any more
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue.push(entry{f, left})
	l.wakeAll()
}

// changed notes that there may be more to read from f.
//
// Lower half: runs on the goroutine that reads the member's connection, or in a call of
// the member, with locks of the client held.
func (l *EventListener) changed(f *feed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opts.Limit > 0 && f.queued > l.opts.Limit {
		return // f.events has at most Limit events: there is an entry for each, and one for notices
	}
	f.queued++
	if f.events == nil {
		return // join is going to add the entry
	}
	l.queue.push(entry{f, nil})
	l.wakeAll()
}

// wakeAll wakes all readers that wait. mu is held.
func (l *EventListener) wakeAll() {
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

// take returns the next event or notice without waiting. ok is false if there is
// neither.
func (l *EventListener) take() (ev Event, ok bool, err error) {
	for {
		l.mu.Lock()
		e, ok := l.queue.pop()
		if !ok {
			l.mu.Unlock()
			return Event{}, false, nil
		}
		if e.item == nil {
			e.feed.queued--
		}
		f, events := e.feed, e.feed.events
		l.mu.Unlock()

		if e.item != nil && e.item != left {
			if e.item.err != nil {
				return Event{}, true, &Error{Member: f.member, Err: e.item.err}
			}
			return Event{f.member, e.item.event}, true, nil
		}
		var next async.Event
		if ok = false; events != nil {
			next, ok, err = l.read(f, events)
		}
		if err != nil || ok && e.item == left {
			// A notice has no entry of its own, and what is unread comes before left.
			l.putBack(e)
		}
		switch {
		case err != nil:
			return Event{}, true, &Error{Member: f.member, Err: err}
		case ok:
			return Event{f.member, next}, true, nil
		case e.item == left:
			return Event{}, true, &Error{Member: f.member, Err: ErrLeft}
		}
	}
}

// putBack puts an entry back to the beginning of the queue.
func (l *EventListener) putBack(e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.item == nil {
		e.feed.queued++
	}
	l.queue.putBack(e)
	l.wakeAll() // another reader may have found the queue empty meanwhile
}

// Next returns the oldest unread event. If there is none, it waits for one, also if the
// group has no members. The error is one of these:
//
//   - a notice: an [*Error] (see [EventListener]);
//   - an [*async.EventWaitError] around what ctx ended with;
//   - [async.ErrClosed] if the listener is closed and nothing is unread.
func (l *EventListener) Next(ctx context.Context) (Event, error) {
	for {
		ev, ok, err := l.take()
		if ok {
			return ev, err
		}
		l.mu.Lock()
		if l.queue.len() > 0 {
			l.mu.Unlock()
			continue
		}
		if l.closed {
			l.mu.Unlock()
			return Event{}, async.ErrClosed
		}
		if l.wake == nil {
			l.wake = make(chan struct{})
		}
		wake := l.wake
		l.mu.Unlock()

		select {
		case <-wake:
		case <-ctx.Done():
			return Event{}, &async.EventWaitError{Names: l.names, Err: contexts.Err(ctx)}
		}
	}
}

// TryNext is [EventListener.Next] without the wait. ok is false if there is no unread
// event, and if err is a notice. err is nil or a notice.
func (l *EventListener) TryNext() (ev Event, ok bool, err error) {
	ev, taken, err := l.take()
	return ev, taken && err == nil, err
}

// All returns an iterator over the events, which waits as [EventListener.Next] does. It
// yields a notice as an error, and goes on. Any other error of Next is the last that it
// yields.
func (l *EventListener) All(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			ev, err := l.Next(ctx)
			_, notice := err.(*Error)
			if !yield(ev, err) || err != nil && !notice {
				return
			}
		}
	}
}
