//go:build unix

package machine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/compat/machine"
	linux "github.com/goqmp/qmp/internal/testing/guest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// bootGuest starts a machine with a real guest.
func bootGuest(t *testing.T, behaviour linux.Options, opts machine.Options) (*machine.Machine, *linux.Console) {
	t.Helper()
	opts.Console = true
	opts.Args = append(linux.Args(t, behaviour), opts.Args...)
	m := machine.ForTest(t, qemutest.Find(t, qemutest.QEMU), &opts)
	must(t, m.Launch(linux.Context(t)))
	return m, linux.Attach(t, m.Console())
}

func TestPowerDownOfAGuest(t *testing.T) {
	t.Parallel()
	m, console := bootGuest(t, linux.Options{}, machine.Options{PowerDownTimeout: linux.Patience})
	console.Await("ready", 1)
	stop, err := m.PowerDown(linux.Context(t))
	is(t, actionsOf(stop.Steps), "system_powerdown", err)
	is(t, stop.Reason, "guest-shutdown", nil)
	is(t, stop.Exit.Success(), true, nil)
}

// With -no-shutdown the process goes on after the guest has shut down. PowerDown still
// reports that the guest has shut down.
func TestPowerDownOfAGuestWithNoShutdown(t *testing.T) {
	t.Parallel()
	m, console := bootGuest(t, linux.Options{}, machine.Options{PowerDownTimeout: linux.Patience, Args: []string{"-no-shutdown"}})
	console.Await("ready", 1)
	start := time.Now()
	stop, err := m.PowerDown(linux.Context(t))
	is(t, actionsOf(stop.Steps), "system_powerdown quit", err)
	is(t, stop.ByGuest(), true, nil)
	if took := time.Since(start); took >= linux.Patience {
		t.Errorf("it waited for %v, to the end of its patience", took)
	}
}

func TestPowerDownOfAGuestThatIgnoresTheButton(t *testing.T) {
	t.Parallel()
	m, console := bootGuest(t, linux.Options{Button: linux.Ignores},
		machine.Options{PowerDownTimeout: 15 * time.Second, PowerDownEvery: 200 * time.Millisecond})
	console.Await("ready", 1)
	stop, err := m.PowerDown(linux.Context(t))
	is(t, actionsOf(stop.Steps), "system_powerdown quit", err)
	is(t, stop.ByGuest(), false, nil)
	is(t, stop.Reason, "host-qmp-quit", nil)
	if n := console.Said("power button"); n < 2 {
		t.Errorf("the guest has seen %d presses", n)
	}
}

// A guest that is still booting misses the first press.
func TestPowerDownOfAGuestThatBoots(t *testing.T) {
	t.Parallel()
	m, console := bootGuest(t, linux.Options{Hold: true},
		machine.Options{PowerDownTimeout: linux.Patience, PowerDownEvery: 500 * time.Millisecond})
	console.Await("booting", 1)
	type result struct {
		stop machine.Stop
		err  error
	}
	down := make(chan result)
	go func() {
		stop, err := m.PowerDown(linux.Context(t))
		down <- result{stop, err}
	}()
	_, err := m.EventWait(linux.Context(t), "POWERDOWN", nil)
	must(t, err)
	console.Go()
	r := <-down
	is(t, actionsOf(r.stop.Steps), "system_powerdown", r.err)
	is(t, r.stop.ByGuest(), true, nil)
	if n := presses(m); n < 1 {
		t.Error("the button was not pressed again")
	}
}

// A guest that does not run cannot react to the button.
func TestPowerDownOfAGuestThatIsPaused(t *testing.T) {
	t.Parallel()
	m, console := bootGuest(t, linux.Options{}, machine.Options{PowerDownTimeout: linux.Patience})
	console.Await("ready", 1)
	_, err := m.Command(linux.Context(t), "stop", nil)
	must(t, err)
	stop, err := m.PowerDown(linux.Context(t))
	is(t, actionsOf(stop.Steps), "system_powerdown quit", err)
	is(t, stop.ByGuest(), false, nil)
	if why := stop.Steps[0].Err; why == nil || !strings.Contains(why.Error(), "(paused)") {
		t.Errorf("%v", why)
	}
	is(t, presses(m), 0, nil)
}

func TestPowerDownOfAGuestThatPanics(t *testing.T) {
	t.Parallel()
	for action, want := range map[string]struct{ steps, reason string }{
		"shutdown": {"system_powerdown", "guest-panic"},
		"pause":    {"system_powerdown quit", "host-qmp-quit"},
	} {
		m, console := bootGuest(t, linux.Options{Button: linux.Panics},
			machine.Options{PowerDownTimeout: linux.Patience, Args: []string{"-device", "pvpanic", "-action", "panic=" + action}})
		console.Await("ready", 1)
		stop, err := m.PowerDown(linux.Context(t))
		is(t, actionsOf(stop.Steps), want.steps, err)
		is(t, stop.Reason, want.reason, nil)
	}
}

// A panic is a failure only with the option panic=exit-failure.
func TestShutdownAfterAPanic(t *testing.T) {
	t.Parallel()
	for action, code := range map[string]int{"shutdown": 0, "exit-failure": 1} {
		m, console := bootGuest(t, linux.Options{Button: linux.Panics},
			machine.Options{Args: []string{"-device", "pvpanic", "-action", "panic=" + action}})
		console.Await("ready", 1)
		ctx := linux.Context(t)
		_, err := m.Command(ctx, "system_powerdown", nil)
		must(t, err)
		status, err := m.Wait(ctx)
		is(t, status.Code, code, err)
		err = m.Shutdown(ctx)
		var abnormal *machine.AbnormalShutdown
		if failed := code != 0; failed != errors.As(err, &abnormal) {
			t.Errorf("%s: %v", action, err)
		}
	}
}
