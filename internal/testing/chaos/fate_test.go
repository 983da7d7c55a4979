//go:build linux

package chaos

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"

	"github.com/goqmp/qmp/async"
)

// A fate is the result of a command: what ended it, and where the command was then.
type fate struct{ what, where string }

// What ends commands, waits for events, and connections.
const (
	answered    = "answered"
	canceled    = "canceled"
	endOfFile   = "end of file"
	reset       = "connection reset"
	brokenPipe  = "write failed"
	hungUp      = "disconnected with a short time limit"
	closedHere  = "closed by this side"
	unconnected = "not connected"
)

// Where commands are when they end.
const (
	withValue = "value"
	withError = "error"
	unsent    = "not sent"
	atWindow  = "not sent, at the window"
	sent      = "sent"
)

// What else ends waits for events, and connections.
const (
	gotEvent  = "got an event"
	gotNotice = "got the notice of the end"
	inOrder   = "in order"
	qemuGone  = "QEMU is gone"
)

func (f fate) String() string { return f.what + " (" + f.where + ")" }

// endedByPeer reports whether the command ended because the other side ended the
// connection.
func (f fate) endedByPeer() bool { return f.what == endOfFile || f.what == reset }

// fateOf returns the result of a command with this context. ok is false if the error
// does not explain what happened, or contradicts itself.
func fateOf(ctx context.Context, reply async.Reply, err error) (f fate, ok bool) {
	if err == nil {
		var refusal *async.ExecuteError
		switch err := reply.Err(); {
		case err == nil:
			return fate{answered, withValue}, true
		case errors.As(err, &refusal):
			return fate{answered, withError}, true
		}
		return fate{}, false
	}
	if state, isState := errors.AsType[*async.StateError](err); isState {
		return fate{unconnected, unsent}, state.State != async.Running && state.Required == async.Running
	}
	e, isInterrupted := errors.AsType[*async.ExecInterruptedError](err)
	if !isInterrupted || e.SafeToRetry() == e.Sent {
		return fate{}, false
	}
	f.what, ok = causeOf(ctx, err)
	switch {
	case e.Sent:
		f.where = sent
	case strings.HasPrefix(e.Note, "waiting for earlier commands"):
		f.where = atWindow
	default:
		f.where = unsent
	}
	return f, ok
}

// waitOf is fateOf for a wait for an event.
func waitOf(ctx context.Context, err error) (what string, ok bool) {
	switch e := err.(type) {
	case nil:
		return gotEvent, true
	case *async.ExecInterruptedError:
		_, ok := causeOf(ctx, err)
		return gotNotice, ok
	case *async.StateError:
		return unconnected, e.State != async.Running && e.Required == async.Running
	}
	what, ok = causeOf(ctx, err)
	return what, ok && (what == canceled || what == closedHere)
}

// whyNotConnected returns the result of an attempt to connect.
func whyNotConnected(err error) (what string, ok bool) {
	if err == nil {
		return "connected", true
	}
	if _, early := errors.AsType[*async.StateError](err); early {
		return closedHere, true // the client was disconnected before its Accept began
	}
	if _, ok := errors.AsType[*async.ConnectError](err); !ok {
		return "", false
	}
	return causeOf(context.Background(), err)
}

// endOf returns the result of a disconnect.
func endOf(err error) (what string, ok bool) {
	if err == nil {
		return inOrder, true
	}
	what, ok = causeOf(context.Background(), err)
	return what, ok && what != closedHere
}

// causeOf finds the cause in an error's tree. The end of a context explains an error
// only if the error matches both the context's Err and its Cause. A hang (errHang)
// explains nothing.
func causeOf(ctx context.Context, err error) (what string, ok bool) {
	switch {
	case errors.Is(err, errHang):
	case errors.Is(err, errHurry):
		return hungUp, errors.Is(err, context.DeadlineExceeded)
	case errors.Is(err, errGone):
		return qemuGone, errors.Is(err, context.Canceled)
	case errors.Is(err, errImpatient), errors.Is(err, errOver):
		return canceled, errors.Is(err, ctx.Err()) && errors.Is(err, context.Cause(ctx))
	case errors.Is(err, async.ErrClosed):
		return closedHere, true
	case errors.Is(err, io.EOF):
		return endOfFile, true
	case errors.Is(err, syscall.ECONNRESET):
		return reset, true
	case errors.Is(err, syscall.EPIPE):
		return brokenPipe, true
	}
	return "", false
}
