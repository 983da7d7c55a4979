package legacy

import (
	"errors"
	"time"

	"github.com/goqmp/qmp/async"
)

// PullEvent removes the oldest event from the queue and returns it. If the queue is
// empty, it waits for an event; with [NoWait] it returns a nil event and a nil error
// instead. SetTimeout does not affect it.
//
// With For(0) PullEvent fails at once, even if there is an event. To take an event
// only if there is one, use NoWait.
//
// Its errors:
//   - [*async.TimeoutError]: the time of the wait is over.
//   - [*async.ExecInterruptedError], at once: the queue is empty, and the connection
//     ended. The error has the cause.
//   - [*async.StateError], at once: the queue is empty, and there is no connection.
//   - [async.ErrClosed]: Close ended the wait.
//   - [*async.MessageError]: the event has a number that is too long to convert. The
//     event has been removed.
func (q *QEMUMonitorProtocol) PullEvent(wait Wait) (map[string]any, error) {
	ev, ok, err := q.next(wait)
	if !ok {
		return nil, err
	}
	return decodeEvent(ev)
}

// GetEvents removes all events from the queue and returns them. If the queue is
// empty, it waits for an event and then returns all that have come; with [NoWait] it
// returns an empty list instead. Errors are those of [QEMUMonitorProtocol.PullEvent].
// If some of the events cannot be converted, GetEvents returns the others together
// with an error.
func (q *QEMUMonitorProtocol) GetEvents(wait Wait) ([]map[string]any, error) {
	ev, ok, err := q.next(wait)
	if err != nil {
		return nil, err
	}
	events := []map[string]any{}
	var unread []error
	// Events that come from here on are left to the next call: a fast server could
	// otherwise keep this one busy for ever.
	for rest := q.sync.Events().Len(); ok; rest-- {
		m, err := decodeEvent(ev)
		if err != nil {
			unread = append(unread, err)
		} else {
			events = append(events, m)
		}
		if rest == 0 {
			break
		}
		ev, ok = q.poll()
	}
	return events, errors.Join(unread...)
}

// ClearEvents discards all events in the queue.
func (q *QEMUMonitorProtocol) ClearEvents() {
	for range q.sync.Events().Len() {
		q.poll()
	}
}

// decodeEvent returns the whole event. QMP's events have no id. If a server sends a
// message that is an event and also a reply, its id may be the one that the engine
// gave to a command. Such an id is an integer; decodeEvent removes it.
func decodeEvent(ev async.Event) (map[string]any, error) {
	m, err := ev.Object()
	_, isSuccess := m["return"]
	_, isError := m["error"]
	if _, engines := m["id"].(int64); engines && (isSuccess || isError) {
		delete(m, "id")
	}
	return m, err
}

// The queue is that of package qmpsync. It has notices at the places where a
// connection ended and where events were dropped. The old module's queue has only
// events, so the functions below skip the notices.

// next returns the oldest event. If there is none and wait is NoWait, ok is false
// and err is nil.
func (q *QEMUMonitorProtocol) next(wait Wait) (ev async.Event, ok bool, err error) {
	if wait == NoWait {
		ev, ok = q.poll()
		return ev, ok, nil
	}
	ev, err = q.await(wait)
	q.meetQueue()
	return ev, err == nil, err
}

// poll returns the oldest event, if there is one.
func (q *QEMUMonitorProtocol) poll() (ev async.Event, ok bool) {
	for {
		ev, ok, err := q.sync.Events().TryNext()
		if err != nil {
			continue // a notice
		}
		if ok {
			q.meetQueue()
		}
		return ev, ok
	}
}

// meetQueue records that the caller has seen the end of a connection that has ended: the
// queue was read after it.
func (q *QEMUMonitorProtocol) meetQueue() {
	if c := q.sync.Async(); c.Runstate() != async.Running {
		q.met.Store(c.Session())
	}
}

// await returns the oldest event, and waits for one if there is none.
func (q *QEMUMonitorProtocol) await(wait Wait) (async.Event, error) {
	limit := wait.limit()
	start := time.Now()
	for rest := limit; ; rest = max(limit-time.Since(start), 1) {
		if limit <= 0 {
			rest = limit
		}
		ev, err := q.sync.Events().Next(rest)
		if err == nil || !isNotice(err) {
			return ev, whyNone(err, limit)
		}
	}
}

// isNotice reports whether err is a notice in the queue.
func isNotice(err error) bool {
	switch err.(type) { //nolint:errorlint // they are not wrapped
	case *async.ExecInterruptedError, *async.OverflowError:
		return true
	}
	return false
}

// whyNone turns err, the error of qmpsync for an empty queue, into that of this
// package. limit is the limit of the whole wait. If the connection has ended and
// Close has not been called yet, the result has the cause.
func whyNone(err error, limit time.Duration) error {
	if late, ok := errors.AsType[*async.TimeoutError](err); ok && limit > 0 {
		late.Limit = limit // after a notice, await waits only for the rest of the time
	}
	if state, ok := errors.AsType[*async.StateError](err); ok && state.Cause != nil {
		return &async.ExecInterruptedError{Client: state.Client, Err: state.Cause}
	}
	return err
}
