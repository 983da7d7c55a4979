package async

import (
	"context"
	"fmt"

	"github.com/goqmp/qmp/internal/contexts"
)

// Calls that wait for a connection (Reconnect.Wait) stand in a queue of the client.
// When the client is running, the first of them goes on. The next one goes on when the
// first has a place in the queue of a gate, or has its turn to be written: so they are
// sent in the order in which they were made. A new call joins the queue if it is not
// empty. Out-of-band commands do not wait for others: all of them go on at once.
//
// If the connection ends meanwhile, a call that was not sent takes its old place in the
// queue again.

// An entry is the way of one call to a session. Client.mu guards it.
type entry struct {
	client *Client
	oob    bool

	number   uint64        // counts the calls that have waited; 0 before the first wait
	queued   bool          // it is in Client.queue
	released chan struct{} // closed when the entry is not in the queue any more
	first    bool          // it is Client.entering: the calls in the queue wait for it
}

// newEntry returns the entry of a call with this context, or nil if the call does not
// wait. All methods of a nil entry may be called.
func (c *Client) newEntry(ctx context.Context, oob bool) *entry {
	if c.opts.Reconnect == nil || !c.opts.Reconnect.Wait || ctx.Value(insideOnConnect{}) == c {
		return nil
	}
	return &entry{client: c, oob: oob}
}

// session returns the session of a running client for a call that op describes. If e is
// not nil and the client is connecting, it waits; e.entered is to be called some time
// after that. The error is a [*StateError], or an [*ExecInterruptedError] if ctx has
// ended.
func (c *Client) session(ctx context.Context, e *entry, op, command string) (*session, error) {
	if e == nil {
		return c.running(op)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		at := c.stage
		switch {
		case at.activity() == running:
			if e.oob || e.first || c.entering == nil && c.queue.len() == 0 {
				return at.session, nil
			}
		case at.state() != Connecting:
			e.leave()
			return nil, c.stateError(op, at, Running)
		}
		e.join()
		released := e.released
		c.mu.Unlock()
		select {
		case <-released:
			c.mu.Lock()
		case <-ctx.Done():
			c.mu.Lock()
			e.leave()
			note := "waiting for a connection"
			if cause := at.cause(); cause != nil {
				note = fmt.Sprintf("waiting for a new connection: the last one has ended: %v", cause)
			}
			return nil, &ExecInterruptedError{Command: command, Client: c.name(), Note: note, Err: contexts.Err(ctx)}
		}
	}
}

// join puts e into the queue. mu is held.
func (e *entry) join() {
	c := e.client
	if e.number == 0 {
		c.waited++
		e.number = c.waited
	}
	e.released = make(chan struct{})
	c.queue.insert(e)
	if e.first {
		e.first, c.entering = false, nil
	}
	c.admit()
}

// leave removes e from the queue, and lets the next entry go on if that waited for e. mu
// is held.
func (e *entry) leave() {
	c := e.client
	c.queue.remove(e)
	if e.first {
		e.first, c.entering = false, nil
		c.admit()
	}
}

// entered notes that the call has a place at a gate or its turn to be written, or has
// failed. It may be called again.
func (e *entry) entered() {
	if e == nil {
		return
	}
	e.client.mu.Lock()
	defer e.client.mu.Unlock()
	e.leave()
}

// admit lets the first entry of the queue go on, if it may. mu is held.
func (c *Client) admit() {
	if c.entering != nil || c.queue.len() == 0 || c.stage.activity() != running {
		return
	}
	e := c.queue.pop()
	c.entering, e.first = e, true
	close(e.released)
}

// settled lets entries go on when the client has stopped connecting: those that need no
// order if it is running, or else all, which fail. mu is held.
func (c *Client) settled() {
	all := c.stage.activity() != running
	c.queue.removeFunc(func(e *entry) bool {
		if all || e.oob {
			close(e.released)
			return true
		}
		return false
	})
	c.admit()
}
