package async

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/goqmp/qmp/internal/contexts"
)

// A Runstate is the state of a [Client] and its connection:
//
//	Idle -> Connecting -> Running -> Disconnecting -> Idle
//	             |________________________^
//
// With Options.Reconnect it goes from Running back to Connecting when the connection
// ends unexpectedly.
//
// It is the state of the connection, not of the guest. Whether the guest runs, is
// paused or has shut down is the answer to query-status, of type RunState in QEMU's
// schema.
type Runstate int

// The run states.
const (
	// Idle: there is no connection. Connect, Attach and Listen are possible.
	Idle Runstate = iota
	// Connecting: the client dials, listens, accepts, or waits for the greeting and
	// the negotiation of capabilities, for OnConnect of Options.Reconnect, or for the
	// time of the next attempt.
	Connecting
	// Running: commands can be executed.
	Running
	// Disconnecting: Disconnect is ending the connection, or an attempt to connect
	// has failed and is ending. Or the connection has ended without a Disconnect, and
	// the client does not connect again: the next Disconnect or Close returns the cause.
	Disconnecting
)

// String returns the state's name in capital letters, such as "RUNNING".
func (s Runstate) String() string {
	switch s {
	case Idle:
		return "IDLE"
	case Connecting:
		return "CONNECTING"
	case Running:
		return "RUNNING"
	case Disconnecting:
		return "DISCONNECTING"
	}
	return fmt.Sprintf("Runstate(%d)", int(s))
}

// A Transition is one change of a client's run state.
type Transition struct {
	From, To Runstate

	// Cause is why the connection ended, why an attempt failed, or why the client gave
	// up connecting again (a [*GaveUpError]). It is nil if this side wanted the change.
	// At the transition to [Idle] it is what Disconnect, or the failed call, returns.
	Cause error
}

// A RunstateWatcher receives every transition of a client's run state, in order,
// from the moment it is made. It keeps transitions until they are read, without a
// limit: close it when you no longer read it. All methods may be called
// concurrently; a transition goes to one of the readers.
type RunstateWatcher struct {
	client *Client

	mu     sync.Mutex // guards the fields below; may be locked with Client.mu held, and never the other way round
	queue  []Transition
	wake   chan struct{} // closed at the next change; nil if no reader waits
	closed bool
}

// WatchRunstate returns a watcher of the client's run state: of its connection's, not
// of the guest's (see [Runstate]). Close it when you no longer read it.
func (c *Client) WatchRunstate() *RunstateWatcher {
	w := &RunstateWatcher{client: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watchers == nil {
		c.watchers = make(map[*RunstateWatcher]struct{})
	}
	c.watchers[w] = struct{}{}
	return w
}

// put queues t and returns at once. The caller holds Client.mu, so that all watchers
// receive transitions in the same order.
func (w *RunstateWatcher) put(t Transition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, t)
	w.wakeAll()
}

func (w *RunstateWatcher) wakeAll() {
	if w.wake != nil {
		close(w.wake)
		w.wake = nil
	}
}

// Next returns the oldest unread transition. If there is none, it waits for the next
// one. The error is what ctx ended with, or [ErrClosed] if the watcher is closed and
// all its transitions have been read.
func (w *RunstateWatcher) Next(ctx context.Context) (Transition, error) {
	for {
		w.mu.Lock()
		if len(w.queue) > 0 {
			t := w.queue[0]
			w.queue = w.queue[1:]
			w.mu.Unlock()
			return t, nil
		}
		if w.closed {
			w.mu.Unlock()
			return Transition{}, ErrClosed
		}
		if w.wake == nil {
			w.wake = make(chan struct{})
		}
		wake := w.wake
		w.mu.Unlock()

		select {
		case <-wake:
		case <-ctx.Done():
			return Transition{}, contexts.Err(ctx)
		}
	}
}

// All returns an iterator over the transitions. It waits for the next one, and ends
// when [RunstateWatcher.Next] returns an error.
func (w *RunstateWatcher) All(ctx context.Context) iter.Seq[Transition] {
	return func(yield func(Transition) bool) {
		for {
			t, err := w.Next(ctx)
			if err != nil || !yield(t) {
				return
			}
		}
	}
}

// Close ends the watcher. Transitions that it has received can still be read. It does
// not wait.
func (w *RunstateWatcher) Close() {
	w.client.mu.Lock()
	delete(w.client.watchers, w)
	w.client.mu.Unlock()

	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.wakeAll()
}
