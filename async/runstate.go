package async

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/goqmp/qmp/internal/contexts"
)

// A Runstate is where a [Client] is in the life of a connection:
//
//	Idle -> Connecting -> Running -> Disconnecting -> Idle
//	             |________________________^
type Runstate int

// The run states.
const (
	// Idle: no connection. Connect and Listen lead on.
	Idle Runstate = iota
	// Connecting: dialling or negotiating, or listening for a peer.
	Connecting
	// Running: commands can be executed.
	Running
	// Disconnecting: the connection is being ended, or has ended by itself and
	// its cause waits to be collected with Disconnect.
	Disconnecting
)

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
}

// A RunstateWatcher sees every transition of a client from the moment it was
// made, in order, none merged away. What it has not been asked for yet is kept
// without bound; its owner closes it. All methods may be called concurrently.
type RunstateWatcher struct {
	client *Client

	mu     sync.Mutex // guards the fields below; taken with Client.mu held, never the other way round
	queue  []Transition
	wake   chan struct{} // closed at the next change; nil while nobody waits
	closed bool
}

// WatchRunstate returns a watcher of this client's run state. Close it.
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

// put queues t and returns at once. It is called with Client.mu held, so that
// all watchers see the one order.
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

// Next returns the oldest transition not returned yet, and waits for one. The
// error is what ctx ended with, or [ErrClosed] behind the last transition of a
// closed watcher.
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

// All returns an iterator over the transitions. It ends when ctx ends or the
// watcher is closed.
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

// Close ends the watch. Transitions that were seen before can still be read.
func (w *RunstateWatcher) Close() {
	w.client.mu.Lock()
	delete(w.client.watchers, w)
	w.client.mu.Unlock()

	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.wakeAll()
}
