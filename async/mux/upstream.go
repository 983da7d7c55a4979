package mux

import (
	"errors"

	"github.com/goqmp/qmp/async"
)

// An Upstream is the QMP server that a [Mux] shares. [Over] makes one of a client.
//
// The functions are called by several goroutines at the same time.
type Upstream struct {
	// Caller executes the users' commands. It has to be there.
	Caller async.Caller

	// Greeting returns the server's greeting, which users are greeted with. While it
	// returns nil, a user who connects is disconnected at once. It must not wait or call
	// the Mux, since a lock is held. When Events has returned the notice that a connection
	// has ended, Greeting must not return the greeting of that connection any more. It has
	// to be there.
	Greeting func() *async.Greeting

	// Events returns a queue that receives all events of the server from now on. It calls
	// changed after each change of the queue; changed does not wait. Nil means that there
	// are no events.
	Events func(changed func()) EventQueue

	// Done returns a channel that is closed when no command can be executed any more. Nil
	// means that this does not happen. Err then says why.
	Done func() <-chan struct{}
	Err  func() error
}

// An EventQueue is a queue of events, such as an [*async.EventListener].
type EventQueue interface {
	// TryNext returns the next event without waiting. ok is false if there is none, or if
	// err is a notice: an [*async.OverflowError] where events were lost, or an
	// [*async.ExecInterruptedError] where the connection to the server ended.
	TryNext() (ev async.Event, ok bool, err error)

	// Close ends the queue.
	Close()
}

var _ EventQueue = (*async.EventListener)(nil)

// Over returns the Upstream of a client's server. The client stays the caller's, who
// connects it before [New] and closes it after the Mux. Several Muxes may
// share a client, and the caller may use it too. While the client is not running, for example
// while it connects again, Greeting returns nil.
func Over(c *async.Client) Upstream {
	return Upstream{
		Caller:   c,
		Greeting: func() *async.Greeting { return greetingOf(c) },
		Events: func(changed func()) EventQueue {
			return c.NewListener(&async.ListenerOptions{Notify: changed})
		},
		Done: c.Done,
		Err:  c.Err,
	}
}

// greetingOf returns the greeting of the client's connection, or nil if it is not running.
func greetingOf(c *async.Client) *async.Greeting {
	for {
		session := c.Session()
		running := c.Runstate() == async.Running
		g := c.Greeting()
		switch {
		case !running:
			return nil
		case c.Session() == session: // all of this was about one connection
			return g
		}
	}
}

// check returns what is missing.
func (u *Upstream) check() error {
	switch {
	case u.Caller == nil:
		return errors.New("mux: Upstream.Caller is nil")
	case u.Greeting == nil:
		return errors.New("mux: Upstream.Greeting is nil")
	}
	return nil
}
