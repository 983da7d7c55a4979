package qmpsync

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/goqmp/qmp/async"
)

// An EventListener is a queue of events that is read without contexts. It exists
// until its Close, over any number of connections. All methods may be called
// concurrently; each event goes to one reader.
//
// Two kinds of notice stand among the events, and a reader gets each of them once,
// as an error: an [*async.OverflowError] at the place where events were dropped, and
// an [*async.ExecInterruptedError] at the place where a connection ended without a
// call of Disconnect or Close. After a notice the next read returns what follows it.
type EventListener struct{ listener *async.EventListener }

// NewListener returns a listener for the events that have one of the names, or for
// all events if no names are given. It gets the events that come from now on: make
// it before the command that causes the events. Close it when it is no longer
// needed.
func (c *Client) NewListener(opts *async.ListenerOptions, names ...string) *EventListener {
	return &EventListener{c.async.NewListener(opts, names...)}
}

// Async returns the listener of package async that has the same queue, to read it
// with contexts.
func (l *EventListener) Async() *async.EventListener { return l.listener }

// Next returns the oldest unread event. If there is none, it waits for one, no
// longer than timeout. 0 means no limit. With a negative timeout Next fails at once,
// even if an event is unread.
//
// The error is one of these:
//   - one of the two notices that [EventListener] describes;
//   - [*async.EventWaitError] around an [*async.TimeoutError]: the time limit was
//     reached; with a negative timeout it is an [*async.TimeoutError] alone;
//   - [*async.StateError], at once: nothing is unread, and the client is neither
//     connected nor connecting;
//   - [async.ErrClosed]: Disconnect or Close of the client, or Close of the
//     listener, ended the wait.
func (l *EventListener) Next(timeout time.Duration) (async.Event, error) {
	ctx, cancel := within("wait for an event", timeLimit{d: timeout})
	defer cancel()
	if timeout < 0 { // the engine would look at the queue first
		return async.Event{}, context.Cause(ctx)
	}
	return l.listener.Next(ctx)
}

// TryNext is [EventListener.Next] but does not wait: if nothing is unread, ok is
// false and err is nil. If the oldest entry is a notice, err is that notice, and ok
// is false too.
func (l *EventListener) TryNext() (ev async.Event, ok bool, err error) { return l.listener.TryNext() }

// Drain returns all unread events up to the first notice, and does not wait. If the
// oldest entry is a notice, Drain returns that as the error; the next Drain returns
// the events after it.
func (l *EventListener) Drain() ([]async.Event, error) { return l.listener.Drain() }

// Len returns how many events are unread.
func (l *EventListener) Len() int { return l.listener.Len() }

// History returns the newest events that were put into the queue, whether they have
// been read or not, oldest first. It returns at most as many as
// [async.ListenerOptions].History says.
func (l *EventListener) History() []async.Event { return l.listener.History() }

// All returns an iterator over the events, which waits for them without a time
// limit. It yields a notice as an error and then goes on. It yields any other error
// of [EventListener.Next] and then ends.
func (l *EventListener) All() iter.Seq2[async.Event, error] {
	return l.listener.All(context.Background())
}

// Close ends the listener: it gets no more events. Calls that wait return
// [async.ErrClosed]. Events that are still in the queue can be read.
func (l *EventListener) Close() { l.listener.Close() }

// Events returns the client's own queue. It gets all events from the moment at which
// the client was made, and keeps at most the newest Options.EventLimit unread ones.
// [Client.WaitEvent] reads the same queue.
func (c *Client) Events() *EventListener { return c.events }

// WaitEvent returns the oldest unread event that has one of the names, or the oldest
// of any name if no names are given. If there is none, it waits for one, no longer
// than timeout. 0 means no limit. WaitEvent discards the older events that it reads
// before the one that it returns. It also finds an event that came before the call,
// so call it after the command that causes the event.
//
// Errors are those of [EventListener.Next], except that WaitEvent reads on after an
// [*async.OverflowError]. If the connection ended and nobody has read that notice
// yet, WaitEvent returns the notice as its error when it comes to the notice's place
// in the queue.
//
// The error is an [*async.EventWaitError] around the other error if the time limit
// was reached, if WaitEvent has discarded events, or if events had been dropped
// because of Options.EventLimit. It says how many were discarded and how many were
// dropped, and has the names of the last discarded ones.
func (c *Client) WaitEvent(timeout time.Duration, names ...string) (async.Event, error) {
	return c.waitEvent(timeout, names, func(ev async.Event) bool {
		return len(names) == 0 || slices.Contains(names, ev.Name)
	})
}

// WaitEventFunc is [Client.WaitEvent] for an event for which match returns true.
// The caller's goroutine calls match, which may call any method of the client.
func (c *Client) WaitEventFunc(timeout time.Duration, match func(async.Event) bool) (async.Event, error) {
	return c.waitEvent(timeout, nil, match)
}

// lastEvents is the largest number of names in EventWaitError.Last.
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
		if ctx.Err() != nil { // Next returns queued events even when ctx has ended
			return fail(context.Cause(ctx))
		}
	}
}
