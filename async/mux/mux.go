package mux

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
)

// Options configures a [Mux]. A nil *Options, like the zero value, suits most uses.
type Options struct {
	// Logger receives what happens to users: that one has come or gone, and why, at info; a
	// user who was too slow, and a connection that could not be accepted, at warn. Nil logs
	// nothing. Commands are logged by Door.Audit.
	Logger *slog.Logger

	// KeepUsers keeps users when the connection to the server has ended, if the server
	// connects again by itself (async.Options.Reconnect). What they do then is described in
	// the package's comment. Otherwise users are disconnected, as they would be by the server.
	KeepUsers bool

	// NoOOB offers users no out-of-band execution. It has to be set if the server has that
	// capability and the connection to it does not (async.Options.NoOOB).
	NoOOB bool
}

// A Mux serves one QMP server to many users. All methods may be called concurrently.
type Mux struct {
	up   Upstream
	opts Options
	log  *slog.Logger

	changed chan struct{} // has a token when the queue of events may have changed
	closing chan struct{} // closed by shut
	wg      sync.WaitGroup

	eventMu sync.Mutex // held while events are taken from queue and given to users, so that all get them in the same order
	queue   EventQueue // nil if there are no events

	mu    sync.Mutex // guards the fields below; may be locked with eventMu held, and never the other way round
	users map[*user]struct{}
	count uint64 // how many users there have been
	why   error  // why the Mux ended; nil before
}

// New returns a Mux. opts may be nil; it is copied. Close ends it. New panics if up has no
// Caller or no Greeting.
func New(up Upstream, opts *Options) *Mux {
	if err := up.check(); err != nil {
		panic(err)
	}
	m := &Mux{
		up: up, users: make(map[*user]struct{}), log: slog.New(slog.DiscardHandler),
		changed: make(chan struct{}, 1), closing: make(chan struct{}),
	}
	if opts != nil {
		m.opts = *opts
	}
	if m.opts.Logger != nil {
		m.log = m.opts.Logger
	}
	if up.Events != nil {
		m.queue = up.Events(func() {
			select {
			case m.changed <- struct{}{}:
			default:
			}
		})
	}
	m.wg.Go(m.watch)
	return m
}

// Close disconnects all users and ends every Serve. It waits until nothing of the Mux is
// left. Commands that were sent to the server go on there. Close may be called again.
func (m *Mux) Close() error {
	m.shut(async.ErrClosed)
	m.wg.Wait()
	return nil
}

// shut ends the Mux with a cause. Only the first call counts.
func (m *Mux) shut(why error) {
	m.mu.Lock()
	first := m.why == nil
	if first {
		m.why = why
		close(m.closing)
	}
	users := m.snapshot()
	m.mu.Unlock()
	if !first {
		return
	}
	for _, u := range users {
		u.finish(why)
	}
}

// snapshot returns the present users. mu is held.
func (m *Mux) snapshot() []*user {
	users := make([]*user, 0, len(m.users))
	for u := range m.users {
		users = append(users, u)
	}
	return users
}

// cause returns why the Mux ended, or nil.
func (m *Mux) cause() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.why
}

// watch gives events to users, until the Mux or its server has ended.
func (m *Mux) watch() {
	if m.queue != nil {
		defer m.queue.Close()
	}
	var done <-chan struct{}
	if m.up.Done != nil {
		done = m.up.Done()
	}
	for {
		select {
		case <-m.changed:
			m.deliver()
		case <-done:
			m.deliver() // the events before the end
			m.shut(m.whyDone())
			return
		case <-m.closing:
			return
		}
	}
}

// whyDone returns why the server has ended for good.
func (m *Mux) whyDone() error {
	var err error
	if m.up.Err != nil {
		err = m.up.Err()
	}
	if err == nil {
		err = errors.New("the server has ended")
	}
	return &UpstreamError{Err: err}
}

// deliver gives every user the events that are in the queue. A reply is given to a user
// after deliver, so events come before the replies that they came before.
func (m *Mux) deliver() {
	if m.queue == nil {
		return
	}
	m.eventMu.Lock()
	defer m.eventMu.Unlock()
	for {
		ev, ok, err := m.queue.TryNext()
		switch {
		case ok:
			m.broadcast(message{event: true, bytes: append(ev.Raw()[:len(ev.Raw()):len(ev.Raw())], "\r\n"...)})
		case err == nil:
			return
		default:
			m.notice(err)
		}
	}
}

// broadcast queues an event, or a notice among the events, for every user.
func (m *Mux) broadcast(event message) {
	m.mu.Lock()
	users := m.snapshot()
	m.mu.Unlock()
	for _, u := range users {
		u.event(event)
	}
}

// notice handles a notice among the events.
func (m *Mux) notice(err error) {
	if lost, ok := errors.AsType[*async.OverflowError](err); ok {
		m.broadcast(message{lost: lost.Lost})
		return
	}
	if m.opts.KeepUsers {
		m.broadcast(message{gap: true, bytes: gapEvent(time.Now(), err)})
		return
	}
	m.mu.Lock()
	users := m.snapshot()
	m.mu.Unlock()
	for _, u := range users {
		u.finish(&UpstreamError{Err: err})
	}
}

// Serve accepts users at ln, by the rules of door, until ctx ends. It then disconnects
// them, and returns when nothing that it started is left. It closes ln. door may be nil,
// which lets every user execute every command; it is copied. Several Serves may run at the
// same time, each with a door of its own.
//
// The error is never nil. It is what ctx ended with; [async.ErrClosed] if Close ended the
// Mux; an [*UpstreamError] if the server has ended for good; or the error of ln.
func (m *Mux) Serve(ctx context.Context, ln net.Listener, door *Door) error {
	d, err := newDoor(door, m)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	m.mu.Lock()
	why := m.why
	if why == nil {
		m.wg.Add(1)
	}
	m.mu.Unlock()
	if why != nil {
		return errors.Join(why, ln.Close())
	}
	defer m.wg.Done()

	ctx, cancel := context.WithCancel(ctx)
	var users sync.WaitGroup
	defer users.Wait()
	defer cancel()
	defer ln.Close()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	released := make(chan struct{})
	defer close(released)
	users.Go(func() {
		select {
		case <-m.closing:
			cancel()
		case <-released:
		}
	})
	var pause time.Duration
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			users.Go(func() {
				if err := m.serve(ctx, conn, d); err != nil {
					m.log.Debug("qmp mux: user gone", "error", err)
				}
			})
		case m.cause() != nil:
			return m.cause()
		case ctx.Err() != nil:
			return contexts.Err(ctx)
		case !passing(err):
			return fmt.Errorf("mux: accept: %w", err)
		default:
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			m.log.Warn("qmp mux: cannot accept a connection; trying again", "error", err, "in", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}

// ServeConn serves one user, who is connected by conn, and closes conn. It returns when
// the user has gone: nil if the user hung up, or what ended it otherwise. door is as in
// [Mux.Serve], and not shared with other users.
func (m *Mux) ServeConn(ctx context.Context, conn net.Conn, door *Door) error {
	d, err := newDoor(door, m)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	return m.serve(ctx, conn, d)
}

// serve serves one user.
func (m *Mux) serve(ctx context.Context, conn net.Conn, d *door) error {
	m.mu.Lock()
	// mu is held: if the connection to the server ends after this, its notice reaches u.
	greeting := m.up.Greeting()
	if m.why != nil || greeting == nil {
		err := m.why
		m.mu.Unlock()
		if err == nil {
			err = errors.New("mux: there is no connection to the server at the moment, or the server has not sent a greeting")
		}
		return errors.Join(err, conn.Close())
	}
	m.count++
	u := newUser(m, d, conn, m.count, greeting)
	m.users[u] = struct{}{}
	m.wg.Add(1)
	m.mu.Unlock()
	defer m.wg.Done()
	defer func() {
		m.mu.Lock()
		delete(m.users, u)
		m.mu.Unlock()
	}()
	return u.serve(ctx)
}
