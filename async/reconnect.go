package async

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/goqmp/qmp/internal/contexts"
)

// Reconnecting, and who does what:
//
//	running --(the session ends unexpectedly)--> waiting
//	waiting --(the policy's wait is over)------> dialing, or accepting after Listen
//	dialing, accepting ------------------------> handshaking --> preparing --> running
//	dialing ... preparing --(it fails)---------> waiting, or lost if the client gives up
//
// The goroutine that ends the session moves the client to waiting, and starts one
// goroutine, which runs attempt.connectAgain. That goroutine waits until nothing of the
// old session is left, and makes every further move until the client is running again
// or has given up. Then it ends. So a client has this goroutine only while it has no
// session.
//
// Disconnect may come at any time. It moves the client to closing and cancels the
// context of the attempt, as it does with a Connect. The goroutine sees that its next
// move fails, and moves the client to idle, for which Disconnect waits.
//
// A line and its series belong to the goroutine that connects. They pass to the next
// one through the stage running, so no lock guards them.
//
// OnConnect has a goroutine of its own. So a Disconnect does not wait for it, and
// OnConnect may call Disconnect.

// Reconnect makes a client connect again when its connection has ended and neither
// Disconnect, Close nor Quit has ended it: see Reconnect in [Options]. The zero value is
// ready for use.
//
// After such an end the client waits as long as the policy, Options.Backoff, says, and
// makes one attempt to connect: it dials the same address or calls Options.Dialer, does
// the handshake, and calls OnConnect. After [Client.Listen] it goes on listening, and
// accepts the next server instead of dialing. If the attempt fails, the client waits
// and makes the next one. The policy's Reset is called when a connection ends that was
// useful: one on which a command of any caller but OnConnect was answered, or which
// lasted for a second. So the waits grow while a server hangs up again and again.
//
// The client goes on until it is connected, until a limit is reached, or until
// Disconnect or Close. It also gives up when an attempt fails with an error that is
// wrapped in backoff.Permanent (of package github.com/cenkalti/backoff/v4). A client that
// dials also gives up after a permanent [*TLSError], and because the server's TLS
// certificate cannot be verified. The client tries again after every other error: a
// server that starts again may hang up during the handshake, or set the permissions of
// its socket late. After Listen, a program that is not the server may connect.
//
// When the client gives up, it is [Disconnecting], as after an end without Reconnect.
// [Client.Err], the Cause of a [*StateError] and the next Disconnect have a
// [*GaveUpError].
type Reconnect struct {
	// OnConnect is called after each handshake, that of the first Connect or Accept
	// too. It may set up what a connection needs. c executes commands on this connection
	// only. All other calls of the client find it [Connecting] until OnConnect has
	// returned. Listeners receive events meanwhile.
	//
	// If OnConnect returns an error, the attempt to connect has failed. ctx ends when
	// the attempt does: at its limit, when the connection ends, or when the caller of
	// Disconnect wants that. OnConnect must return then. The client does not begin
	// another attempt before that. A panic in OnConnect is not recovered. Calls of the
	// client's own methods do not wait inside OnConnect if they get ctx.
	OnConnect func(ctx context.Context, c Caller) error

	// Wait makes calls wait, within their contexts, while the client is connecting. By
	// default they fail at once, with a [*StateError] whose Cause says why the last
	// connection ended. A call that was waiting to be sent when the connection ended
	// waits for the next one, too. A call that was sent, even in part, fails with the
	// connection: nothing is sent twice.
	Wait bool

	// AttemptTimeout limits one attempt: dialing, the handshake and OnConnect. It also
	// limits each attempt of Connect and, from when a server has connected, Accept. Zero
	// means 30 seconds; a negative number means no limit.
	AttemptTimeout time.Duration

	// GreetingTimeout limits the wait for the greeting, inside AttemptTimeout. Zero, like
	// a negative number, means no limit of its own.
	GreetingTimeout time.Duration

	// MaxAttempts is how many attempts are made in a row before the client gives up.
	// An attempt counts although it made a connection, if that was not useful. Connect
	// makes at most as many. Zero, like a negative number, means no limit.
	MaxAttempts int

	// MaxTime is how long the client tries to connect before it gives up. It begins
	// when a useful connection ends, or with Connect or Accept. Zero, like a negative
	// number, means no limit.
	MaxTime time.Duration
}

const (
	// defaultAttemptTimeout is the default of Reconnect.AttemptTimeout. A QEMU that
	// serves another client does not greet, and one that hangs does not reply.
	defaultAttemptTimeout = 30 * time.Second

	// usefulAfter is how long a session must have lasted to be useful although it
	// answered no command.
	usefulAfter = time.Second
)

// sessionEnded moves the client on, if s ended while the client was running: to waiting
// if it is to connect again, or else to lost. s calls it when it has ended.
func (c *Client) sessionEnded(s *session) {
	at := c.now()
	if at.activity() != running || at.session != s {
		return // a failed handshake, or a Disconnect
	}
	s.mu.Lock()
	cause, quit := s.report, s.quits > 0
	s.mu.Unlock()
	end := &ExecInterruptedError{Client: c.name(), Session: s.number, Err: cause}
	if at.line == nil || quit {
		if c.move(at, &stage{doing: lost, session: s, lost: end, socket: at.socket}) {
			c.logEnd(cause, s)
		}
		return
	}
	a := &attempt{client: c, line: at.line, lost: end}
	ctx, cancel := context.WithCancelCause(context.Background())
	a.ctx, a.at = ctx, &stage{doing: waiting, addr: a.addr, cancel: cancel, lost: end, socket: at.socket}
	if !c.move(at, a.at) {
		cancel(nil)
		return
	}
	s.log.Warn("qmp: connection lost, connecting again", "error", cause)
	go a.connectAgain(s)
}

// connectAgain connects again after s has ended, or gives up. It owns the client's
// stage from waiting on.
func (a *attempt) connectAgain(s *session) {
	<-s.done
	s.wg.Wait()
	series := a.series
	if a.first || s.served || time.Since(a.since) >= usefulAfter {
		series.begin()
	}
	a.first = false
	for err := a.lost.Err; ; {
		wait, why := series.failed(err)
		if final := a.permanent(err); final != "" {
			why = final
		}
		if why != "" {
			a.giveUp(why)
			return
		}
		if a.pause(wait) != nil {
			a.abandon()
			return
		}
		if _, err = a.try(); err == nil {
			return
		}
		if a.ctx.Err() != nil {
			a.abandon()
			return
		}
		a.client.logger().Debug("qmp: attempt to connect failed", "attempt", series.attempts, "error", err)
	}
}

// pause waits for d, and moves the client to the activity that makes a connection. The
// client is waiting meanwhile. The error says that a.ctx has ended.
func (a *attempt) pause(d time.Duration) error {
	if a.at.doing != waiting {
		if err := a.advance(&stage{doing: waiting}); err != nil {
			return err
		}
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return a.advance(&stage{doing: a.opens()})
	case <-a.ctx.Done():
		return contexts.Err(a.ctx)
	}
}

// giveUp moves the client to lost. why says which limit was reached.
func (a *attempt) giveUp(why string) {
	c := a.client
	err := a.series.gaveUp(a, why)
	a.closeSocket()
	end := &ExecInterruptedError{Client: c.name(), Session: a.lost.Session, Err: err}
	if !c.move(a.at, &stage{doing: lost, lost: end}) {
		a.abandon()
		return
	}
	a.at.cancel(nil)
	c.logger().Error("qmp: connection ended", "error", err)
}

// abandon moves the client to idle, because Disconnect waits for that.
func (a *attempt) abandon() {
	a.at.cancel(nil)
	a.closeSocket()
	a.client.logger().Info("qmp: disconnected")
	a.client.move(a.client.now(), nil)
}

// errExited says that OnConnect has called runtime.Goexit, as FailNow of a test does.
var errExited = errors.New("its goroutine has ended without returning (runtime.Goexit)")

// prepare calls OnConnect for s, if there is one, and waits for it. ctx is that of the
// attempt.
func (a *attempt) prepare(ctx context.Context, s *session) error {
	r := a.client.opts.Reconnect
	if r == nil || r.OnConnect == nil {
		return nil
	}
	if err := a.advance(&stage{doing: preparing, session: s}); err != nil {
		return err
	}
	own, cancel := context.WithCancelCause(context.WithValue(ctx, insideOnConnect{}, a.client))
	defer cancel(nil)
	returned := make(chan error, 1)
	go func() {
		err := errExited
		defer func() { returned <- err }()
		err = r.OnConnect(own, sessionCaller{s})
	}()
	select {
	case err := <-returned:
		return onConnectError(ctx, err)
	case <-s.done:
		cancel(s.whyEnded())
	case <-ctx.Done():
		s.end(contexts.Err(ctx), nil)
	}
	// OnConnect is to return now, and the next attempt has to wait for that. But
	// Disconnect, the caller of Connect, and MaxTime do not wait.
	limit, stop := a.limited(false)
	defer stop()
	select {
	case err := <-returned:
		return onConnectError(ctx, err) // if it is nil, the next move fails and says why s has ended
	case <-limit.Done():
		return fmt.Errorf("OnConnect has not returned: %w", contexts.Err(limit))
	}
}

// onConnectError returns the error of an attempt in which OnConnect has returned err. ctx
// is that of the attempt.
func onConnectError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return joinErrors(contexts.Err(ctx), fmt.Errorf("OnConnect: %w", err))
}

// insideOnConnect is the key of the context that OnConnect gets. The value is the
// client.
type insideOnConnect struct{}

// A sessionCaller is the Caller that OnConnect gets.
type sessionCaller struct{ s *session }

// Do executes cmd on the session.
func (c sessionCaller) Do(ctx context.Context, cmd Command) (Reply, error) {
	out, err := cmd.prepare(c.s.client.opts.maxSend())
	if err != nil {
		return Reply{}, err
	}
	out.preparing = true
	m, err := c.s.do(ctx, out)
	if err != nil {
		return Reply{}, err
	}
	return newReply(out, m), nil
}
