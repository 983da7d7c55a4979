package qmpsync

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/goqmp/qmp/async"
)

// An EventListener is a queue of events, read without contexts. It lives until
// its Close, over any number of connections. An event goes to one of the
// readers.
//
// Besides events a reader gets two kinds of notice, each once, in its place
// among them: an [*async.OverflowError] where events were dropped, and an
// [*async.ExecInterruptedError] where a connection ended without being asked
// to. Reading goes on behind them.
type EventListener struct{ listener *async.EventListener }

// NewListener returns a listener for the events of the given names, or for all
// events if there are none. It hears events from now on: make it before the
// command whose events it waits for. Close it when done.
func (c *Client) NewListener(opts *async.ListenerOptions, names ...string) *EventListener {
	return &EventListener{c.async.NewListener(opts, names...)}
}

// Async returns the listener of the floor below: the same queue, read with
// contexts.
func (l *EventListener) Async() *async.EventListener { return l.listener }

// Next returns the oldest unread event, and waits for one no longer than
// timeout: 0 is no limit, and a negative one has already expired, whatever is
// unread. The error is one of the two notices of [EventListener]; an
// [*async.EventWaitError] around an [*async.TimeoutError]; with nothing unread, an [*async.StateError] at once
// while the client is neither connected nor connecting; or [async.ErrClosed]
// when the wait was ended by an orderly Disconnect or by Close.
func (l *EventListener) Next(timeout time.Duration) (async.Event, error) {
	ctx, cancel := within("wait for an event", timeLimit{d: timeout})
	defer cancel()
	if timeout < 0 { // the engine would look at the queue first
		return async.Event{}, context.Cause(ctx)
	}
	return l.listener.Next(ctx)
}

// TryNext is Next without the wait: ok is false if nothing is unread. err is
// one of the two notices, and ok then false as well.
func (l *EventListener) TryNext() (ev async.Event, ok bool, err error) { return l.listener.TryNext() }

// Drain returns all unread events up to the first notice, without waiting. If
// a notice stands in front, it is the error, and the events behind it come with
// the next Drain.
func (l *EventListener) Drain() ([]async.Event, error) { return l.listener.Drain() }

// Len returns how many events are unread.
func (l *EventListener) Len() int { return l.listener.Len() }

// History returns the newest events that were queued, read or not, oldest
// first, as many as [async.ListenerOptions].History says.
func (l *EventListener) History() []async.Event { return l.listener.History() }

// All returns an iterator over the events, which waits without a limit. A
// notice is yielded as an error, and the iteration goes on behind it; any other
// error of [EventListener.Next] is yielded last.
func (l *EventListener) All() iter.Seq2[async.Event, error] {
	return l.listener.All(context.Background())
}

// Close ends the listener. Whoever waits gets [async.ErrClosed]; what is still
// queued can be read.
func (l *EventListener) Close() { l.listener.Close() }

// Events returns the client's own queue: all events since the client was made,
// the newest Options.EventLimit of them if nobody reads it. WaitEvent reads it
// too.
func (c *Client) Events() *EventListener { return c.events }

// WaitEvent returns the oldest unread event that has one of the names, or any
// name if there are none, and waits for one no longer than timeout: 0 is no
// limit. The events in front of it are read as well, and gone. An event that
// came before the call counts, so it may be called behind the command that
// causes the event.
//
// Errors are those of [EventListener.Next]: the end of the connection, unless it
// was read before, is the error at its place in the queue. An
// [*async.EventWaitError] is around them where the time limit was reached, other
// events were read, or events had been dropped for Options.EventLimit: it says how
// many of these there were, and names the last.
func (c *Client) WaitEvent(timeout time.Duration, names ...string) (async.Event, error) {
	return c.waitEvent(timeout, names, func(ev async.Event) bool {
		return len(names) == 0 || slices.Contains(names, ev.Name)
	})
}

// WaitEventFunc is [Client.WaitEvent] for an event for which match returns true.
// match is called by the caller's goroutine and may do what it likes.
func (c *Client) WaitEventFunc(timeout time.Duration, match func(async.Event) bool) (async.Event, error) {
	return c.waitEvent(timeout, nil, match)
}

// lastEvents is how many of the events that it has passed over an error of a wait
// names.
const lastEvents = 8

func (c *Client) waitEvent(timeout time.Duration, names []string, match func(async.Event) bool) (async.Event, error) {
	ctx, cancel := within("wait for an event", timeLimit{d: timeout})
	defer cancel()
	story := &async.EventWaitError{Client: c.opts.Async.Nickname}
	fail := func(err error) (async.Event, error) {
		story.Names, story.Err = slices.Clone(names), err
		return async.Event{}, story
	}
	if timeout < 0 { // the engine would look at the queue first
		return fail(context.Cause(ctx))
	}
	for {
		ev, err := c.events.listener.Next(ctx)
		var dropped *async.OverflowError
		var ended *async.EventWaitError
		switch {
		case errors.As(err, &dropped):
			story.Dropped += dropped.Lost
			continue
		case errors.As(err, &ended):
			story.Client = ended.Client
			return fail(ended.Err)
		case err != nil && story.Passed == 0 && story.Dropped == 0:
			return async.Event{}, err
		case err != nil:
			return fail(err)
		case match(ev):
			return ev, nil
		}
		story.Passed++
		if len(story.Last) == lastEvents {
			story.Last = story.Last[1:]
		}
		story.Last = append(story.Last, ev.Name)
		if ctx.Err() != nil { // Next would go on with what has been queued meanwhile
			return fail(context.Cause(ctx))
		}
	}
}
