package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/harmless"
)

// ErrCanceled matches the [*Error] of a job that was canceled, by whomever.
var ErrCanceled = errors.New("the job was canceled")

// ErrEnded says that a job has ended already. No command was sent.
var ErrEnded = errors.New("the job has ended")

// ErrGone matches the [*Error] of a job that does not exist any more, and of which it
// cannot be known how it ended: QEMU removed it, or QEMU itself was restarted, while
// nobody received its events.
var ErrGone = errors.New("it is gone, and how it ended is not known")

// An Error says that a job did not succeed. errors.Is tells two kinds from a failure:
// [ErrCanceled] and [ErrGone].
type Error struct {
	Job  Info // what is known of the job; Job.Error is QEMU's text
	Gone bool // it is not known how the job ended: see [ErrGone]
}

func (e *Error) Error() string {
	switch {
	case e.Gone:
		return fmt.Sprintf("qmp: job %s is gone, and how it ended is not known; when it was last seen: %s",
			e.Job.name(), e.Job.situation())
	case e.Job.Canceled:
		return fmt.Sprintf("qmp: job %s was canceled", e.Job.name())
	case e.Job.Error == "":
		return fmt.Sprintf("qmp: job %s failed; QEMU dropped the reason before it could be asked", e.Job.name())
	}
	return fmt.Sprintf("qmp: job %s failed: %s", e.Job.name(), harmless.Line(e.Job.Error))
}

// Is reports whether target is the kind of the error.
func (e *Error) Is(target error) bool {
	return target == ErrGone && e.Gone || target == ErrCanceled && e.Job.Canceled && !e.Gone
}

// A NotFoundError says that there is no job with that id (it was never started, or it
// has ended and was dismissed), or that no migration has begun.
type NotFoundError struct {
	ID         string
	NotStarted bool // it is the error of [Start]: the command succeeded, and has not started the job
	Migration  bool // it is the error of [AttachMigration]; ID is ""
}

func (e *NotFoundError) Error() string {
	if e.Migration {
		return "qmp: no migration has begun"
	}
	if e.NotStarted {
		return fmt.Sprintf("qmp: the command has succeeded, and has not started a job with the id %s: is its job-id another one?", harmless.Line(e.ID))
	}
	return fmt.Sprintf("qmp: there is no job %s: it was never started, or it has ended and was dismissed", harmless.Line(e.ID))
}

// A WaitError says that a call has ended before the job, or the migration, did what the
// call waited for. It unwraps to Err.
type WaitError struct {
	Subject   string // such as "job job0 (backup)"
	Wanted    string // what the call waited for, such as "its end"
	Situation string // what the job waits for, such as "it is pending, and waits for job-finalize"

	// Err is what the context ended with, the end of the connection, the error of a
	// command or of the [Policy], [async.ErrClosed] after a Close, or [ErrEnded].
	Err error
}

func (e *WaitError) Error() string {
	return harmless.Line(fmt.Sprintf("qmp: %s: waited for %s; %s: %v", e.Subject, e.Wanted, e.Situation, e.Err))
}

func (e *WaitError) Unwrap() error { return e.Err }

// newWaitError returns the error of a call that ended with err.
func newWaitError(ctx context.Context, subject, wanted, situation string, err error) *WaitError {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = contexts.Err(ctx)
	}
	return &WaitError{Subject: subject, Wanted: wanted, Situation: situation, Err: err}
}
