package machine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/harmless"
)

// lastEvents is how long PowerDown waits, after the end of the process, for the end
// of the connection: the last events come before that. It can take that long only if
// another process has inherited the monitor's socket.
const lastEvents = 5 * time.Second

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

	// Reason is the reason in QEMU's event SHUTDOWN: "guest-shutdown",
	// "guest-panic", "host-qmp-quit" and so on. It is empty if no such event came.
	// With -no-shutdown there may be two such events. Then the first one counts,
	// which says why the guest stopped; the second one is for the quit.
	Reason string
}

// By returns the last action of Steps, which ended the process. It is empty if the
// process had ended by itself.
func (s Stop) By() Action {
	if len(s.Steps) == 0 {
		return ""
	}
	return s.Steps[len(s.Steps)-1].Action
}

// ByGuest reports whether the guest has shut itself down. If it has not, data that
// the guest had only in memory may be lost.
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
	return fmt.Sprintf("%s: %v (%s)", how, *s.Exit, harmless.Line(s.Reason))
}

// A GuestStateError says that the guest does not run, so that it cannot react to its
// power button.
type GuestStateError struct {
	Status string // what query-status says, such as "paused" or "guest-panicked"
}

// Error says so, and what the caller can do.
func (e *GuestStateError) Error() string {
	text := fmt.Sprintf("the guest does not run (%s) and cannot react to its power button", harmless.Line(e.Status))
	if e.Status == "paused" || e.Status == "prelaunch" {
		text += "; execute cont before PowerDown if it is to shut down by itself"
	}
	return text
}

// PowerDown presses the guest's power button, which asks the guest to shut down. Then
// it ends the process as [Machine.Shutdown] does.
//
// PowerDown waits Options.PowerDownTimeout for the guest. It presses the button again
// every Options.PowerDownEvery until the guest has shut down: a guest that is still
// booting misses the first press. If the guest does not react, the next step is quit.
// Each step has its limit. When ctx ends, PowerDown goes straight to SIGKILL; it
// always completes. Afterwards nothing of the machine is left.
//
// PowerDown stops waiting for the guest, and goes on to quit, when waiting cannot
// help. The step's Err says why:
//
//   - The guest does not run: a [*GuestStateError]. PowerDown does not continue it:
//     whoever has paused it may be copying its disk, or it may run on another host
//     after a migration.
//   - The guest has panicked, and QEMU has paused it: a GuestStateError as well.
//   - There is no monitor, no connection, or no guest (a storage daemon).
//   - Another caller has called Shutdown, which does not wait for the guest, or Kill.
//
// With -no-shutdown the process goes on after the guest has shut down. Then PowerDown
// executes quit at once.
//
// The error is nil if the process ended as Shutdown requires it, even if quit was
// needed: [Stop.ByGuest] reports whether the guest has shut itself down. Several
// callers that call at the same time get the same result. If a Shutdown was called
// first, PowerDown waits for that and does not press the button.
func (m *Machine) PowerDown(ctx context.Context) (Stop, error) { return m.stop(ctx, byGuest) }

// powerDown presses the power button until the guest is down, or waiting for that
// cannot help. It reports whether the process is likely to end after that.
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
	// due says that it is time to press the button again, and alive that neither the
	// process nor ctx has ended.
	var pressed, due, alive bool
	for {
		seen := m.events.fateOfGuest()
		if seen.reason != "" && seen.stopped {
			return false, nil // the guest is down, and the process goes on: -no-shutdown
		}
		if seen.ending() && !due {
			// QEMU is about to end. Send nothing: a command that arrives now can make
			// QEMU 7.2 hang for ever.
			if due, alive = r.awaitFate(ctx, seen, again); !alive {
				return pressed, stepEnded(ctx)
			}
			continue
		}
		status, err := async.Call[struct {
			Status string `json:"status"`
		}](ctx, m.client, "query-status", nil)
		if err != nil {
			return pressed, unlessPressed(ctx, pressed, err)
		}
		switch status.Status {
		case "shutdown":
			if m.events.fateOfGuest().reason == "" {
				return false, nil // the guest was down before this program connected: -no-shutdown
			}
			// QEMU also has this status while it ends.
		case "guest-panicked", "internal-error":
			return false, &GuestStateError{Status: status.Status}
		case "running", "suspended":
			if seen.ending() {
				break
			}
			if _, err := m.client.Execute(ctx, string(ActionPowerDown), nil); err != nil {
				return pressed, unlessPressed(ctx, pressed, err)
			}
			pressed = true
		default:
			if !pressed {
				return false, &GuestStateError{Status: status.Status}
			}
			// Somebody has paused it after the button was pressed, and may continue it.
		}
		if due, alive = r.awaitFate(ctx, seen, again); !alive {
			return pressed, stepEnded(ctx)
		}
	}
}

// awaitFate waits until an event has changed the guest's fate from seen, or it is
// time to press the button again: then due is true. alive is false if the process or
// ctx has ended.
func (r *run) awaitFate(ctx context.Context, seen guestFate, again <-chan time.Time) (due, alive bool) {
	for {
		fate, changed := r.machine.events.watchGuest()
		if fate != seen {
			return false, true
		}
		select {
		case <-changed:
		case <-again:
			return true, true
		case <-r.process.ended:
			return false, false
		case <-ctx.Done():
			return false, false
		}
	}
}

// unlessPressed returns the error of the step for err, the error of a command. It
// leaves err out if the button was pressed before and QEMU did not answer: a
// connection that ends is what PowerDown waits for, and the step's own limit needs no
// error.
func unlessPressed(ctx context.Context, pressed bool, err error) error {
	var refused *async.ExecuteError
	switch {
	case !pressed, errors.As(err, &refused):
		return err
	}
	return stepEnded(ctx)
}

// stepEnded returns why ctx has ended. It returns nil if it has not, or if the step's
// own limit has ended it.
func stepEnded(ctx context.Context) error {
	var limit *async.TimeoutError
	if err := contexts.Err(ctx); !errors.As(err, &limit) {
		return err
	}
	return nil
}

// A guestFate is what the events say about the guest.
type guestFate struct {
	reason   string // the reason of the first event SHUTDOWN; "" if none came
	stopped  bool   // a STOP came after it: the process goes on (-no-shutdown)
	panicked bool   // a GUEST_PANICKED came
	poweroff bool   // it said that QEMU ends the machine for that
}

// ending reports whether QEMU is about to end, as far as the events say: it has shut
// the machine down, or will because the guest has panicked.
func (f guestFate) ending() bool { return f.reason != "" && !f.stopped || f.poweroff }

// note adds what an event says.
func (f *guestFate) note(ev async.Event) {
	switch ev.Name {
	case "RESET":
		*f = guestFate{} // the guest boots again
	case "STOP":
		f.stopped = f.reason != ""
	case "GUEST_PANICKED":
		var data struct {
			Action string `json:"action"`
		}
		_ = ev.Decode(&data) // an event without an action is a panic too
		f.panicked, f.poweroff = true, data.Action == "poweroff"
	case "SHUTDOWN":
		var data struct {
			Reason string `json:"reason"`
		}
		_ = ev.Decode(&data) // an event without a reason is a shutdown too
		switch {
		case f.reason != "": // keep the first: the second is for the quit after a -no-shutdown
		case data.Reason == "":
			f.reason = "unknown"
		default:
			f.reason = data.Reason
		}
	}
}

// fateOfGuest returns what the events so far say about the guest.
func (q *eventQueue) fateOfGuest() guestFate {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fate
}

// whyShutDown returns the reason of the event SHUTDOWN, or "".
func (q *eventQueue) whyShutDown() string { return q.fateOfGuest().reason }

// watchGuest returns what the events so far say about the guest, and a channel that is
// closed when an event changes that, or at the end of the connection.
func (q *eventQueue) watchGuest() (guestFate, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fated == nil {
		q.fated = make(chan struct{})
	}
	return q.fate, q.fated
}

// awaitEnd waits until the connection has ended, but not longer than limit.
func (q *eventQueue) awaitEnd(limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, _ = q.await(ctx, wanted{}) // wants no event, so it returns at the end
}
