package legacy

import (
	"context"

	"github.com/goqmp/qmp/async"
)

// Do executes cmd and returns the whole reply as it came, with the order of its
// members. ctx limits the call; SetTimeout does not affect it. If the server answers
// with an error, Do's own error is nil. All other errors are those of
// [async.Client.Do].
//
// It differs from Sync().Async().Do in one thing: if it returns that the connection
// ended, Close returns the cause too.
func (q *QEMUMonitorProtocol) Do(ctx context.Context, cmd async.Command) (async.Reply, error) {
	reply, err := q.sync.Async().Do(ctx, cmd)
	return reply, q.meet(err)
}

// NextEvent removes the oldest event from the queue and returns it as it came. If the
// queue is empty, NextEvent waits for an event until ctx ends; the error is then an
// [*async.EventWaitError] around what ctx ended with. All other errors are those of
// [QEMUMonitorProtocol.PullEvent].
func (q *QEMUMonitorProtocol) NextEvent(ctx context.Context) (async.Event, error) {
	for {
		ev, err := q.sync.Events().Async().Next(ctx)
		if err != nil && isNotice(err) {
			continue
		}
		q.meetQueue()
		return ev, whyNone(err, 0)
	}
}

// TryEvent is [QEMUMonitorProtocol.NextEvent] without the wait. ok is false if the
// queue is empty.
func (q *QEMUMonitorProtocol) TryEvent() (ev async.Event, ok bool) { return q.poll() }
