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
// SetTimeout has no say here.
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
	for ; ok; ev, ok = q.poll() {
		m, err := decodeEvent(ev)
		if err != nil {
			unread = append(unread, err)
			continue
		}
		events = append(events, m)
	}
	return events, errors.Join(unread...)
}

// ClearEvents throws the queue away.
func (q *QEMUMonitorProtocol) ClearEvents() {
	for {
		if _, ok := q.poll(); !ok {
			return
		}
	}
}

// decodeEvent returns the whole event. QMP knows no id in one. Where a server
// sends one all the same, in what is a reply as well, an integer is the engine's
// and does not show.
func decodeEvent(ev async.Event) (map[string]any, error) {
	m, err := decodeObject(ev.Raw)
	_, isSuccess := m["return"]
	_, isError := m["error"]
	if _, engines := m["id"].(int64); engines && (isSuccess || isError) {
		delete(m, "id")
	}
	return m, err
}

// The queue is that of package qmpsync, which marks in it where a connection
// ended. The old module's has events only, so these marks are passed over; the
// last one is kept, to be the error of those who wait while that connection's
// end is not collected.

// next returns the oldest event. ok is false without an error if there is none
// and wait is NoWait.
func (q *QEMUMonitorProtocol) next(wait Wait) (ev async.Event, ok bool, err error) {
	if wait == NoWait {
		ev, ok = q.poll()
		return ev, ok, nil
	}
	ev, err = q.await(wait)
	return ev, err == nil, err
}

// poll returns the oldest event, if there is one.
func (q *QEMUMonitorProtocol) poll() (ev async.Event, ok bool) {
	for {
		ev, ok, err := q.sync.Events().TryNext()
		if err == nil {
			return ev, ok
		}
		q.passOver(err)
	}
}

// await returns the oldest event, and waits for one.
func (q *QEMUMonitorProtocol) await(wait Wait) (async.Event, error) {
	limit := wait.limit()
	start := time.Now()
	for {
		ev, err := q.sync.Events().Next(limit)
		if err == nil {
			return ev, nil
		}
		if !q.passOver(err) {
			return ev, q.whyNone(err)
		}
		if limit > 0 {
			limit = max(limit-time.Since(start), 1)
		}
	}
}

// passOver notes an error that has its place between events, and reports whether
// err is one.
func (q *QEMUMonitorProtocol) passOver(err error) bool {
	switch err := err.(type) { //nolint:errorlint // notices are not wrapped
	case *async.ExecInterruptedError:
		q.mu.Lock()
		defer q.mu.Unlock()
		q.ended = err
		return true
	case *async.OverflowError: // of a limited queue, where the object was made by Wrap
		return true
	}
	return false
}

// whyNone returns the error for those who wait at the empty queue: of a
// connection that has ended and is not closed yet, the cause.
func (q *QEMUMonitorProtocol) whyNone(err error) error {
	var state *async.StateError
	if !errors.As(err, &state) || state.State != async.Disconnecting {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended == nil {
		return err
	}
	return q.ended
}
