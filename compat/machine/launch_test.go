//go:build unix

package machine_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
)

var killed = machine.ExitStatus{Code: -1, Signal: syscall.SIGKILL}

var monitorModes = map[string]machine.MonitorMode{
	"inherit": machine.MonitorInherit, "accept": machine.MonitorAccept, "dial": machine.MonitorDial,
}

func TestLaunchAndShutdown(t *testing.T) {
	t.Parallel()
	for name, mode := range monitorModes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			m := newFake(t, "qmp", machine.Options{Monitor: mode, Args: []string{"a", "b"}})
			m.AddArgs("c")
			if _, ok := m.ExitStatus(); ok || m.Running() || m.Log() != "" || m.CommandLine() != nil {
				t.Error("a machine that was not launched has a process")
			}
			// A machine may be launched again.
			for range 2 {
				must(t, m.Launch(ctx))
				if err := m.Launch(ctx); !errors.Is(err, machine.ErrLaunched) {
					t.Errorf("a second launch: %v", err)
				}
				if args := m.CommandLine(); strings.Join(args[len(args)-3:], " ") != "a b c" {
					t.Errorf("command line %q", args)
				}
				dir, err := m.Dir()
				must(t, err)
				info, err := os.Stat(dir)
				must(t, err)
				if info.Mode().Perm() != 0o700 {
					t.Errorf("%s: %v", dir, info.Mode())
				}
				if !m.Running() || m.Pid() <= 0 {
					t.Error("it does not run")
				}
				if _, err := m.Command(ctx, "query-status", nil); err != nil {
					t.Error(err)
				}
				must(t, m.Shutdown(ctx))
				if status, ok := m.ExitStatus(); !ok || !status.Success() {
					t.Errorf("%v, %v", status, ok)
				}
				if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || m.Running() {
					t.Errorf("after Shutdown, the directory: %v", err)
				}
				must(t, m.Shutdown(ctx))
				must(t, m.Kill())
			}
		})
	}
}

func TestLaunchFailures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	noProgram := filepath.Join(dir, "text")
	must(t, os.WriteFile(noProgram, []byte("text"), 0o600))

	for _, tt := range []struct {
		name, mode string
		binary     string
		opts       machine.Options
		exit       *machine.ExitStatus
		killed     bool
		err        error    // what it is to match
		words      []string // the text contains them
	}{
		{name: "not there", binary: "no-such-qemu", err: exec.ErrNotFound, words: []string{"no-such-qemu", "command line: no-such-qemu -display"}},
		{name: "no such path", binary: dir + "/qemu", err: fs.ErrNotExist},
		{name: "no program", binary: noProgram, err: fs.ErrPermission},
		{name: "no such wrapper", mode: "qmp", opts: machine.Options{Wrapper: []string{"no-such-strace", "-f"}}, err: exec.ErrNotFound, words: []string{"command line: no-such-strace -f /"}},
		{name: "exits", mode: "exit", exit: &machine.ExitStatus{Code: 3}, words: []string{"ended with exit code 3", "no output"}},
		{
			name: "complains", mode: "complain", opts: machine.Options{Args: []string{"-name", "it's"}},
			exit: &machine.ExitStatus{Code: 1}, words: []string{"fake: no such disk", "reading the configuration | fake", `-name 'it'\''s'`},
		},
		{name: "dies", mode: "die", exit: &killed, words: []string{"signal 9 (killed)"}},
		{
			name: "never opens its monitor", mode: "silent", opts: machine.Options{LaunchTimeout: 400 * time.Millisecond},
			killed: true, err: context.DeadlineExceeded, words: []string{"time limit of 400ms reached (machine.Options.LaunchTimeout)"},
		},
		{name: "hangs up", mode: "hangup", killed: true, err: io.EOF, words: []string{"failed to establish session"}},
		{name: "speaks something else", mode: "garbage", killed: true, words: []string{"not JSON"}},
		{name: "wrong options", mode: "qmp", opts: machine.Options{StorageDaemon: true, ConsoleFile: "x"}, words: []string{"has no serial port"}},
		{name: "daemon", mode: "qmp", opts: machine.Options{Args: []string{"-daemonize"}}, words: []string{"-daemonize"}},
		{name: "no directory", mode: "qmp", opts: machine.Options{TempDir: dir + "/none"}, err: fs.ErrNotExist, words: []string{dir}},
		{name: "no log file", mode: "qmp", opts: machine.Options{LogFile: dir}, err: syscall.EISDIR},
	} {
		for how, monitor := range monitorModes {
			if monitor == machine.MonitorDial && (tt.mode == "garbage" || tt.mode == "hangup") {
				continue
			}
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				t.Parallel()
				opts := tt.opts
				opts.Monitor = monitor
				m := machine.ForTest(t, tt.binary, &opts)
				if tt.mode != "" {
					m = newFake(t, tt.mode, opts)
				}
				start := time.Now()
				err := m.Launch(t.Context())
				if took := time.Since(start); took > 20*time.Second {
					t.Errorf("it took %v", took)
				}
				var failure *machine.VMLaunchFailure
				if !errors.As(err, &failure) {
					t.Fatalf("%T: %v", err, err)
				}
				// The limit may be reached before the process is started. If the process has
				// said something, there was one to be killed. (TestLaunchIsCalledOff waits
				// for that.)
				killed := tt.killed
				if tt.mode == "silent" && failure.Output == "" {
					killed = failure.Killed
				}
				if failure.Machine != m.Name() || failure.Killed != killed {
					t.Errorf("%+v", failure)
				}
				if told := strings.Contains(err.Error(), "was still running, and was killed"); told != failure.Killed {
					t.Errorf("Killed is %v: %v", failure.Killed, err)
				}
				switch {
				case (failure.Exit == nil) != (tt.exit == nil):
					t.Errorf("exit %v, want %v", failure.Exit, tt.exit)
				case tt.exit != nil && *failure.Exit != *tt.exit:
					t.Errorf("exit %v, want %v", failure.Exit, tt.exit)
				}
				if tt.err != nil && !errors.Is(err, tt.err) {
					t.Errorf("it does not match %v: %v", tt.err, err)
				}
				for _, words := range append(tt.words, m.Name()) {
					if !strings.Contains(err.Error(), words) {
						t.Errorf("no %q in: %v", words, err)
					}
				}
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("more than one line: %v", err)
				}
				if m.Running() {
					t.Error("it runs")
				}
				if _, err := m.QMP(t.Context(), "query-status", nil); !errors.Is(err, machine.ErrNotRunning) {
					t.Errorf("a command after that: %v", err)
				}
			})
		}
	}
}

func TestLaunchIsCalledOff(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	for name, callOff := range map[string]func(*machine.Machine, context.CancelCauseFunc) error{
		"by its context": func(_ *machine.Machine, cancel context.CancelCauseFunc) error { cancel(enough); return nil },
		"by Shutdown":    func(m *machine.Machine, _ context.CancelCauseFunc) error { return m.Shutdown(context.Background()) },
		"by Kill":        func(m *machine.Machine, _ context.CancelCauseFunc) error { return m.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newFake(t, "silent", machine.Options{LaunchTimeout: -1})
			ctx, cancel := context.WithCancelCause(t.Context())
			launched := make(chan error)
			go func() { launched <- m.Launch(ctx) }()
			eventually(t, "it thinks", func() bool { return m.Running() && strings.Contains(m.Log(), "thinking") })
			pid := m.Pid()
			must(t, callOff(m, cancel))
			err := <-launched
			var failure *machine.VMLaunchFailure
			want := machine.ErrStopped
			if name == "by its context" {
				want = enough
			}
			if !errors.As(err, &failure) || !errors.Is(err, want) || !failure.Killed || !strings.Contains(err.Error(), "output: thinking") {
				t.Errorf("%v", err)
			}
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("the process: %v", err)
			}
			cancel(nil)
			if err := m.Launch(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, enough) {
				t.Errorf("a launch with a context that has ended: %v", err)
			}
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	a, b := machine.New("/usr/bin/qemu", nil), machine.New("/usr/bin/qemu", nil)
	if a.Name() == b.Name() || !strings.HasPrefix(a.Name(), "qemu-") {
		t.Errorf("%s, %s", a.Name(), b.Name())
	}
	if got := machine.Escape("a,b,,c"); got != "a,,b,,,,c" {
		t.Error(got)
	}
	for status, want := range map[machine.ExitStatus]string{
		{}:                                  "exit code 0",
		{Code: 2}:                           "exit code 2",
		{Code: -1, Signal: syscall.SIGSEGV}: "signal 11 (segmentation fault)",
		{Code: -1, Signal: syscall.SIGABRT, Core: true}: "signal 6 (aborted, core dumped)",
	} {
		if got := status.String(); got != want && runtime.GOOS == "linux" {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The paths of sockets are short even if those of directories are long, and they may
// have commas in them.
func TestPaths(t *testing.T) {
	t.Parallel()
	long := filepath.Join(t.TempDir(), "a,b"+strings.Repeat("/long", 30))
	must(t, os.MkdirAll(long, 0o700))
	for name, parent := range map[string]string{"long": long, "comma": filepath.Join(os.TempDir(), "x,y")} {
		must(t, os.MkdirAll(parent, 0o700))
		t.Cleanup(func() { os.RemoveAll(parent) })
		m := newFake(t, "qmp", machine.Options{Name: name, TempDir: parent, LogFile: filepath.Join(long, "log")})
		for range 2 {
			dir, err := m.Dir()
			must(t, err)
			path, err := m.SocketPath("other.sock")
			must(t, err)
			if filepath.Dir(dir) != parent || len(path) > 80 {
				t.Errorf("%s: directory %s, socket %s", name, dir, path)
			}
			for _, d := range []string{dir, filepath.Dir(path)} {
				info, err := os.Stat(d)
				must(t, err)
				if info.Mode().Perm() != 0o700 {
					t.Errorf("%s: %s: %v", name, d, info.Mode())
				}
			}
			must(t, m.Launch(t.Context()))
			must(t, m.Shutdown(t.Context()))
			if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: after Shutdown, the directory of sockets: %v", name, err)
			}
		}
		// That also holds without a launch. The machine does not use a directory that
		// somebody else has made, and the next launch works.
		dir, err := m.Dir()
		must(t, err)
		path, err := m.SocketPath("x")
		must(t, err)
		m.AddArgs("file="+dir+"/disk", "path="+machine.Escape(path)+",a=b", dir, "another="+dir+"x")
		must(t, m.Shutdown(t.Context()))
		must(t, os.Mkdir(dir, 0o755))
		if parent := filepath.Dir(path); parent != dir {
			must(t, os.WriteFile(parent, nil, 0o600))
			t.Cleanup(func() { os.Remove(parent) })
		}
		must(t, m.Launch(t.Context()))
		newDir, err := m.Dir()
		must(t, err)
		newPath, err := m.SocketPath("x")
		must(t, err)
		if newDir == dir || newPath == path || filepath.Dir(newDir) != parent {
			t.Errorf("%s: directories %s, %s; sockets %s, %s", name, dir, newDir, path, newPath)
		}
		args := m.CommandLine()
		want := []string{"file=" + newDir + "/disk", "path=" + machine.Escape(newPath) + ",a=b", newDir, "another=" + dir + "x"}
		if got := args[len(args)-4:]; !slices.Equal(got, want) {
			t.Errorf("%s: command line %q, want %q", name, got, want)
		}
		must(t, m.Shutdown(t.Context()))
		must(t, os.Remove(dir)) // it is there, and empty
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "log")
	must(t, os.WriteFile(file, []byte("before\n"), 0o600))
	var mu sync.Mutex
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(lockedWriter{&mu, &text}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	m := newFake(t, "hello", machine.Options{
		Name: "vm", Monitor: machine.MonitorNone, LogFile: file, Logger: log, Env: []string{"A=b"},
		Args: []string{"some", "words"}, QMP: &async.Options{Nickname: "nick"},
	})
	must(t, m.Launch(t.Context()))
	status, err := m.Wait(t.Context())
	is(t, status, machine.ExitStatus{}, err)
	const want = "-display\nnone\n-vga\nnone\nsome\nwords\n"
	is(t, m.Log(), want, nil)
	must(t, m.Shutdown(t.Context()))
	is(t, m.Log(), want, nil)
	b, err := os.ReadFile(file)
	is(t, string(b), "before\n"+want, err)
	mu.Lock()
	defer mu.Unlock()
	for _, words := range []string{"machine=vm", "some words", "launched", "exit code 0"} {
		if !strings.Contains(text.String(), words) {
			t.Errorf("no %q in the log:\n%s", words, &text)
		}
	}
}

func TestKeepDisplay(t *testing.T) {
	t.Parallel()
	m := newFake(t, "hello", machine.Options{Monitor: machine.MonitorNone, KeepDisplay: true, Args: []string{"-vga", "std"}})
	must(t, m.Launch(t.Context()))
	_, err := m.Wait(t.Context())
	is(t, m.Log(), "-vga\nstd\n", err)
	must(t, m.Shutdown(t.Context()))
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// A machine that is never launched has a directory, too.
func TestDirWithoutLaunch(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	m := machine.New("", &machine.Options{TempDir: parent})
	dir, err := m.Dir()
	must(t, err)
	info, err := os.Stat(dir)
	must(t, err)
	if filepath.Dir(dir) != parent || info.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v", dir, info.Mode())
	}
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	must(t, m.Kill())
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	m = machine.New("", &machine.Options{TempDir: filepath.Join(parent, "none")})
	if _, err := m.Dir(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
	must(t, m.Kill())
}
