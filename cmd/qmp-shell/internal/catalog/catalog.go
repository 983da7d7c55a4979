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
	"errors"
	"sync"

	"github.com/goqmp/qmp/async"
)

// A Catalog knows what the server of a connection can do.
type Catalog struct {
	caller async.Caller
	live   *liveNames

	mu      sync.Mutex    // guards the fields below; held briefly, never across I/O
	loaded  *server       // nil until the server has answered
	err     error         // why the last attempt failed
	loading chan struct{} // is closed when the attempt that runs has ended; nil if none runs
	epoch   int           // counts Forget, so that an answer of the last server is not kept
}

// New returns a Catalog of the server behind c. It asks nothing yet.
func New(c async.Caller) *Catalog {
	return &Catalog{caller: c, live: newLiveNames(c)}
}

// Forget drops everything that the server said, because another one may answer now. Call
// it after each reconnection.
func (c *Catalog) Forget() {
	c.mu.Lock()
	c.loaded, c.err = nil, nil
	c.epoch++
	c.mu.Unlock()
	c.live.forget()
}

// Load asks the server what it can do. It does nothing if that is known. Of several calls
// at the same time one asks, and the others wait for it. Call it in the background after
// connecting: the answer of QEMU has 200 kB.
//
// The error is nil for a server without introspection: see [Catalog.Note]. Else it says
// why the server did not answer; the next call asks again.
func (c *Catalog) Load(ctx context.Context) error {
	for {
		c.mu.Lock()
		if c.loaded != nil {
			c.mu.Unlock()
			return nil
		}
		wait := c.loading
		if wait == nil {
			done, epoch := make(chan struct{}), c.epoch
			c.loading = done
			c.mu.Unlock()
			return c.load(ctx, done, epoch)
		}
		c.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		c.mu.Lock()
		err := c.err
		c.mu.Unlock()
		if err != nil && ctx.Err() == nil && !isContextError(err) {
			return err
		}
	}
}

// load asks the server, and keeps the answer unless Forget was called since.
func (c *Catalog) load(ctx context.Context, done chan struct{}, epoch int) error {
	s, err := ask(ctx, c.caller)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == epoch {
		c.loaded, c.err = s, err
	}
	c.loading = nil
	close(done)
	return err
}

// server returns what the server can do, or nil if it has not answered when ctx ends.
func (c *Catalog) server(ctx context.Context) (*server, error) {
	if err := c.Load(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded == nil {
		return nil, errForgotten
	}
	return c.loaded, nil
}

var errForgotten = errors.New("the connection changed while the server was asked what it can do")

// known returns what the server can do if it has answered already, else nil.
func (c *Catalog) known() *server {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loaded
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

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
