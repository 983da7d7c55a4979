//go:build unix

package machine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
)

const brief = 150 * time.Millisecond

func TestShutdownOfUnwillingProcesses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode  string
		opts  machine.Options
		steps string             // the actions
		exit  machine.ExitStatus // how it ends
		words []string
	}{
		{mode: "exit7", steps: "quit", exit: machine.ExitStatus{Code: 7}, words: []string{"quit: it ended after", "exit code 7"}},
		{mode: "stubborn", steps: "quit SIGTERM", exit: machine.ExitStatus{Code: -1, Signal: syscall.SIGTERM}, words: []string{"quit: still running after", "SIGTERM: it ended after"}},
		{mode: "deaf", steps: "quit SIGTERM SIGKILL", exit: killed, words: []string{"SIGKILL: it ended", "signal 9 (killed)"}},
		{mode: "mute", steps: "quit SIGTERM", exit: machine.ExitStatus{Code: -1, Signal: syscall.SIGTERM}, words: []string{"quit: interrupted after it was sent", "time limit of 150ms reached (machine.Options.QuitTimeout)"}},
		{mode: "deaf", opts: machine.Options{QuitTimeout: -1, TerminateTimeout: -1}, steps: "SIGKILL", exit: killed},
		{mode: "qmp", opts: machine.Options{QuitTimeout: -1, TerminateTimeout: -1}, steps: "SIGKILL", exit: killed},
		{mode: "stolid", opts: machine.Options{Monitor: machine.MonitorNone}, steps: "SIGTERM SIGKILL", exit: killed, words: []string{"output: here"}},
	} {
		t.Run(tt.mode+" "+tt.steps, func(t *testing.T) {
			t.Parallel()
			opts := tt.opts
			if opts.QuitTimeout == 0 && tt.mode != "exit7" {
				opts.QuitTimeout = brief
			}
			if strings.HasSuffix(tt.steps, "SIGKILL") && opts.TerminateTimeout == 0 {
				opts.TerminateTimeout = brief
			}
			m := newFake(t, tt.mode, opts)
			must(t, m.Launch(t.Context()))
			if tt.mode == "stolid" {
				eventually(t, "it ignores SIGTERM", func() bool { return m.Log() != "" })
			}
			err := m.Shutdown(t.Context())
			var abnormal *machine.AbnormalShutdown
			if !errors.As(err, &abnormal) || abnormal.Exit == nil {
				t.Fatalf("%v", err)
			}
			var steps []string
			for _, step := range abnormal.Steps {
				steps = append(steps, string(step.Action))
			}
			is(t, strings.Join(steps, " "), tt.steps, nil)
			is(t, *abnormal.Exit, tt.exit, nil)
			status, ok := m.ExitStatus()
			is(t, status, tt.exit, nil)
			is(t, ok, true, nil)
			for _, words := range append(tt.words, "abnormal shutdown", m.Name()) {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("no %q in: %v", words, err)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %v", err)
			}
			must(t, m.Shutdown(t.Context())) // it has been told
		})
	}
}

func TestShutdownWithoutMonitor(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m := newFake(t, "silent", machine.Options{Monitor: machine.MonitorNone})
	must(t, m.Launch(ctx))
	if _, err := m.QMP(ctx, "query-status", nil); err == nil || !strings.Contains(err.Error(), "no monitor") {
		t.Errorf("a command: %v", err)
	}
	if _, err := m.NextEvent(ctx); err == nil || !strings.Contains(err.Error(), "no monitor") {
		t.Errorf("an event: %v", err)
	}
	must(t, m.Shutdown(ctx)) // here the process may end by SIGTERM
	status, _ := m.ExitStatus()
	is(t, status.Signal, syscall.SIGTERM, nil)
}

func TestShutdownIsHurried(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	for name, hurry := range map[string]func(*machine.Machine, context.CancelCauseFunc) error{
		"by its context": func(_ *machine.Machine, cancel context.CancelCauseFunc) error { cancel(enough); return nil },
		"by another's context": func(m *machine.Machine, _ context.CancelCauseFunc) error {
			ctx, cancel := context.WithCancelCause(context.Background())
			cancel(enough)
			var abnormal *machine.AbnormalShutdown
			if err := m.Shutdown(ctx); !errors.As(err, &abnormal) {
				return fmt.Errorf("the other: %w", err)
			}
			return nil
		},
		"by Kill": func(m *machine.Machine, _ context.CancelCauseFunc) error { return m.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newFake(t, "mute", machine.Options{QuitTimeout: time.Hour})
			must(t, m.Launch(t.Context()))
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			down := make(chan error)
			go func() { down <- m.Shutdown(ctx) }()
			must(t, hurry(m, cancel))
			err := <-down
			var abnormal *machine.AbnormalShutdown
			if !errors.As(err, &abnormal) {
				if name == "by Kill" && err == nil {
					return // Kill came first, so that nothing was abnormal
				}
				t.Fatalf("%v", err)
			}
			is(t, *abnormal.Exit, killed, nil)
			if name != "by Kill" && !errors.Is(err, enough) {
				t.Errorf("it is not what the context ended with: %v", err)
			}
		})
	}
	t.Run("from the start", func(t *testing.T) {
		t.Parallel()
		m := newFake(t, "qmp", machine.Options{})
		must(t, m.Launch(t.Context()))
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(enough)
		if err := m.Shutdown(ctx); !errors.Is(err, enough) || !strings.Contains(err.Error(), "(context canceled: enough) SIGKILL") {
			t.Error(err)
		}
	})
}

func TestKill(t *testing.T) {
	t.Parallel()
	m := newFake(t, "deaf", machine.Options{})
	if _, err := m.Wait(t.Context()); !errors.Is(err, machine.ErrNotRunning) {
		t.Errorf("wait before the launch: %v", err)
	}
	must(t, m.Launch(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := m.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait: %v", err)
	}
	waited := make(chan machine.ExitStatus)
	go func() {
		status, err := m.Wait(t.Context())
		if err != nil {
			t.Error(err)
		}
		waited <- status
	}()
	must(t, m.Kill())
	is(t, <-waited, killed, nil)
	must(t, m.Shutdown(t.Context()))
}

func TestProcessThatCrashes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m := newFake(t, "qmp", machine.Options{})
	must(t, m.Launch(ctx))
	waiting := make(chan error)
	go func() {
		_, err := m.EventWait(ctx, "NEVER", nil)
		waiting <- err
	}()
	_, err := m.Command(ctx, "emit", machine.Args{"names": []string{"A"}})
	must(t, err)
	_, err = m.QMP(ctx, "crash", nil)
	_, later := m.Command(ctx, "query-status", nil)
	for what, err := range map[string]error{"crash": err, "wait for NEVER": <-waiting, "query-status": later} {
		var ended *machine.ProcessEndedError
		if !errors.As(err, &ended) {
			t.Errorf("%s: %v", what, err)
			continue
		}
		is(t, ended.Exit, killed, nil)
		is(t, ended.Call, what, nil)
		for _, words := range []string{"machine qmp: " + what + ": the process has ended", "signal 9 (killed)", "output: assertion failed"} {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%s: no %q in: %v", what, words, err)
			}
		}
	}
	var interrupted *async.ExecInterruptedError
	if !errors.As(err, &interrupted) || interrupted.SafeToRetry() {
		t.Errorf("%v", err)
	}
	// Events that came before are not lost.
	ev, err := m.NextEvent(ctx)
	is(t, ev["event"], "A", err)

	err = m.Shutdown(ctx)
	var abnormal *machine.AbnormalShutdown
	if !errors.As(err, &abnormal) || len(abnormal.Steps) > 0 || !strings.Contains(err.Error(), "ended by itself with signal 9") {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestMonitorThatIsClosed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m := newFake(t, "leave", machine.Options{QuitTimeout: brief})
	must(t, m.Launch(ctx))
	_, _ = m.Client().Execute(ctx, "leave", nil)
	if _, err := m.NextEvent(ctx); err == nil || !strings.Contains(err.Error(), "the process runs, but the connection to its monitor has ended") {
		t.Errorf("an event: %v", err)
	}
	err := m.Shutdown(ctx)
	var abnormal *machine.AbnormalShutdown
	if !errors.As(err, &abnormal) || abnormal.Exit.Signal != syscall.SIGTERM || abnormal.Steps[0].Err == nil {
		t.Errorf("%v", err)
	}
	// If the caller has closed the connection, the first step is SIGTERM.
	m = newFake(t, "qmp", machine.Options{QuitTimeout: time.Hour})
	must(t, m.Launch(ctx))
	must(t, m.Client().Close())
	if _, err := m.NextEvent(ctx); err == nil || !strings.Contains(err.Error(), "the connection to its monitor has ended") {
		t.Errorf("an event: %v", err)
	}
	must(t, m.Shutdown(ctx))
	status, _ := m.ExitStatus()
	is(t, status.Signal, syscall.SIGTERM, nil)
}

// A process may end by SIGTERM if that is the first step.
func TestSIGTERMAsTheFirstStep(t *testing.T) {
	t.Parallel()
	m := newFake(t, "qmp", machine.Options{QuitTimeout: -1})
	must(t, m.Launch(t.Context()))
	must(t, m.Shutdown(t.Context()))
	status, _ := m.ExitStatus()
	is(t, status.Signal, syscall.SIGTERM, nil)
}

// Options.ExitCodes names exit codes that mean success.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, tt := range []struct {
		codes []int
		ends  bool // by itself
		well  bool
	}{
		{[]int{33, 7}, false, true},
		{[]int{7}, true, true},
		{[]int{33}, false, false},
		{[]int{-1, 0}, true, false},
	} {
		m := newFake(t, "exit7", machine.Options{ExitCodes: tt.codes})
		must(t, m.Launch(ctx))
		if tt.ends {
			_, err := m.Command(ctx, "quit", nil)
			must(t, err)
			status, err := m.Wait(ctx)
			is(t, status.Code, 7, err)
		}
		err := m.Shutdown(ctx)
		var abnormal *machine.AbnormalShutdown
		if tt.well != (err == nil) || err != nil && !errors.As(err, &abnormal) {
			t.Errorf("%v: %v", tt.codes, err)
		}
	}
	// A signal has no exit code.
	m := newFake(t, "qmp", machine.Options{ExitCodes: []int{-1, 0, 137}})
	must(t, m.Launch(ctx))
	_, _ = m.QMP(ctx, "crash", nil)
	var abnormal *machine.AbnormalShutdown
	if err := m.Shutdown(ctx); !errors.As(err, &abnormal) {
		t.Errorf("a crash: %v", err)
	}
}

func TestQuitByTheCaller(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for name, quit := range map[string]func(m *machine.Machine) error{
		"Command": func(m *machine.Machine) error { _, err := m.Command(ctx, "quit", nil); return err },
		"QMP":     func(m *machine.Machine) error { _, err := m.QMP(ctx, "quit", nil); return err },
		"Client":  func(m *machine.Machine) error { _, err := m.Client().Execute(ctx, "quit", nil); return err },
	} {
		m := newFake(t, "qmp", machine.Options{Name: name})
		must(t, m.Launch(ctx))
		must(t, quit(m))
		must(t, m.Shutdown(ctx))
	}
}

// Signals reach a wrapper, and also the program that it runs.
func TestWrapper(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	exe, err := os.Executable()
	must(t, err)
	wrapped := func(name string) *machine.Machine {
		opts := &machine.Options{Name: name, Wrapper: []string{exe}, Env: []string{fakeMode + "=wrapper"}}
		return machine.ForTest(t, exe, opts)
	}
	m := wrapped("orderly")
	must(t, m.Launch(ctx))
	is(t, m.CommandLine()[0], exe, nil)
	is(t, m.CommandLine()[1], exe, nil)
	must(t, m.Shutdown(ctx))

	m = wrapped("killed")
	must(t, m.Launch(ctx))
	kids := children(m.Pid())
	if len(kids) != 1 {
		qemutest.Unsupported(t, "this system does not tell what %d has started: %q", m.Pid(), kids)
	}
	var kid int
	_, err = fmt.Sscan(kids[0], &kid)
	must(t, err)
	must(t, m.Kill())
	eventually(t, "what was wrapped has gone", func() bool { return gone(kid) })
}

func TestManyMachines(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var wg sync.WaitGroup
	for i := range 12 {
		m := newFake(t, "qmp", machine.Options{Name: fmt.Sprint(i)})
		wg.Go(func() {
			if err := m.Launch(ctx); err != nil {
				t.Error(err)
				return
			}
			if _, err := m.Command(ctx, "stop", nil); err != nil {
				t.Error(err)
			}
			if _, err := m.EventWait(ctx, "STOP", nil); err != nil {
				t.Error(err)
			}
			if err := m.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// All methods may be called concurrently. The test does not check their results.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	m := newFake(t, "qmp", machine.Options{})
	var wg sync.WaitGroup
	for _, call := range []func(){
		func() { _ = m.Launch(ctx) },
		func() { _ = m.Launch(ctx) },
		func() { _ = m.Shutdown(ctx) },
		func() { _ = m.Kill() },
		func() { _, _ = m.QMP(ctx, "query-status", nil) },
		func() { _, _ = m.Dir() },
		func() { _, _ = m.SocketPath("x") },
		func() { _, _ = m.ExitStatus() },
		func() { _ = m.Log() },
		func() { _ = m.CommandLine() },
		func() { _ = m.Console() },
		func() { _ = m.Running() },
		func() { m.AddArgs("x") },
		func() { m.Events() },
		func() { m.ClearEvents() },
		func() { _, _ = m.NextEvent(ctx) },
		func() { _, _ = m.Wait(ctx) },
	} {
		wg.Go(func() {
			for ctx.Err() == nil {
				call()
				time.Sleep(time.Millisecond)
			}
		})
	}
	time.AfterFunc(500*time.Millisecond, cancel)
	wg.Wait()
	must(t, m.Kill())
}
