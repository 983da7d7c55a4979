package async

import (
	"context"
	"errors"
	"log/slog"

	"github.com/goqmp/qmp/internal/contexts"
)

// An activity is what a client is doing, in more detail than its [Runstate].
type activity int

const (
	idle        activity = iota // there is no connection
	dialing                     // Connect or Attach makes a connection
	binding                     // Listen makes a listening socket
	listening                   // between Listen and Accept
	accepting                   // Accept waits for the server to connect
	handshaking                 // the connection is made; the greeting and the negotiation are not over
	running                     // commands can be executed
	lost                        // the session has ended, and not by Disconnect; the next Disconnect returns the cause
	closing                     // Disconnect is ending a connection or an attempt, or an attempt has failed
)

// activities has the run state of each activity, and every legal move. The tests of
// rule E1 read it.
//
// A client that connects again without a call of Connect would need one more
// activity, whose run state is Connecting: the wait before it dials again. The client
// would come to it from lost and from a failed handshake, and go on to dialing.
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

// A stage is what a client is doing, with everything that belongs to it. A client has
// exactly one stage; nil means idle. A stage does not change, except for err: the
// client moves to another one. The goroutine that made the move does what the new
// stage needs, such as calls of sockets, after the move and without a lock.
//
// The comment of each field names the activities that have it.
type stage struct {
	doing activity

	addr   string                  // dialing to handshaking: the address as the caller gave it
	cancel context.CancelCauseFunc // dialing, binding, accepting, handshaking: cancels that call
	socket listeningSocket         // listening, accepting

	session *session              // running, lost, and closing after these
	lost    *ExecInterruptedError // lost, and closing after it: how the session ended

	orderly bool          // closing: Disconnect ended a connection or an attempt
	left    chan struct{} // closing: closed when the client is idle
	err     error         // closing: what Disconnect, or the failed attempt, returns; written before the move to idle
}

// activity returns what the client is doing. s may be nil, which means idle.
func (s *stage) activity() activity {
	if s == nil {
		return idle
	}
	return s.doing
}

func (s *stage) state() Runstate { return activities[s.activity()].state }

// cause returns why the connection ended, if it was lost and no Disconnect has
// returned the cause yet; otherwise nil.
func (s *stage) cause() error {
	if s == nil {
		return nil
	}
	return s.lost.cause()
}

// newClosing returns the stage of closing that comes after s.
func (s *stage) newClosing(orderly bool) *stage {
	return &stage{doing: closing, session: s.session, lost: s.lost, orderly: orderly, left: make(chan struct{})}
}

// now returns the client's present stage.
func (c *Client) now() *stage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stage
}

// move moves the client from one stage to the next, or through several stages in one
// step, and tells watchers and listeners. It does nothing and returns false if the
// client is not at from any more, or if it would move to running with a session that
// has ended. Nothing else writes Client.stage.
//
// Usually the goroutine that made the present stage makes the next move. Two others
// may do so before it: Disconnect, which moves from any stage to closing, and the
// goroutine that ends a session, which moves from running to lost.
func (c *Client) move(from *stage, path ...*stage) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stage != from {
		return false
	}
	for _, to := range path {
		if to.activity() == running && to.session.hasEnded() {
			return false
		}
		checkMove(c, c.stage.activity(), to.activity())
		c.moveOnce(c.stage, to)
	}
	return true
}

// checkMove is called before each move. The tests replace it.
var checkMove = func(c *Client, from, to activity) {}

// moveOnce makes one move. mu is held.
func (c *Client) moveOnce(from, to *stage) {
	c.stage = to
	if from == nil {
		c.life = &life{over: make(chan struct{})}
	}
	switch to.activity() {
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

// A life lasts from a Connect, Attach or Listen until its connection has ended, or
// could not be made. It is what Done and Err show. Client.mu guards it.
type life struct {
	over chan struct{} // closed at the end
	err  error         // why it ended; nil before
}

// end ends the life with err. A nil err is an orderly end. Only the first call counts.
func (l *life) end(err error) {
	if l.err != nil {
		return
	}
	if l.err = err; err == nil {
		l.err = ErrClosed
	}
	close(l.over)
}

// Done returns a channel that is closed when the connection has ended, or could not be
// made. [Client.Err] then says why. Each Connect, Attach and Listen has a channel of
// its own; Done returns that of the newest one. Before the first one, it returns a
// closed channel.
func (c *Client) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life == nil {
		return closedChannel
	}
	return c.life.over
}

// Err returns nil while the channel of [Client.Done] is open. After that it returns
// one of these, until the next Connect, Attach or Listen begins:
//
//   - why the connection ended, as Disconnect returns it ([HungUp] reports whether
//     the server ended it);
//   - [ErrClosed] if Disconnect or Close ended it, or canceled the attempt;
//   - the error of the failed Connect, Attach, Listen or Accept.
//
// Before the first Connect, Attach or Listen it returns a [*StateError].
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life == nil {
		return c.stateError("look at the connection", nil, Running)
	}
	return c.life.err
}

var closedChannel = func() chan struct{} {
	over := make(chan struct{})
	close(over)
	return over
}()

// An attempt is a call of Connect, Attach, Listen or Accept that has not returned. It
// belongs to the goroutine of that call.
type attempt struct {
	client  *Client
	op      string // "connect", "listen" or "accept"
	addr    string // as the caller gave it; that of Listen for an Accept
	reached ConnectStage
	dials   int // how often it has dialed

	// ctx is derived from the caller's. Disconnect cancels it with the cause
	// ErrClosed.
	ctx context.Context
	at  *stage // the attempt's newest stage; Disconnect may have moved the client from it to closing
}

// begin moves the client from the activity from to the activity to, the first one of
// the attempt. The error is a [*StateError] if the client does something else, or a
// [*ConnectError] if ctx has already ended; nothing has changed then.
func (a *attempt) begin(ctx context.Context, from, to activity) error {
	a.reached = StageConnection
	for {
		at := a.client.now()
		if at.activity() != from {
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
		a.at.cancel(nil) // another goroutine has just moved the client: look again
	}
}

// advance moves the client to the attempt's next stage. The error says why the attempt
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
	if a.client.now() == a.at { // so the move failed because the session has ended
		<-next.session.done
		return next.session.whyHandshakeEnded()
	}
	return a.canceled()
}

// canceled returns the error of an attempt that Disconnect has canceled. It matches
// [ErrClosed], even if the caller's context has ended, too.
func (a *attempt) canceled() error {
	<-a.ctx.Done() // Disconnect cancels it after its move
	err := contexts.Err(a.ctx)
	if !errors.Is(err, ErrClosed) {
		err = joinErrors(ErrClosed, err)
	}
	return err
}

// fail ends the attempt, and moves the client to idle. It returns err as a
// [*ConnectError].
func (a *attempt) fail(err error) error {
	c := a.client
	failure := a.error(err)
	level := slog.LevelError
	if c.now() != a.at { // Disconnect has canceled it
		level = slog.LevelInfo
	}
	c.logger().Log(context.Background(), level, "qmp: no connection", "error", failure)
	a.at.cancel(nil)
	end := a.at.newClosing(false)
	end.err = failure
	if !c.move(a.at, end, nil) {
		c.move(c.now(), nil) // from Disconnect's stage of closing; Disconnect waits for this
	}
	return failure
}

// error returns the [*ConnectError] of an attempt that ended with err.
func (a *attempt) error(err error) error {
	return &ConnectError{Op: a.op, Address: a.addr, Stage: a.reached, Attempts: a.dials, Client: a.client.name(), Err: err}
}
