package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/qapi/qga"
)

// FreezeOptions configures [Client.Freeze]. A nil *FreezeOptions, like the zero value,
// freezes everything that the agent can freeze, for at most a minute.
type FreezeOptions struct {
	// Mountpoints are the file systems to freeze (guest-fsfreeze-freeze-list). Nil means
	// all.
	Mountpoints []string

	// Limit is how long the file systems stay frozen at most. Zero means one minute.
	Limit time.Duration

	// ThawLimit is how long Freeze tries to thaw, if the agent does not answer or the
	// connection has ended. Zero means five minutes.
	ThawLimit time.Duration
}

const (
	defaultFreezeLimit = time.Minute
	defaultThawLimit   = 5 * time.Minute

	// thawAttempt limits one attempt to thaw. Thawing twice does no harm.
	thawAttempt = 30 * time.Second
)

// The causes of a [LeaseError] that are not errors of the connection or of the context.
var (
	// ErrFreezeLimit says that FreezeOptions.Limit was reached.
	ErrFreezeLimit = errors.New("the time limit agent.FreezeOptions.Limit was reached")

	// ErrThawedByOthers says that the agent had nothing to thaw at the end. Windows, for
	// one, thaws by itself after ten seconds.
	ErrThawedByOthers = errors.New("the guest has thawed them by itself, or somebody else has")
)

// A LeaseError says that the file systems did not stay frozen until the function had
// returned. What the function did, such as a snapshot, may not be consistent.
type LeaseError struct {
	Err error // what the context ended with, why the connection ended, ErrFreezeLimit or ErrThawedByOthers
}

func (e *LeaseError) Error() string {
	return fmt.Sprintf("the guest's file systems did not stay frozen until the end: %v", harmless.Error(e.Err))
}

func (e *LeaseError) Unwrap() error { return e.Err }

// A ThawError says that the file systems of the guest may still be frozen. Programs in the
// guest that write wait then. Execute guest-fsfreeze-thaw when the agent answers again.
type ThawError struct {
	Err error // why they could not be thawed
}

func (e *ThawError) Error() string {
	return fmt.Sprintf("the guest's file systems may still be frozen; execute guest-fsfreeze-thaw when the agent answers again: %v", harmless.Error(e.Err))
}

func (e *ThawError) Unwrap() error { return e.Err }

// Freeze freezes file systems of the guest, calls f, and thaws them. It thaws also if f
// panics, and before f returns if ctx ends, the limit is reached, or the connection ends;
// the context that f gets ends then, and f should return. If the connection has ended,
// Freeze connects again to thaw, unless the client was made by [Attach]. When Freeze
// returns, the file systems are thawed, or the error matches a [*ThawError].
//
// While file systems are frozen the agent refuses almost every command. If the program
// that calls Freeze ends without returning from it, they stay frozen.
//
// The error has what f returned, a [*LeaseError] if the file systems did not stay frozen
// until then, and a [*ThawError]: errors.Is and errors.As find each. If they could not be
// frozen, f is not called, and the error is that of the command.
func (c *Client) Freeze(ctx context.Context, opts *FreezeOptions, f func(ctx context.Context) error) (err error) {
	l := &lease{client: c, limit: defaultFreezeLimit, thawLimit: defaultThawLimit, lost: c.ends.watch()}
	if opts != nil {
		l.mountpoints = opts.Mountpoints
		if opts.Limit > 0 {
			l.limit = opts.Limit
		}
		if opts.ThawLimit > 0 {
			l.thawLimit = opts.ThawLimit
		}
	}
	if frozen, err := l.freeze(ctx); !frozen {
		return err
	}
	inner, cancel := context.WithTimeoutCause(ctx, l.limit, ErrFreezeLimit)
	defer cancel()
	over := make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- l.hold(inner, cancel, over) }()
	defer func() { // also if f panics
		close(over)
		err = errors.Join(err, <-ended)
	}()
	return f(inner)
}

// A lease is one call of Freeze.
type lease struct {
	client      *Client
	mountpoints []string
	limit       time.Duration
	thawLimit   time.Duration
	lost        <-chan struct{} // closed when the connection ends
	count       int64           // how many file systems were frozen
}

// freeze freezes. If it is not certain that nothing is frozen after an error, it thaws.
func (l *lease) freeze(ctx context.Context) (frozen bool, err error) {
	if l.mountpoints == nil {
		l.count, err = qga.GuestFsfreezeFreeze(ctx, l.client)
	} else {
		l.count, err = qga.GuestFsfreezeFreezeList(ctx, l.client, &qga.GuestFsfreezeFreezeListArguments{Mountpoints: l.mountpoints})
	}
	if err == nil {
		return true, nil
	}
	refused, isReply := errors.AsType[*async.ExecuteError](err)
	interrupted, isInterrupted := errors.AsType[*async.ExecInterruptedError](err)
	_, isDisabled := errors.AsType[*DisabledError](err)
	_, isState := errors.AsType[*async.StateError](err)
	switch {
	case isDisabled, isState, isReply && refused.Class == "CommandNotFound", isInterrupted && interrupted.SafeToRetry():
		return false, err // also if somebody else has frozen them
	}
	_, _, thawErr := l.thaw(ctx)
	return false, errors.Join(err, thawErr)
}

// hold waits until the function has returned, or the file systems have to be thawed before
// that. Then it thaws. ctx is that of the function; cancel ends it.
func (l *lease) hold(ctx context.Context, cancel context.CancelFunc, over <-chan struct{}) error {
	var early error
	select {
	case <-over:
	case <-l.lost:
	case <-ctx.Done():
	}
	select { // the function may have returned, too: because of the end, or after it has caused it
	case <-l.lost:
		early = &LeaseError{l.client.ends.last()}
		cancel()
	default:
		if ctx.Err() != nil {
			early = &LeaseError{contexts.Err(ctx)}
		}
	}
	count, attempts, err := l.thaw(ctx)
	if err == nil && early == nil && attempts == 1 && count == 0 && l.count > 0 {
		early = &LeaseError{ErrThawedByOthers}
	}
	<-over
	return errors.Join(early, err)
}

// thaw thaws, also if ctx has ended. It returns how many file systems the agent has thawed
// with the last attempt, and the number of attempts.
func (l *lease) thaw(ctx context.Context) (count int64, attempts int, err error) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), l.thawLimit, errThawLimit)
	defer cancel()
	for wait := firstWait / 10; ; wait = min(2*wait, longestWait) {
		attempts++
		count, err := l.thawOnce(ctx)
		if err == nil {
			return count, attempts, nil
		}
		if _, refused := errors.AsType[*async.ExecuteError](err); refused || l.client.isOver() && l.client.another == nil {
			return 0, attempts, &ThawError{err} // another attempt would not help
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0, attempts, &ThawError{errors.Join(contexts.Err(ctx), err)}
		}
	}
}

var errThawLimit = errors.New("the time limit agent.FreezeOptions.ThawLimit was reached")

// thawOnce makes one attempt, over a new connection if the client's has ended.
func (l *lease) thawOnce(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, thawAttempt)
	defer cancel()
	c := l.client
	if c.isOver() && c.another != nil {
		another, err := c.another(ctx)
		if err != nil {
			return 0, err
		}
		defer another.Close()
		c = another
	}
	return qga.GuestFsfreezeThaw(ctx, c)
}
