package async

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/goqmp/qmp/internal/contexts"
)

// A line is how a client gets a connection, and the next one with Options.Reconnect. It
// belongs to the goroutine that connects.
type line struct {
	op     string // "connect", "listen" or "accept"
	addr   string // as the caller gave it; that of Listen for an Accept
	dial   func(context.Context) (net.Conn, error)
	socket listeningSocket // if it is not nil, the client accepts a connection, and does not dial
	bare   bool            // without a handshake
	series *series         // the attempts since the end of the last useful session; nil for one attempt only

	first bool      // no session of this line has ended
	since time.Time // when the present session began to run
}

// opens returns the activity that makes a connection.
func (l *line) opens() activity {
	if l.socket != nil {
		return accepting
	}
	return dialing
}

// closeSocket closes the listening socket, if there is one. It may be called again.
func (l *line) closeSocket() error {
	if l.socket == nil {
		return nil
	}
	return l.socket.Close()
}

// An attempt is a call of Connect, Attach, Listen or Accept that has not returned, and
// belongs to the goroutine of that call. Or it is what attempt.connectAgain does after a
// session has been lost, and belongs to that goroutine. In both cases it may try several
// times.
type attempt struct {
	client *Client
	*line
	reached ConnectStage
	dials   int                   // how often it has dialed
	lost    *ExecInterruptedError // how the last session ended; nil for a call

	// ctx is derived from the caller's, if there is a caller. Disconnect cancels it with
	// the cause ErrClosed.
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
	if a.keepsListening() {
		next.socket = a.socket
	}
	if next.doing != running && next.doing != listening {
		next.cancel, next.lost = a.at.cancel, a.lost
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

// keepsListening reports whether the client goes on listening when a server has
// connected.
func (a *attempt) keepsListening() bool {
	return a.socket != nil && a.client.opts.Reconnect != nil
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

// limited returns a.ctx with the limits of Options.Reconnect: MaxTime, and AttemptTimeout
// if one is true.
func (a *attempt) limited(one bool) (context.Context, context.CancelFunc) {
	r := a.client.opts.Reconnect
	if r == nil {
		return a.ctx, func() {}
	}
	limit := &TimeoutError{Op: "attempt to connect", Limit: r.AttemptTimeout, Option: "async.Options.Reconnect.AttemptTimeout"}
	if limit.Limit == 0 {
		limit.Limit = defaultAttemptTimeout
	}
	rest := limit.Limit
	if !one {
		rest = -1
	}
	if r.MaxTime > 0 {
		if left := max(r.MaxTime-time.Since(a.series.began), 0); rest < 0 || left < rest {
			rest = left
			limit = &TimeoutError{Op: a.op, Limit: r.MaxTime, Option: "async.Options.Reconnect.MaxTime"}
		}
	}
	if rest < 0 {
		return a.ctx, func() {}
	}
	return context.WithTimeoutCause(a.ctx, rest, limit)
}

// fail ends the attempt of a call, and moves the client to idle. It returns err as a
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
	a.closeSocket()
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
