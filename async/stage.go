package async

import "context"

// An activity is what a client is doing, in more detail than its [Runstate].
type activity int

const (
	idle        activity = iota // there is no connection
	waiting                     // the time before a further attempt: see Options.Backoff and Options.Reconnect
	dialing                     // a connection is made, for Connect, for Attach, or to connect again
	binding                     // Listen makes a listening socket
	listening                   // between Listen and Accept
	accepting                   // the server is to connect
	handshaking                 // the connection is made; the greeting and the negotiation are not over
	preparing                   // Options.Reconnect.OnConnect has been called and has not returned
	running                     // commands can be executed
	lost                        // the session has ended, and not by Disconnect; the next Disconnect returns the cause
	closing                     // Disconnect is ending a connection or an attempt, or an attempt has failed
)

// activities has the run state of each activity, and every legal move. The tests of
// rule E1 read it. The moves from running to waiting, and between waiting and lost, are
// those of a client with Options.Reconnect: see reconnect.go.
var activities = [...]struct {
	name  string
	state Runstate
	next  []activity
}{
	idle:        {"idle", Idle, []activity{dialing, binding}},
	waiting:     {"waiting", Connecting, []activity{dialing, accepting, lost, closing}},
	dialing:     {"dialing", Connecting, []activity{handshaking, waiting, lost, closing}},
	binding:     {"binding", Connecting, []activity{listening, closing}},
	listening:   {"listening", Connecting, []activity{accepting, closing}},
	accepting:   {"accepting", Connecting, []activity{handshaking, waiting, lost, closing}},
	handshaking: {"handshaking", Connecting, []activity{preparing, running, waiting, lost, closing}},
	preparing:   {"preparing", Connecting, []activity{running, waiting, lost, closing}},
	running:     {"running", Running, []activity{waiting, lost, closing}},
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

	addr   string                  // waiting to preparing: the address as the caller gave it
	cancel context.CancelCauseFunc // waiting to preparing, except listening: cancels the attempt
	socket listeningSocket         // listening, accepting; with Options.Reconnect, from listening to closing

	session *session              // preparing, running, lost, and closing after the last two; nil if lost means that the client gave up
	line    *line                 // running: how to connect again; nil if the client does not
	lost    *ExecInterruptedError // lost, closing after it, and from waiting to preparing if a session was lost: how it ended

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

// cause returns why the connection ended, if it was lost, no Disconnect has returned the
// cause, and there is no new connection; otherwise nil.
func (s *stage) cause() error {
	if s == nil {
		return nil
	}
	return s.lost.cause()
}

// newClosing returns the stage of closing that comes after s.
func (s *stage) newClosing(orderly bool) *stage {
	to := &stage{doing: closing, lost: s.lost, socket: s.socket, orderly: orderly, left: make(chan struct{})}
	if s.doing == running || s.doing == lost {
		to.session = s.session
	}
	to.err = s.cause()
	return to
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
// goroutine that ends a session, which moves from running to lost or to waiting.
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
	case preparing, running:
		c.greeting, c.current = to.session.greeting, to.session.number
		if to.doing == running {
			to.session.keepalive.begin()
		}
	case lost:
		c.life.end(to.lost.Err)
	case idle:
		c.life.end(from.err)
		close(from.left)
	}
	if from.activity() == running && to.lost != nil {
		c.hearing.each(func(l *EventListener) { l.connectionEnded(to.lost) })
	}
	t := Transition{From: from.state(), To: to.state(), Cause: why(from, to)}
	if t.From == t.To {
		return
	}
	if t.From == Connecting {
		c.settled()
	}
	orderly := from != nil && from.orderly || to != nil && to.orderly
	for w := range c.watchers {
		w.put(t)
	}
	cause := to.cause()
	c.hearing.each(func(l *EventListener) { l.stateChanged(t.To, orderly, cause) })
}

// why returns the Cause of the transition from one stage to the next.
func why(from, to *stage) error {
	switch to.activity() {
	case idle:
		return from.err
	case closing:
		if !to.orderly {
			return to.err
		}
	case waiting, lost:
		return to.lost.cause()
	}
	return nil
}
