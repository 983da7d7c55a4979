package cli

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/mux"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/script"
	"github.com/goqmp/qmp/compat/machine"
)

// The exit statuses of the program. If a signal has ended it, the status is 128 and the
// number of the signal.
const (
	StatusOK           = 0
	StatusRefused      = 1 // the server refused a command, or something else failed
	StatusUsage        = 2 // the command line or a command is wrong; it was not sent
	StatusNoConnection = 3 // no connection could be made, or it has ended
	StatusTimeout      = 4 // something did not come in time

	statusPipe = 128 + 13 // as if the signal SIGPIPE had ended the program
)

// A UsageError says that the command line is wrong.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// statusOf returns the exit status that tells what err is.
func statusOf(err error) int {
	if status, ok := exitStatus(err); ok {
		return status
	}
	switch {
	case err == nil:
		return StatusOK
	case is[*UsageError](err), is[*async.AddressError](err), is[*script.SyntaxError](err):
		return StatusUsage
	case is[*async.ExecuteError](err):
		return StatusRefused
	case overtime(err):
		return StatusTimeout
	case is[*async.ConnectError](err), is[*machine.VMLaunchFailure](err):
		return StatusNoConnection
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return StatusTimeout
	case is[*async.StateError](err), is[*async.ExecInterruptedError](err), is[*async.GaveUpError](err), is[*mux.UpstreamError](err):
		return StatusNoConnection
	}
	return StatusRefused
}

// overtime reports whether the time of --timeout is over.
func overtime(err error) bool {
	limit, ok := errors.AsType[*async.TimeoutError](err)
	return ok && limit.Option == "--timeout"
}

// is reports whether err has an error of type E in its chain.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// leaves returns the errors that errors.Join has joined, also in several steps, and those of
// other lists that add no text of their own. Each is printed on its own.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	list, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	var texts []string
	for _, e := range list.Unwrap() {
		all = append(all, leaves(e)...)
		texts = append(texts, e.Error())
	}
	if err.Error() != strings.Join(texts, "\n") {
		return []error{err}
	}
	return all
}

// reported reports whether err, which is one of the leaves, is not to be printed: it was
// printed already, or nobody reads what the program prints.
func reported(err error) bool {
	_, program := exitStatus(err) // which has said itself what is wrong
	return program || is[*script.RefusedError](err) || unread(err)
}
