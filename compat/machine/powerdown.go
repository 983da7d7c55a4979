package machine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
)

// lastWords is how long the end of the connection may take after the end of the
// process. Only a child that holds on to the monitor's socket can take that long.
const lastWords = 5 * time.Second

// guestShutdown is the reason in QEMU's event SHUTDOWN for a guest that has switched
// itself off (ShutdownCause in QEMU's run-state.json).
const guestShutdown = "guest-shutdown"

// A Stop says how a process was stopped.
type Stop struct {
	// Steps is what was done, in order. It is empty if the process had ended by
	// itself, or if there was none.
	Steps []Step

	// Exit is how the process ended. It is nil if there was none, or if not even
	// SIGKILL ended it.
	Exit *ExitStatus

	// Reason is why the guest stopped, from the event SHUTDOWN: "guest-shutdown",
	// "guest-panic", "host-qmp-quit" and so on. It is empty if no such event came.
	// With -no-shutdown it is about the guest, not about the quit that came later.
	Reason string
}

// By returns the action at which the process ended, the last one of Steps. It is
// empty if the process had ended by itself.
func (s Stop) By() Action {
	if len(s.Steps) == 0 {
		return ""
	}
	return s.Steps[len(s.Steps)-1].Action
}

// ByGuest reports whether the guest has shut itself down. If not, the guest had no
// chance to write what it held in memory.
func (s Stop) ByGuest() bool { return s.Reason == guestShutdown }

// String returns a text such as "system_powerdown, quit: exit code 0 (host-qmp-quit)".
func (s Stop) String() string {
	var actions []string
	for _, step := range s.Steps {
		actions = append(actions, string(step.Action))
	}
	how := "by itself"
	if len(actions) > 0 {
		how = strings.Join(actions, ", ")
	}
	switch {
	case s.Exit == nil && len(actions) == 0:
		return "there was no process"
	case s.Exit == nil:
		return how + ": still running"
	case s.Reason == "":
		return fmt.Sprintf("%s: %v", how, *s.Exit)
	}
	return fmt.Sprintf("%s: %v (%s)", how, *s.Exit, s.Reason)
}

// A GuestStateError says that the guest cannot see its power button.
type GuestStateError struct {
	Status string // what query-status says, such as "paused" or "guest-panicked"
}

// Error says so, and what can be done.
func (e *GuestStateError) Error() string {
	text := fmt.Sprintf("the guest does not run (%s) and cannot see its power button", e.Status)
	if e.Status == "paused" || e.Status == "prelaunch" {
		text += "; execute cont before PowerDown if it is to shut down by itself"
	}
	return text
}

// PowerDown asks the guest to shut down, as somebody does who presses its power
// button, and then ends the process as [Machine.Shutdown] does.
//
// The guest gets Options.PowerDownTimeout. The button is pressed again every
// Options.PowerDownEvery until the guest has shut down: a guest that is still booting
// misses the first press. If the guest does not react, the next step is quit. Each
// step has its limit. When ctx ends PowerDown goes straight to SIGKILL; it always
// completes. Afterwards nothing of the machine is left.
//
// The patience ends early when waiting is pointless. The step's Err says why:
//
//   - The guest does not run: a [*GuestStateError]. PowerDown does not continue it:
//     the one who paused it may copy its disk, or it may run elsewhere after a
//     migration.
//   - The guest has panicked, and QEMU has paused it: a GuestStateError as well.
//   - There is no monitor, no connection, or no guest (a storage daemon).
//   - The caller of Shutdown or Kill does not want to wait.
//
// A guest that has shut down while -no-shutdown keeps the process is followed by quit
// at once.
//
// The error is nil if the process ended as Shutdown wants it, also when quit was
// needed: [Stop.ByGuest] tells whether the guest has shut itself down. Several callers
// share one end and its result. PowerDown during a Shutdown is a Shutdown.
func (m *Machine) PowerDown(ctx context.Context) (Stop, error) { return m.stop(ctx, byGuest) }

// powerDown presses the power button until the guest is down or waiting for that is
// pointless. It reports whether the process may be expected to end.
func (r *run) powerDown(ctx context.Context) (wait bool, err error) {
	m := r.machine
	switch {
	case m.opts.Monitor == MonitorNone:
		return false, errNoMonitor
	case m.opts.StorageDaemon:
		return false, errNoGuest
	}
	var again <-chan time.Time // nil: the button is pressed once
	if every := orDefault(m.opts.PowerDownEvery, DefaultPowerDownEvery); every > 0 {
		tick := time.NewTicker(every)
		defer tick.Stop()
		again = tick.C
	}
	pressed := false
	for {
		seen := m.events.fateOfGuest()
		status, err := async.Call[struct {
			Status string `json:"status"`
		}](ctx, m.client, "query-status", nil)
		if err != nil {
			return pressed, unlessPressed(ctx, pressed, err)
		}
		switch status.Status {
		case "shutdown":
			if fate := m.events.fateOfGuest(); fate.reason == "" || fate.stopped {
				return false, nil // the guest is down, and -no-shutdown keeps the process
			}
			// QEMU says so while it ends, too, without the event STOP.
		case "guest-panicked", "internal-error":
			return false, &GuestStateError{Status: status.Status}
		case "running", "suspended":
			if seen.reason != "" {
				break // it is down, and the process is about to end
			}
			if _, err := m.client.Execute(ctx, string(ActionPowerDown), nil); err != nil {
				return pressed, unlessPressed(ctx, pressed, err)
			}
			pressed = true
		default:
			if !pressed {
				return false, &GuestStateError{Status: status.Status}
			}
			// Whoever has paused it meanwhile may let it go on.
		}
		if !r.awaitFate(ctx, seen, again) {
			return pressed, stepEnded(ctx)
		}
	}
}

// awaitFate waits until something has happened to the guest since seen, or it is time
// to press the button again. It reports false if the process or ctx has ended.
func (r *run) awaitFate(ctx context.Context, seen guestFate, again <-chan time.Time) bool {
	for {
		fate, changed := r.machine.events.watchGuest()
		if fate != seen {
			return true
		}
		select {
		case <-changed:
		case <-again:
			return true
		case <-r.process.ended:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// unlessPressed returns why the guest could not be asked. After the button was pressed
// once, a connection that ends is what was wanted, and a command that the step's limit
// interrupts is no news.
func unlessPressed(ctx context.Context, pressed bool, err error) error {
	var refused *async.ExecuteError
	switch {
	case !pressed, errors.As(err, &refused):
		return err
	}
	return stepEnded(ctx)
}

// stepEnded returns why ctx has ended, unless it was the step's own limit.
func stepEnded(ctx context.Context) error {
	var limit *async.TimeoutError
	if err := contexts.Err(ctx); !errors.As(err, &limit) {
		return err // nil if it has not ended
	}
	return nil
}

// A guestFate is what has become of the guest.
type guestFate struct {
	reason   string // of the event SHUTDOWN; "" if none came
	stopped  bool   // there was a STOP after it: -no-shutdown keeps the process
	panicked bool   // there was a GUEST_PANICKED
}

// note adds what an event tells.
func (f *guestFate) note(ev async.Event) {
	switch ev.Name {
	case "RESET":
		*f = guestFate{} // it boots again
	case "STOP":
		f.stopped = f.reason != ""
	case "GUEST_PANICKED":
		f.panicked = true
	case "SHUTDOWN":
		var data struct {
			Reason string `json:"reason"`
		}
		_ = ev.Decode(&data) // without a reason it is a shutdown all the same
		switch {
		case f.reason != "": // the first one is the guest's
		case data.Reason == "":
			f.reason = "unknown"
		default:
			f.reason = data.Reason
		}
	}
}

// fateOfGuest returns what has become of the guest.
func (q *eventQueue) fateOfGuest() guestFate {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fate
}

// whyShutDown returns the reason of the event SHUTDOWN, or "".
func (q *eventQueue) whyShutDown() string { return q.fateOfGuest().reason }

// watchGuest returns what has become of the guest, and a channel that is closed at the
// next event or at the end of the connection.
func (q *eventQueue) watchGuest() (guestFate, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.fate, q.changed
}

// awaitEnd waits until no more events will come, but not longer than limit.
func (q *eventQueue) awaitEnd(limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, _ = q.await(ctx, wanted{}) // returns when it has ended
}
