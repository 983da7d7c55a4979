package async

import "context"

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
