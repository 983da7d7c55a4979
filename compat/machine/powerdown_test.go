//go:build unix

package machine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
)

// actionsOf returns the actions of steps, as one text.
func actionsOf(steps []machine.Step) string {
	var actions []string
	for _, step := range steps {
		actions = append(actions, string(step.Action))
	}
	return strings.Join(actions, " ")
}

// presses returns how many events POWERDOWN are in the queue, and empties it.
func presses(m *machine.Machine) int {
	n := 0
	for _, ev := range m.Events() {
		if ev["event"] == "POWERDOWN" {
			n++
		}
	}
	return n
}

func TestPowerDown(t *testing.T) {
	t.Parallel()
	const soon, never = 20 * time.Millisecond, time.Hour
	for _, tt := range []struct {
		mode   string
		status string // the guest's, before PowerDown; "" for running
		opts   machine.Options
		steps  string
		guest  bool // the guest has shut itself down
		reason string
		least  int    // presses of the button
		most   int    // presses of the button; 0 for any number
		words  string // in the error of the first step; "" for none
	}{
		{mode: "guest off at 1", opts: machine.Options{PowerDownEvery: never}, steps: "system_powerdown", guest: true, reason: "guest-shutdown", least: 1, most: 1},
		{mode: "guest off at 3", opts: machine.Options{PowerDownEvery: soon}, steps: "system_powerdown", guest: true, reason: "guest-shutdown", least: 3, most: 3},
		{mode: "guest reboots", opts: machine.Options{PowerDownEvery: soon}, steps: "system_powerdown", guest: true, reason: "guest-shutdown", least: 2, most: 2},
		{mode: "guest ignores", opts: machine.Options{PowerDownEvery: soon, PowerDownTimeout: 20 * soon}, steps: "system_powerdown quit", reason: "host-qmp-quit", least: 1},
		{mode: "guest ignores", opts: machine.Options{PowerDownEvery: -1, PowerDownTimeout: 4 * brief}, steps: "system_powerdown quit", reason: "host-qmp-quit", least: 1, most: 1},
		{mode: "guest ignores", opts: machine.Options{PowerDownTimeout: -1}, steps: "quit", reason: "host-qmp-quit"},
		{mode: "guest off, process stays", opts: machine.Options{PowerDownTimeout: never}, steps: "system_powerdown quit", guest: true, reason: "guest-shutdown", least: 1, most: 1},
		{mode: "guest off, slow process", opts: machine.Options{PowerDownEvery: soon, PowerDownTimeout: 20 * soon}, steps: "system_powerdown quit", guest: true, reason: "guest-shutdown", least: 1, most: 1},
		{mode: "guest off, process ends later", opts: machine.Options{PowerDownEvery: soon, PowerDownTimeout: never}, steps: "system_powerdown", guest: true, reason: "guest-shutdown", least: 1, most: 1},
		{mode: "guest panics", opts: machine.Options{PowerDownTimeout: never}, steps: "system_powerdown", reason: "guest-panic", least: 1, most: 1},
		{mode: "guest panics, process stays", opts: machine.Options{PowerDownTimeout: never}, steps: "system_powerdown quit", reason: "host-qmp-quit", least: 1, most: 1, words: "does not run (guest-panicked)"},
		{mode: "guest off, takes no command", opts: machine.Options{PowerDownEvery: never, PowerDownTimeout: time.Minute, QuitTimeout: brief}, steps: "system_powerdown", guest: true, reason: "guest-shutdown", least: 1, most: 1},
		{mode: "guest panics, takes no command", opts: machine.Options{PowerDownEvery: -1, PowerDownTimeout: time.Minute, QuitTimeout: brief}, steps: "system_powerdown", reason: "guest-panic", least: 1, most: 1},
		{mode: "guest refuses", opts: machine.Options{PowerDownTimeout: never}, steps: "system_powerdown quit", reason: "host-qmp-quit", least: 1, most: 1, words: "no button"},
		{mode: "guest mute", opts: machine.Options{PowerDownTimeout: brief, QuitTimeout: brief}, steps: "system_powerdown quit SIGTERM", least: 1, most: 1, words: "time limit of 150ms reached (machine.Options.PowerDownTimeout)"},
		{mode: "guest off at 1", status: "paused", opts: machine.Options{PowerDownTimeout: never}, steps: "system_powerdown quit", reason: "host-qmp-quit", words: "(paused) and cannot react to its power button; execute cont"},
		{mode: "guest off at 1", status: "postmigrate", opts: machine.Options{PowerDownTimeout: never}, steps: "system_powerdown quit", reason: "host-qmp-quit", words: "(postmigrate) and cannot react to its power button"},
		{mode: "guest off at 1", status: "shutdown", opts: machine.Options{PowerDownTimeout: never}, steps: "system_powerdown quit", reason: "host-qmp-quit"},
	} {
		t.Run(tt.mode+" "+tt.status+" "+tt.steps, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			m := newFake(t, tt.mode, tt.opts)
			must(t, m.Launch(ctx))
			if tt.status != "" {
				_, err := m.Command(ctx, "set-status", machine.Args{"status": tt.status})
				must(t, err)
			}
			stop, err := m.PowerDown(ctx)
			var abnormal *machine.AbnormalShutdown
			if forced := strings.Contains(tt.steps, "SIGTERM"); forced != errors.As(err, &abnormal) {
				t.Errorf("the error is %v", err)
			}
			is(t, actionsOf(stop.Steps), tt.steps, nil)
			is(t, tt.steps[strings.LastIndex(tt.steps, " ")+1:], string(stop.By()), nil)
			is(t, stop.ByGuest(), tt.guest, nil)
			is(t, stop.Reason, tt.reason, nil)
			if n := presses(m); n < tt.least || tt.most > 0 && n > tt.most || tt.least == 0 && n > 0 {
				t.Errorf("the button was pressed %d times", n)
			}
			var limit *async.TimeoutError // of a press, on a slow machine
			switch first := stop.Steps[0].Err; {
			case tt.mode == "guest ignores" && errors.As(first, &limit):
			case tt.words == "" && first != nil, tt.words != "" && (first == nil || !strings.Contains(first.Error(), tt.words)):
				t.Errorf("the first step: %v", first)
			}
			if stop.Exit == nil || !strings.HasPrefix(stop.String(), strings.ReplaceAll(tt.steps, " ", ", ")+": ") {
				t.Errorf("%v", stop)
			}
			is(t, m.Running(), false, nil)
		})
	}
}

func TestPowerDownWithoutAGuestToAsk(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m := newFake(t, "silent", machine.Options{Monitor: machine.MonitorNone})
	stop, err := m.PowerDown(ctx)
	is(t, stop.String(), "there was no process", err)
	is(t, stop.By(), "", nil)
	must(t, m.Launch(ctx))
	stop, err = m.PowerDown(ctx)
	is(t, actionsOf(stop.Steps), "system_powerdown SIGTERM", err)
	if why := stop.Steps[0].Err; why == nil || !strings.Contains(why.Error(), "no monitor") {
		t.Errorf("%v", why)
	}

	m = newFake(t, "guest off at 1", machine.Options{PowerDownTimeout: time.Hour})
	must(t, m.Launch(ctx))
	must(t, m.Client().Close())
	stop, err = m.PowerDown(ctx)
	is(t, actionsOf(stop.Steps), "system_powerdown SIGTERM", err)
	var state *async.StateError
	if !errors.As(stop.Steps[0].Err, &state) {
		t.Errorf("%v", stop.Steps[0].Err)
	}

	// The guest has ended by itself before.
	m = newFake(t, "guest off at 1", machine.Options{})
	must(t, m.Launch(ctx))
	_, err = m.Command(ctx, "system_powerdown", nil)
	must(t, err)
	_, err = m.Wait(ctx)
	must(t, err)
	stop, err = m.PowerDown(ctx)
	is(t, stop.String(), "by itself: exit code 0 (guest-shutdown)", err)
	is(t, stop.ByGuest(), true, nil)
}

// Other calls, and the end of ctx, end the wait for a guest that does not react.
func TestPowerDownIsHurried(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	for name, tt := range map[string]struct {
		hurry func(*machine.Machine, context.CancelCauseFunc) error
		steps string
	}{
		"by Shutdown": {
			func(m *machine.Machine, _ context.CancelCauseFunc) error { return m.Shutdown(context.Background()) },
			"system_powerdown quit",
		},
		"by Kill": {func(m *machine.Machine, _ context.CancelCauseFunc) error { return m.Kill() }, "system_powerdown SIGKILL"},
		"by its context": {
			func(_ *machine.Machine, cancel context.CancelCauseFunc) error { cancel(enough); return nil },
			"system_powerdown SIGKILL",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newFake(t, "guest ignores", machine.Options{PowerDownTimeout: time.Hour, PowerDownEvery: time.Hour})
			must(t, m.Launch(t.Context()))
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			type result struct {
				stop machine.Stop
				err  error
			}
			results := make(chan result)
			for _, ctx := range []context.Context{ctx, context.Background()} { // both share what comes of it
				go func() {
					stop, err := m.PowerDown(ctx)
					results <- result{stop, err}
				}()
			}
			_, err := m.EventWait(t.Context(), "POWERDOWN", nil)
			must(t, err)
			must(t, tt.hurry(m, cancel))
			for range 2 {
				r := <-results
				is(t, actionsOf(r.stop.Steps), tt.steps, nil)
				var abnormal *machine.AbnormalShutdown
				if forced := strings.Contains(tt.steps, "SIGKILL"); forced != errors.As(r.err, &abnormal) {
					t.Errorf("%v", r.err)
				}
				if r.stop.Steps[0].Err == nil {
					t.Error("the first step does not say why it ended")
				}
				if name == "by its context" && !errors.Is(r.err, enough) {
					t.Errorf("%v", r.err)
				}
			}
			is(t, presses(m), 0, nil) // the one was taken above
		})
	}
	t.Run("from the start", func(t *testing.T) {
		t.Parallel()
		m := newFake(t, "guest off at 1", machine.Options{})
		must(t, m.Launch(t.Context()))
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(enough)
		stop, err := m.PowerDown(ctx)
		is(t, actionsOf(stop.Steps), "SIGKILL", nil)
		if !errors.Is(err, enough) {
			t.Error(err)
		}
	})
}

// Shutdown sends no quit to a QEMU whose guest has just shut down: QEMU ends by itself.
func TestShutdownAfterTheGuest(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"guest off, takes no command", "guest panics, takes no command"} {
		m := newFake(t, mode, machine.Options{QuitTimeout: 2 * time.Minute})
		must(t, m.Launch(t.Context()))
		_, err := m.Command(t.Context(), "system_powerdown", nil)
		must(t, err)
		must(t, m.Shutdown(t.Context()))
		status, _ := m.ExitStatus()
		is(t, status, machine.ExitStatus{}, nil)
	}
}
