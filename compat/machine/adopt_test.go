//go:build linux

package machine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

func init() { moreFakes["manager"] = playManager }

// playManager plays a program that manages a machine. With "launch" it launches the
// machine and waits to be killed, with "begin" its Launch waits until the file args[3]
// exists, and with "adopt" it adopts the machine and shuts it down. args[1] is QEMU and
// args[2] the directory of machines.
func playManager(args []string) {
	ctx := context.Background()
	opts := &machine.Options{
		Name: "managed", Detached: true, TempDir: args[2], Args: []string{"-nodefaults", "-machine", "none"},
	}
	if args[0] == "begin" {
		opts.Wrapper = []string{"sh", "-c", `until [ -e "$0" ]; do sleep 0.01; done; exec "$@"`, args[3]}
	}
	m := machine.New(args[1], opts)
	switch args[0] {
	case "begin":
		check(m.Launch(ctx))
	case "launch":
		check(m.Launch(ctx))
		_, err := m.Command(ctx, "stop", nil)
		check(err)
		s, err := m.State()
		check(err)
		check(json.NewEncoder(os.Stdout).Encode(s))
		select {} // to be killed
	case "adopt":
		var s machine.State
		check(json.Unmarshal([]byte(args[3]), &s))
		check(m.Adopt(ctx, s))
		status, err := m.Command(ctx, "query-status", nil)
		check(err)
		fmt.Println(m.Pid(), m.Running(), status.(map[string]any)["status"])
		check(m.Shutdown(ctx))
		exit, ok := m.ExitStatus()
		fmt.Println(ok, known(exit), strings.Count(m.Log(), "waiting for connection"))
	}
}

func manager(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), fakeMode+"=manager")
	cmd.Stderr = os.Stderr
	return cmd
}

// A machine outlives its manager, and the next manager adopts it.
func TestManagerThatIsKilled(t *testing.T) {
	t.Parallel()
	qemu, dir := qemutest.Find(t, qemutest.QEMU), qemutest.Dir(t)
	first := manager(t, "launch", qemu, dir)
	out, err := first.StdoutPipe()
	must(t, err)
	must(t, first.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	var s machine.State
	must(t, json.Unmarshal([]byte(line), &s))
	t.Cleanup(func() {
		if t.Failed() && !gone(s.PID) {
			_ = syscall.Kill(s.PID, syscall.SIGKILL)
		}
	})
	must(t, first.Process.Kill())
	_ = first.Wait()
	if gone(s.PID) {
		t.Fatal("the process has ended with its manager")
	}
	saved, err := os.ReadFile(filepath.Join(s.Dir, "state.json"))
	must(t, err)
	var again machine.State
	must(t, json.Unmarshal(saved, &again))
	is(t, fmt.Sprint(again), fmt.Sprint(s), nil)

	answer, err := manager(t, "adopt", qemu, dir, line).Output()
	must(t, err)
	lines := strings.Split(string(answer), "\n")
	is(t, lines[0], fmt.Sprint(s.PID, " true paused"), nil)
	if lines[1] != "true exit code 0 1" && lines[1] != "true ? 1" {
		t.Errorf("%q", lines[1])
	}
	eventually(t, "the process has gone", func() bool { return gone(s.PID) })
	left, err := os.ReadDir(dir)
	is(t, len(left), 0, err)
}

// A manager that is killed during Launch leaves a process, and state.json for the
// manager that comes after it.
func TestManagerThatIsKilledDuringLaunch(t *testing.T) {
	t.Parallel()
	qemu, dir := qemutest.Find(t, qemutest.QEMU), qemutest.Dir(t)
	begin := filepath.Join(qemutest.Dir(t), "begin")
	first := manager(t, "begin", qemu, dir, begin)
	must(t, first.Start())
	var saved []byte
	eventually(t, "state.json", func() bool {
		files, _ := filepath.Glob(filepath.Join(dir, "*", "state.json"))
		for _, file := range files {
			saved, _ = os.ReadFile(file)
		}
		return len(saved) > 0
	})
	var s machine.State
	must(t, json.Unmarshal(saved, &s))
	t.Cleanup(func() {
		if t.Failed() && !gone(s.PID) {
			_ = syscall.Kill(s.PID, syscall.SIGKILL)
		}
	})
	must(t, first.Process.Kill())
	_ = first.Wait()
	must(t, os.WriteFile(begin, nil, 0o600)) // QEMU starts, and its manager is not there any more

	answer, err := manager(t, "adopt", qemu, dir, string(saved)).Output()
	must(t, err)
	is(t, strings.Split(string(answer), "\n")[0], fmt.Sprint(s.PID, " true running"), nil)
	eventually(t, "the end of the process", func() bool { return gone(s.PID) })
	left, err := os.ReadDir(dir)
	is(t, len(left), 0, err)
}

// newDetached launches a detached QEMU.
func newDetached(t *testing.T) (*machine.Machine, machine.State) {
	t.Helper()
	m := newQEMU(t, machine.Options{Detached: true})
	must(t, m.Launch(t.Context()))
	s, err := m.State()
	must(t, err)
	return m, s
}

func TestDetachAndAdopt(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	m, s := newDetached(t)
	group, err := syscall.Getpgid(s.PID)
	is(t, group, s.PID, err)
	dir, err := m.Dir()
	is(t, s.Dir, dir, err)
	for range 3 {
		got, err := m.Detach()
		is(t, fmt.Sprint(got), fmt.Sprint(s), err)
		if m.Running() || m.Pid() != 0 || m.CommandLine() != nil {
			t.Error("it runs")
		}
		if _, err := m.QMP(ctx, "query-status", nil); !errors.Is(err, machine.ErrNotRunning) {
			t.Errorf("a command: %v", err)
		}
		if _, err := m.Detach(); !errors.Is(err, machine.ErrNotRunning) {
			t.Errorf("detached twice: %v", err)
		}
		must(t, m.Kill()) // the machine has no process now
		if gone(s.PID) {
			t.Fatal("the process has ended")
		}
		m = newQEMU(t, machine.Options{Detached: true})
		must(t, m.Adopt(ctx, s))
		if err := m.Adopt(ctx, s); !errors.Is(err, machine.ErrLaunched) {
			t.Errorf("adopted twice: %v", err)
		}
		is(t, m.Pid(), s.PID, nil)
		is(t, strings.Join(m.CommandLine(), " "), strings.Join(s.Args, " "), nil)
		_, err = m.Command(ctx, "stop", nil)
		must(t, err)
		ev, err := m.NextEvent(ctx)
		is(t, ev["event"], "STOP", err)
		_, err = m.Command(ctx, "cont", nil)
		must(t, err)
	}
	must(t, m.Shutdown(ctx))
	status, ok := m.ExitStatus()
	is(t, status, machine.ExitStatus{}, nil) // the process is still a child of this program
	is(t, ok, true, nil)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory: %v", err)
	}
	// The machine may be launched again.
	must(t, m.Launch(ctx))
	s, err = m.Detach()
	must(t, err)
	must(t, m.Launch(ctx)) // another process, in another directory
	other, err := m.State()
	must(t, err)
	if other.Dir == s.Dir || other.PID == s.PID {
		t.Errorf("%+v, %+v", s, other)
	}
	must(t, m.Shutdown(ctx))
	must(t, m.Adopt(ctx, s))
	must(t, m.Shutdown(ctx))
}

// Adopt takes only the process that the state identifies.
func TestAdoptOfAnother(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	m, s := newDetached(t)
	adopt := func(s machine.State) error {
		return newQEMU(t, machine.Options{Detached: true}).Adopt(ctx, s)
	}
	if err := s.Remove(); err == nil || !strings.Contains(err.Error(), "still runs") {
		t.Errorf("removed while it runs: %v", err)
	}
	for name, change := range map[string]func(s *machine.State){
		"which was started later":      func(s *machine.State) { s.Started-- },
		"the system was started again": func(s *machine.State) { s.Boot = "x" },
		"there is no process":          func(s *machine.State) { s.PID = 1 << 22 },
		"another PID namespace":        func(s *machine.State) { s.Namespace = "pid:[1]" },
	} {
		other := s
		change(&other)
		err := adopt(other)
		failure, ok := errors.AsType[*machine.AdoptError](err)
		if !ok || !strings.Contains(err.Error(), name) || failure.State.PID != other.PID {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, machine.ErrGone) != (name != "another PID namespace") {
			t.Errorf("%s: is gone: %v", name, err)
		}
	}
	_, err := m.Command(ctx, "query-status", nil) // the failed Adopts have not disturbed it
	must(t, err)
	// Another program kills it.
	must(t, syscall.Kill(s.PID, syscall.SIGKILL))
	status, err := m.Wait(ctx)
	is(t, status, killed, err)
	if err := adopt(s); !errors.Is(err, machine.ErrGone) {
		t.Errorf("%v", err)
	}
	must(t, s.Remove())
	if _, err := os.Stat(s.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory: %v", err)
	}
	must(t, s.Remove())
	if err := m.Shutdown(ctx); err == nil {
		t.Error("nothing was abnormal")
	}
}

func TestAdoptedProcessThatIsKilled(t *testing.T) {
	t.Parallel()
	ctx := qemutest.Context(t)
	m, s := newDetached(t)
	_, err := m.Detach()
	must(t, err)
	m = newQEMU(t, machine.Options{Detached: true})
	must(t, m.Adopt(ctx, s))
	must(t, syscall.Kill(s.PID, syscall.SIGKILL))
	_, err = m.NextEvent(ctx)
	ended, ok := errors.AsType[*machine.ProcessEndedError](err)
	if !ok || ended.Exit != killed || !strings.Contains(ended.Output, "waiting for connection") {
		t.Errorf("%v", err)
	}
	if err := m.Shutdown(ctx); !errors.As(err, new(*machine.AbnormalShutdown)) {
		t.Errorf("%v", err)
	}
}

func TestDetachedOptions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for words, opts := range map[string]machine.Options{
		"MonitorDial": {Monitor: machine.MonitorInherit, Detached: true},
		"ConsoleFile": {Console: true, Detached: true},
	} {
		if err := newFake(t, "qmp", opts).Launch(ctx); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", words, err)
		}
	}
	m := newFake(t, "qmp", machine.Options{})
	_, stateErr := m.State()
	_, detachErr := m.Detach()
	for _, err := range []error{stateErr, detachErr, m.Adopt(ctx, machine.State{})} {
		if err == nil || !strings.Contains(err.Error(), "Options.Detached") {
			t.Errorf("%v", err)
		}
	}
	// A machine without a monitor, and the log in a file that is long.
	file := filepath.Join(t.TempDir(), "log")
	must(t, os.WriteFile(file, []byte("before\n"), 0o600))
	m = newFake(t, "flood", machine.Options{Detached: true, Monitor: machine.MonitorNone, LogFile: file, Args: []string{"16"}})
	must(t, m.Launch(ctx))
	_, err := m.Wait(ctx)
	must(t, err)
	text := m.Log()
	if len(text) > machine.DefaultLogLimit+200 || !strings.HasPrefix(text, floodLine(0)+floodLine(1)) ||
		!strings.HasSuffix(text, floodLine(floodBlock-1)) || strings.Count(text, " bytes are missing here") != 1 {
		t.Errorf("the log has %d bytes: %q ... %q", len(text), text[:100], text[len(text)-100:])
	}
	must(t, m.Shutdown(ctx))
	is(t, m.Log(), text, nil)
}
