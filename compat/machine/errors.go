package machine

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/internal/secrets"
)

var (
	// ErrNotRunning says that a call needs a process, and there is none: the
	// machine was not launched, or has been shut down.
	ErrNotRunning = errors.New("the machine is not running; call Launch first")

	// ErrLaunched says that Launch or Adopt was called for a machine that was
	// launched, and not shut down after that. Its process may have ended already.
	ErrLaunched = errors.New("the machine was launched already; call Shutdown or Kill first")

	// ErrStopped says that Shutdown, PowerDown or Kill was called while Launch,
	// Adopt or Detach was working, which therefore failed.
	ErrStopped = errors.New("canceled by Shutdown or Kill")
)

// errNoMonitor says that a call needs a monitor.
var errNoMonitor = errors.New("the machine has no monitor (machine.Options.Monitor)")

// errNoGuest says that a call needs a guest.
var errNoGuest = errors.New("a storage daemon has no guest")

// errShutdown is why a PowerDown stops waiting for the guest.
var errShutdown = errors.New("Shutdown was called and does not wait for the guest")

// errKill is why a Shutdown goes straight to SIGKILL.
var errKill = errors.New("Kill was called")

// errEndedEarly is why a launch fails if the process ends during it.
var errEndedEarly = errors.New("the process ended before its monitor was open")

// A VMLaunchFailure says that Launch failed. Nothing of the machine is left.
type VMLaunchFailure struct {
	Machine string      // its name
	Args    []string    // the whole command line, with the wrapper; nil if Launch failed before it was complete
	Exit    *ExitStatus // how the process ended by itself; nil if it did not
	Killed  bool        // Launch has killed the process, which still ran
	Output  string      // the end of what the process wrote to stdout and stderr, at most 8 KiB
	Err     error       // why: an error of the system, an *async.ConnectError, or what the context ended with
}

// Error says all of that on one line, with the command line quoted for a shell, and with
// known secrets masked in it and in the output. The fields have them.
func (e *VMLaunchFailure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "machine %s: launch failed: %v", e.Machine, e.Err)
	switch {
	case e.Exit != nil:
		fmt.Fprintf(&b, "; it ended with %v", *e.Exit)
	case e.Killed:
		b.WriteString("; the process was still running, and was killed")
	}
	if e.Args != nil {
		fmt.Fprintf(&b, "; command line: %s", harmless.Line(quoteCommand(secrets.Args(e.Args))))
	}
	writeOutput(&b, secrets.Output(e.Output, e.Args))
	return b.String()
}

// Unwrap returns Err.
func (e *VMLaunchFailure) Unwrap() error { return e.Err }

// A ProcessEndedError says that a call failed because the process has ended.
type ProcessEndedError struct {
	Machine string     // its name
	Call    string     // the command, or what the call waited for, as in "wait for STOP"
	Exit    ExitStatus // how the process ended
	Output  string     // the end of what it wrote to stdout and stderr, at most 8 KiB
	Err     error      // the client's error: an *async.ExecInterruptedError or *async.StateError

	args []string // the command line, whose secrets the text does not show
}

// Error says all of that on one line.
func (e *ProcessEndedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "machine %s: %s: the process has ended with %v: %v", e.Machine, harmless.Line(e.Call), e.Exit, e.Err)
	writeOutput(&b, secrets.Output(e.Output, e.args))
	return b.String()
}

// Unwrap returns Err.
func (e *ProcessEndedError) Unwrap() error { return e.Err }

// An AbnormalShutdown says that a process did not end as it should: the first step
// did not end it, or it ended by a signal or with an exit code that does not mean
// success. Nothing of the machine is left, unless Exit is nil.
type AbnormalShutdown struct {
	Machine string      // its name
	Steps   []Step      // what was done, in order; empty if the process had ended by itself
	Exit    *ExitStatus // how the process ended; nil if not even SIGKILL ended it
	Output  string      // the end of what it wrote to stdout and stderr, at most 8 KiB
	Err     error       // why Shutdown went straight to SIGKILL, such as what ctx ended with; nil if it did not

	args []string // the command line, whose secrets the text does not show
}

// Error says all of that on one line.
func (e *AbnormalShutdown) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "machine %s: abnormal shutdown: ", e.Machine)
	if e.Err != nil {
		fmt.Fprintf(&b, "(%v) ", e.Err)
	}
	for i, step := range e.Steps {
		last := i == len(e.Steps)-1
		fmt.Fprintf(&b, "%s: ", step.Action)
		if step.Err != nil {
			fmt.Fprintf(&b, "%v, and ", step.Err)
		}
		switch {
		case !last || e.Exit == nil:
			fmt.Fprintf(&b, "still running after %v", step.Took.Round(time.Millisecond))
		default:
			fmt.Fprintf(&b, "it ended after %v with %v", step.Took.Round(time.Millisecond), *e.Exit)
		}
		if !last {
			b.WriteString("; ")
		}
	}
	if len(e.Steps) == 0 && e.Exit != nil {
		fmt.Fprintf(&b, "the process had ended by itself with %v", *e.Exit)
	}
	writeOutput(&b, secrets.Output(e.Output, e.args))
	return b.String()
}

// Unwrap returns Err, if it is not nil, and the errors of the steps.
func (e *AbnormalShutdown) Unwrap() []error {
	var errs []error
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	for _, step := range e.Steps {
		if step.Err != nil {
			errs = append(errs, step.Err)
		}
	}
	return errs
}

// also joins two errors on one line. Either may be nil.
func also(err, further error) error {
	switch {
	case err == nil:
		return further
	case further == nil:
		return err
	}
	return fmt.Errorf("%w; also: %w", err, further)
}

// writeOutput appends the end of a process's output, on one line.
func writeOutput(b *strings.Builder, output string) {
	output = strings.TrimSpace(output)
	if output == "" {
		b.WriteString("; no output")
		return
	}
	const most = 2 << 10
	if len(output) > most {
		output = "..." + output[len(output)-most:]
	}
	fmt.Fprintf(b, "; output: %s", harmless.Line(strings.NewReplacer("\r\n", " | ", "\n", " | ", "\r", " ").Replace(output)))
}
