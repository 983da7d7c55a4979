package legacy

import (
	"errors"
	"time"

	"github.com/goqmp/qmp/async"
)

// PullEvent takes the oldest event off the queue. If there is none, it is nil
// with [NoWait]; other waits wait for one. The error is an [*async.TimeoutError]
// when the wait has run out. Behind the last event of a connection that ended,
// it is an [*async.ExecInterruptedError] around the cause, and without a
// connection an [*async.StateError], both at once; [async.ErrClosed], when Close
// ended the wait. An event with a number too long to convert is an
// [*async.MessageError].
//
// For(0) has expired before it looks: to take what is there, and no more, is
// NoWait. SetTimeout has no say here.
func (q *QEMUMonitorProtocol) PullEvent(wait Wait) (map[string]any, error) {
	ev, ok, err := q.next(wait)
	if !ok {
		return nil, err
	}
	return decodeEvent(ev)
}

// GetEvents takes all events off the queue. If there are none, the list is empty
// with [NoWait]; other waits wait for one, and then return all that have come.
// Errors are those of PullEvent. Events that cannot be converted are left out
// and make an error, and the others are returned beside it.
func (q *QEMUMonitorProtocol) GetEvents(wait Wait) ([]map[string]any, error) {
	ev, ok, err := q.next(wait)
	if err != nil {
		return nil, err
	}
	events := []map[string]any{}
	var unread []error
	// Those that come while these are converted are the next call's: there may be
	// no end of them.
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

// ClearEvents throws the queue away.
func (q *QEMUMonitorProtocol) ClearEvents() {
	for range q.sync.Events().Len() {
		q.poll()
	}
}

// decodeEvent returns the whole event. QMP knows no id in one. Where a server
// sends one all the same, in what is a reply as well, an integer is the engine's
// and does not show.
func decodeEvent(ev async.Event) (map[string]any, error) {
	m, err := ev.Object()
	_, isSuccess := m["return"]
	_, isError := m["error"]
	if _, engines := m["id"].(int64); engines && (isSuccess || isError) {
		delete(m, "id")
	}
	return m, err
}

// The queue is that of package qmpsync, which marks in it where a connection
// ended, and where events were dropped. The old module's has events only, so
// these marks are passed over.

// next returns the oldest event. ok is false without an error if there is none
// and wait is NoWait.
func (q *QEMUMonitorProtocol) next(wait Wait) (ev async.Event, ok bool, err error) {
	if wait == NoWait {
		ev, ok = q.poll()
		return ev, ok, nil
	}
	ev, err = q.await(wait)
	if q.sync.Runstate() == async.Disconnecting {
		q.met.Store(true)
	}
	return ev, err == nil, err
}

// poll returns the oldest event, if there is one.
func (q *QEMUMonitorProtocol) poll() (ev async.Event, ok bool) {
	for {
		ev, ok, err := q.sync.Events().TryNext()
		if err != nil {
			continue // a mark
		}
		if ok && q.sync.Runstate() == async.Disconnecting {
			q.met.Store(true) // it comes from a connection that has ended
		}
		return ev, ok
	}
}

// await returns the oldest event, and waits for one.
func (q *QEMUMonitorProtocol) await(wait Wait) (async.Event, error) {
	limit := wait.limit()
	start := time.Now()
	for rest := limit; ; rest = max(limit-time.Since(start), 1) {
		if limit <= 0 {
			rest = limit
		}
		ev, err := q.sync.Events().Next(rest)
		if err == nil || !isMark(err) {
			return ev, whyNone(err, limit)
		}
	}
}

// isMark reports whether err has its place between events.
func isMark(err error) bool {
	switch err.(type) { //nolint:errorlint // they are not wrapped
	case *async.ExecInterruptedError, *async.OverflowError:
		return true
	}
	return false
}

// whyNone returns the error of those who waited at the empty queue for so long:
// of a connection that has ended and is not closed yet, the cause.
func whyNone(err error, limit time.Duration) error {
	if late, ok := errors.AsType[*async.TimeoutError](err); ok && limit > 0 {
		late.Limit = limit // the whole wait's, not that of what was left of it behind a mark
	}
	if state, ok := errors.AsType[*async.StateError](err); ok && state.Cause != nil {
		return &async.ExecInterruptedError{Client: state.Client, Err: state.Cause}
	}
	return err
}
