package async

import (
	"context"
	"errors"
	"log/slog"

	"github.com/goqmp/qmp/internal/contexts"
)

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
