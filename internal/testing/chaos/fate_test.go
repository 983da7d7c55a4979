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

// A fate is what became of a command.
type fate struct{ what, where string }

// What became of commands, and of waits and connections.
const (
	answered    = "answered"
	cancelled   = "cancelled"
	endOfFile   = "end of file"
	reset       = "connection reset"
	brokenPipe  = "write failed"
	hungUp      = "hung up in a hurry"
	closedHere  = "closed by this side"
	unconnected = "not connected"
)

// Where they were then.
const (
	withValue = "value"
	withError = "error"
	unsent    = "not sent"
	atWindow  = "not sent, at the window"
	sent      = "sent"
)

// What else becomes of waits and connections.
const (
	gotEvent  = "got an event"
	gotNotice = "told of the end"
	inOrder   = "in order"
	qemuGone  = "QEMU is gone"
)

func (f fate) String() string { return f.what + " (" + f.where + ")" }

// endedByPeer reports whether the command ended because the other side ended the
// connection.
func (f fate) endedByPeer() bool { return f.what == endOfFile || f.what == reset }

// fateOf says what became of a command with this context; ok is false if an
// error does not tell.
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

// waitOf says the same of a wait for an event.
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
	return what, ok && (what == cancelled || what == closedHere)
}

// whyNotConnected says what became of an attempt to connect.
func whyNotConnected(err error) (what string, ok bool) {
	if err == nil {
		return "connected", true
	}
	if _, early := errors.AsType[*async.StateError](err); early {
		return closedHere, true // what was to accept had been disconnected before it began
	}
	if _, ok := errors.AsType[*async.ConnectError](err); !ok {
		return "", false
	}
	return causeOf(context.Background(), err)
}

// endOf says what a disconnect has told.
func endOf(err error) (what string, ok bool) {
	if err == nil {
		return inOrder, true
	}
	what, ok = causeOf(context.Background(), err)
	return what, ok && what != closedHere
}

// causeOf finds the cause in an error's tree. A context's end counts as such only
// if both ways to tell match, and a hang is no excuse for anything.
func causeOf(ctx context.Context, err error) (what string, ok bool) {
	switch {
	case errors.Is(err, errHang):
	case errors.Is(err, errHurry):
		return hungUp, errors.Is(err, context.DeadlineExceeded)
	case errors.Is(err, errGone):
		return qemuGone, errors.Is(err, context.Canceled)
	case errors.Is(err, errImpatient), errors.Is(err, errOver):
		return cancelled, errors.Is(err, ctx.Err()) && errors.Is(err, context.Cause(ctx))
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
