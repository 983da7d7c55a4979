// Package catalog knows what a machine can do: its commands, their arguments and the
// names that it has at the moment. The machine itself is asked, by introspection.
//
//	c := catalog.New(client)
//	go c.Load(ctx)                                      // or the first call below does it
//	done := c.Complete(ctx, "blockdev-add dri", 16)     // what may be written at the cursor
//	problems := c.Check(command)                        // before it is sent
//	text, err := c.Help(ctx, "blockdev-add")
//
// A [Catalog] may be used concurrently.
package catalog

import (
	"context"
	"sync"

	"github.com/goqmp/qmp/async"
)

// A Catalog knows what the server of a connection can do.
type Catalog struct {
	caller async.Caller
	live   *liveNames

	mu       sync.Mutex // guards the field below; held briefly, never across I/O
	question *question  // nil before the first question, and after one that failed
}

// A question to the server is what it can do.
type question struct {
	done   chan struct{} // closed when the question has ended
	server *server       // the answer; set before done is closed
	err    error         // why there is none; set before done is closed
}

// New returns a Catalog of the server that c talks to. It asks nothing yet.
func New(c async.Caller) *Catalog {
	return &Catalog{caller: c, live: newLiveNames(c)}
}

// Forget drops everything that the server said, because another one may answer now. Call
// it after each reconnection.
func (c *Catalog) Forget() {
	c.mu.Lock()
	c.question = nil
	c.mu.Unlock()
	c.live.forget()
}

// Load asks the server what it can do. It does nothing if that is known. Of several calls
// at the same time one asks, and the others wait for it. Call it in the background after
// connecting: the answer of QEMU has 200 kB. If ctx ends before the server answers, the
// question goes on for up to a minute, and its answer is there for later calls.
//
// The error is nil for a server without introspection: see [Catalog.Note]. Else it says
// why the server did not answer; the next call asks again.
func (c *Catalog) Load(ctx context.Context) error {
	_, err := c.server(ctx)
	return err
}

// server returns what the server can do.
func (c *Catalog) server(ctx context.Context) (*server, error) {
	c.mu.Lock()
	q := c.question
	if q == nil {
		q = &question{done: make(chan struct{})}
		c.question = q
		go c.ask(context.WithoutCancel(ctx), q)
	}
	c.mu.Unlock()
	select {
	case <-q.done:
		return q.server, q.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ask asks the server, and drops the question if the server did not answer.
func (c *Catalog) ask(ctx context.Context, q *question) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	q.server, q.err = ask(ctx, c.caller)
	c.mu.Lock()
	if q.err != nil && c.question == q {
		c.question = nil
	}
	c.mu.Unlock()
	close(q.done)
}

// known returns what the server can do if it has answered already, else nil.
func (c *Catalog) known() *server {
	c.mu.Lock()
	q := c.question
	c.mu.Unlock()
	if q == nil {
		return nil
	}
	select {
	case <-q.done:
		return q.server
	default:
		return nil
	}
}

// Note says what the catalog cannot know about this server, or "". For example the guest
// agent has no introspection.
func (c *Catalog) Note() string {
	if s := c.known(); s != nil {
		return s.note
	}
	return ""
}

// Version returns the server's version, such as "7.2.22", or "" if it is not known (yet).
func (c *Catalog) Version() string {
	if s := c.known(); s != nil {
		return s.version
	}
	return ""
}

// Commands returns the names of the server's commands, sorted, or nil if they are not
// known (yet). Do not change the slice.
func (c *Catalog) Commands() []string {
	if s := c.known(); s != nil {
		return s.commands
	}
	return nil
}

// Events returns the names of the server's events, sorted, or nil if they are not known.
// Do not change the slice.
func (c *Catalog) Events() []string {
	if s := c.known(); s != nil {
		return s.events
	}
	return nil
}
