package jobs

import (
	"errors"
	"fmt"
)

// ErrCanceled matches the [*Error] of a job that was canceled, by whomever.
var ErrCanceled = errors.New("the job was canceled")

// ErrEnded says that a job has ended already. No command was sent.
var ErrEnded = errors.New("the job has ended")

// An Error says that a job has failed or was canceled. errors.Is reports whether it
// matches [ErrCanceled].
type Error struct {
	Job Info // what is known of the job; Job.Error is QEMU's text
}

func (e *Error) Error() string {
	switch {
	case e.Job.Canceled:
		return fmt.Sprintf("qmp: job %s was canceled", e.Job.name())
	case e.Job.Error == "":
		return fmt.Sprintf("qmp: job %s failed; QEMU dropped the reason before it could be asked", e.Job.name())
	}
	return fmt.Sprintf("qmp: job %s failed: %s", e.Job.name(), e.Job.Error)
}

// Is reports whether target is [ErrCanceled] and the job was canceled.
func (e *Error) Is(target error) bool { return target == ErrCanceled && e.Job.Canceled }

// A GoneError says that a job does not exist any more, and that it cannot be known
// whether it has succeeded: it ended, or QEMU did, while nobody received its events.
type GoneError struct {
	Job Info // what was last known of the job
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("qmp: job %s is gone, and how it ended is not known; when it was last seen: %s",
		e.Job.name(), e.Job.situation())
}

// A NotFoundError says that there is no job with that id: it was never started, or it
// has ended and was dismissed.
type NotFoundError struct {
	ID         string
	NotStarted bool // it is the error of [Start]: the command succeeded, and has not started the job
}

func (e *NotFoundError) Error() string {
	if e.NotStarted {
		return fmt.Sprintf("qmp: the command has succeeded, and has not started a job with the id %s: is its job-id another one?", e.ID)
	}
	return fmt.Sprintf("qmp: there is no job %s: it was never started, or it has ended and was dismissed", e.ID)
}

// A WaitError says that following a job has ended before the job did what the call
// waited for. It unwraps to Err.
type WaitError struct {
	Job  Info   // what was last known of the job
	What string // what the call waited for, such as "its end"
	Err  error  // why the call could not go on: what the context ended with, the end of the connection, the error of a command or of the [Policy], or [ErrEnded]
}

func (e *WaitError) Error() string {
	return fmt.Sprintf("qmp: job %s: waited for %s; %s: %v", e.Job.name(), e.What, e.Job.situation(), e.Err)
}

func (e *WaitError) Unwrap() error { return e.Err }
