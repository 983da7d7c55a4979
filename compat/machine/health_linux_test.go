package machine_test

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// awaitHealth waits until the machine's process is in a state, as the system says.
func awaitHealth(t *testing.T, m *machine.Machine, verdict async.Verdict, process machine.ProcessState) {
	t.Helper()
	for end := time.Now().Add(qemutest.Patience); ; time.Sleep(time.Millisecond) {
		h := m.Health()
		if h.Verdict == verdict && h.Process == process {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("got %v, want %s and %s", h, verdict, process)
		}
	}
}

// The verdict knows the process: before the launch, running, stopped, and after its end.
func TestHealth(t *testing.T) {
	t.Parallel()
	for fake, monitor := range map[string]machine.MonitorMode{"qmp": machine.MonitorDefault, "stolid": machine.MonitorNone} {
		t.Run(fake, func(t *testing.T) {
			t.Parallel()
			m := newFake(t, fake, machine.Options{Monitor: monitor})
			awaitHealth(t, m, async.Gone, machine.ProcessNone)
			if err := m.Launch(context.Background()); err != nil {
				t.Fatal(err)
			}
			awaitHealth(t, m, async.Healthy, machine.ProcessRuns)
			signal := func(sig syscall.Signal) {
				t.Helper()
				if err := syscall.Kill(m.Pid(), sig); err != nil {
					t.Fatal(err)
				}
			}
			signal(syscall.SIGSTOP)
			awaitHealth(t, m, async.Silent, machine.ProcessStopped)
			if text := m.Health().String(); !strings.HasPrefix(text, "silent: 0 commands") || !strings.HasSuffix(text, "the process: stopped") {
				t.Errorf("String: got %q", text)
			}
			signal(syscall.SIGCONT)
			awaitHealth(t, m, async.Healthy, machine.ProcessRuns)
			must(t, m.Kill())
			awaitHealth(t, m, async.Gone, machine.ProcessEnded)
		})
	}
}
