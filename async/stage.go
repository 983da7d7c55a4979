package async

import (
	"context"
	"errors"
	"log/slog"

	"github.com/goqmp/qmp/internal/contexts"
)

// An activity is what a client is busy with. It tells more than the [Runstate]
// that goes with it.
type activity int

const (
	idle        activity = iota // no connection, and none on its way
	dialing                     // Connect or Attach makes a connection
	binding                     // Listen makes a listening socket
	listening                   // between Listen and Accept
	accepting                   // Accept waits for the peer
	handshaking                 // the connection is there; the greeting and the negotiation are not over
	running                     // commands can be executed
	lost                        // the session has ended by itself; Disconnect has not collected the cause
	closing                     // Disconnect is ending what was there, or an attempt failed
)

// activities lists what each activity shows as, and every move that is legal.
// The tests of rule E1 read it.
//
// A client that connects again by itself needs one more activity, which shows as
// Connecting: the wait before it dials again. It is reached from lost and from a
// failed handshake, and leads to dialing.
var activities = [...]struct {
	name  string
	state Runstate
	next  []activity
}{
	idle:        {"idle", Idle, []activity{dialing, binding}},
	dialing:     {"dialing", Connecting, []activity{handshaking, closing}},
	binding:     {"binding", Connecting, []activity{listening, closing}},
	listening:   {"listening", Connecting, []activity{accepting, closing}},
	accepting:   {"accepting", Connecting, []activity{handshaking, closing}},
	handshaking: {"handshaking", Connecting, []activity{running, closing}},
	running:     {"running", Running, []activity{lost, closing}},
	lost:        {"lost", Disconnecting, []activity{closing}},
	closing:     {"closing", Disconnecting, []activity{idle}},
}

func (a activity) String() string { return activities[a].name }

// A stage is what a client is doing, with all that belongs to it. A client has
// exactly one; nil means idle. A stage does not change: the client moves to
// another one. The one who made the move does what the new stage needs, such as
// calls of files and sockets, after the move and without a lock.
type stage struct {
	doing activity

	addr   string                  // of all from Connect, Listen or Accept to handshaking: as the caller gave it
	cancel context.CancelCauseFunc // of dialing, binding, accepting and handshaking: makes that call give up
	socket listeningSocket         // of listening and accepting

	session *session              // of running, lost, and closing after these
	lost    *ExecInterruptedError // of lost, and closing after it: how the session ended

	orderly bool          // of closing: this side asked for the end
	left    chan struct{} // of closing: closed when the client is idle
	err     error         // of closing: what Disconnect or the failed attempt returns; written before the move to idle
}

// what returns idle for a nil stage.
func (s *stage) what() activity {
	if s == nil {
		return idle
	}
	return s.doing
}

func (s *stage) state() Runstate { return activities[s.what()].state }

// cause returns why the connection ended, as long as Disconnect has not
// collected that; otherwise nil.
func (s *stage) cause() error {
	if s == nil {
		return nil
	}
	return s.lost.cause()
}

// newClosing returns the closing stage after s.
func (s *stage) newClosing(orderly bool) *stage {
	return &stage{doing: closing, session: s.session, lost: s.lost, orderly: orderly, left: make(chan struct{})}
}

// now returns the stage that the client is at.
func (c *Client) now() *stage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stage
}

// move takes the client from one stage to the next, or through several to the
// last one in one step, and tells watchers and listeners. It does nothing and
// reports false if the client is not at from, or if the session that it would run
// with has ended. Nothing else writes Client.stage.
//
// The goroutine that made the present stage makes the next move. Two others may
// be quicker: Disconnect, which moves to closing from anywhere, and a session
// that ends by itself.
func (c *Client) move(from *stage, path ...*stage) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stage != from {
		return false
	}
	for _, to := range path {
		if to.what() == running && to.session.hasEnded() {
			return false
		}
		checkMove(c, c.stage.what(), to.what())
		c.leave(c.stage, to)
	}
	return true
}

// checkMove is replaced by the tests.
var checkMove = func(c *Client, from, to activity) {}

// leave makes one move. mu is held.
func (c *Client) leave(from, to *stage) {
	c.stage = to
	if from == nil {
		c.life = &life{over: make(chan struct{})}
	}
	switch to.what() {
	case running:
		c.greeting = to.session.greeting
	case lost:
		for _, l := range c.loadListeners() {
			l.connectionEnded(to.lost)
		}
		c.life.end(to.lost.Err)
	case idle:
		c.life.end(from.err)
		close(from.left)
	}
	t := Transition{From: from.state(), To: to.state()}
	if t.From == t.To {
		return
	}
	orderly := from != nil && from.orderly || to != nil && to.orderly
	for w := range c.watchers {
		w.put(t)
	}
	for _, l := range c.loadListeners() {
		l.stateChanged(t.To, orderly)
	}
}

// A life is the time from Connect, Listen or Accept until the client has no
// connection any more and does not try to make one by itself. Client.mu guards it.
type life struct {
	over chan struct{} // closed at the end
	err  error         // why; nil before
}

// end ends the life, once. A nil err is an orderly end.
func (l *life) end(err error) {
	if l.err != nil {
		return
	}
	if l.err = err; err == nil {
		l.err = ErrClosed
	}
	close(l.over)
}

// Done returns a channel that is closed when the client has no connection any more,
// and does not try to make one by itself: the connection has ended, or could not be
// made. [Client.Err] then says why. The channel is that of the present Connect or
// Listen, or of the last one; each has its own. Before the first it is closed.
func (c *Client) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life == nil {
		return never
	}
	return c.life.over
}

// Err returns nil as long as the channel of [Client.Done] is open. Afterwards it
// returns why the connection ended, as Disconnect does ([HungUp] tells an end by
// the server), ErrClosed for an orderly end, or the error of the failed Connect,
// Listen or Accept. Before the first of those it is a [*StateError]. It stays the
// same until the next Connect or Listen.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life == nil {
		return c.stateError("look at the connection", nil, Running)
	}
	return c.life.err
}

// never is the Done of a client that has not been connected yet.
var never = func() chan struct{} {
	over := make(chan struct{})
	close(over)
	return over
}()

// An attempt is a Connect, an Attach, a Listen or an Accept under way. It belongs
// to the goroutine of that call.
type attempt struct {
	client  *Client
	op      string // "connect", "listen" or "accept"
	addr    string // as the caller gave it; Accept takes it from Listen
	reached ConnectStage
	dials   int // how often it has dialled

	// ctx is the caller's, and ends with ErrClosed when Disconnect calls the
	// attempt off.
	ctx context.Context
	at  *stage // the newest stage of the attempt; Disconnect may have moved the client away from it
}

// begin moves the client from an activity to the first one of an attempt. The
// error is a [*StateError], or a [*ConnectError] for a context that has ended
// already. Both change nothing.
func (a *attempt) begin(ctx context.Context, from, to activity) error {
	a.reached = StageConnection
	for {
		at := a.client.now()
		if at.what() != from {
			return a.client.stateError(a.op, at, activities[from].state)
		}
		a.at = &stage{doing: to, addr: a.addr}
		if at != nil {
			a.addr, a.at.addr, a.at.socket = at.addr, at.addr, at.socket
		}
		if ctx.Err() != nil {
			return a.error(contexts.Err(ctx))
		}
		a.ctx, a.at.cancel = context.WithCancelCause(ctx)
		if a.client.move(at, a.at) {
			return nil
		}
		a.at.cancel(nil) // the client has just moved: look again
	}
}

// advance moves the client to the next stage. The error is nil, or why the attempt
// cannot go on.
func (a *attempt) advance(next *stage) error {
	next.addr = a.addr
	if next.doing == handshaking {
		next.cancel = a.at.cancel
	}
	if a.client.move(a.at, next) {
		if next.cancel == nil {
			a.at.cancel(nil)
		}
		a.at = next
		return nil
	}
	if a.client.now() == a.at { // so it was for the session
		<-next.session.done
		return next.session.whyHandshakeEnded()
	}
	return a.calledOff()
}

// calledOff returns the error of an attempt that Disconnect has called off. It
// matches [ErrClosed], whatever else has ended the context meanwhile.
func (a *attempt) calledOff() error {
	<-a.ctx.Done() // Disconnect is about to end it
	err := contexts.Err(a.ctx)
	if !errors.Is(err, ErrClosed) {
		err = collect(ErrClosed, err)
	}
	return err
}

// fail ends the attempt and leaves the client idle. It returns the
// [*ConnectError].
func (a *attempt) fail(err error) error {
	c := a.client
	failure := a.error(err)
	level := slog.LevelError
	if c.now() != a.at { // Disconnect has called it off
		level = slog.LevelInfo
	}
	c.logger().Log(context.Background(), level, "qmp: no connection", "error", failure)
	a.at.cancel(nil)
	end := a.at.newClosing(false)
	end.err = failure
	if !c.move(a.at, end, nil) {
		c.move(c.now(), nil) // from Disconnect's stage: Disconnect waits for this
	}
	return failure
}

// error returns the [*ConnectError] of an attempt that ended with err.
func (a *attempt) error(err error) error {
	return &ConnectError{Op: a.op, Address: a.addr, Stage: a.reached, Attempts: a.dials, Client: a.client.name(), Err: err}
}
