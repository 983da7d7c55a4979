package qemutest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A spy is a testing.TB that records how the test ends.
type spy struct {
	testing.TB // for the methods that are not overridden below
	ended      string
	failed     bool
	logged     string
	cleanups   []func()
}

func (s *spy) Helper()                          {}
func (s *spy) Cleanup(f func())                 { s.cleanups = append(s.cleanups, f) }
func (s *spy) Failed() bool                     { return s.failed }
func (s *spy) end(text string)                  { s.ended = text; runtime.Goexit() }
func (s *spy) Errorf(string, ...any)            { s.failed = true }
func (s *spy) Logf(format string, args ...any)  { s.logged += fmt.Sprintf(format, args...) }
func (s *spy) Skipf(format string, args ...any) { s.end("skip: " + fmt.Sprintf(format, args...)) }
func (s *spy) Fatalf(format string, args ...any) {
	s.failed = true
	s.end("fatal: " + fmt.Sprintf(format, args...))
}

// watch runs f as a test would run, cleanups included.
func (s *spy) watch(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for len(s.cleanups) > 0 {
				last := s.cleanups[len(s.cleanups)-1]
				s.cleanups = s.cleanups[:len(s.cleanups)-1]
				last()
			}
		}()
		f()
	}()
	<-done
}

// program writes an executable file into a new folder, and returns the folder.
func program(t *testing.T, name string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFind(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short Find skips every test")
	}
	defer func(usual []string) { systemFolders = usual }(systemFolders)
	systemFolders = []string{program(t, GuestAgent)}
	with, named := program(t, QEMU), program(t, "qemu-of-mine")
	for name, tt := range map[string]struct {
		program, path, named, ci string
		want, ended              string
	}{
		"on the PATH":              {program: QEMU, path: with, want: filepath.Join(with, QEMU)},
		"named":                    {program: QEMU, path: with, named: filepath.Join(named, "qemu-of-mine"), want: filepath.Join(named, "qemu-of-mine")},
		"named, by a bare name":    {program: QEMU, path: named, named: "qemu-of-mine", want: filepath.Join(named, "qemu-of-mine")},
		"named, wrongly":           {program: QEMU, path: with, named: "/nowhere/qemu", ended: "fatal: QMP_TEST_QEMU: "},
		"the name is for one only": {program: Img, path: program(t, Img), named: "/nowhere/qemu", want: Img},
		"missing":                  {program: QEMU, path: t.TempDir(), ended: "skip: "},
		"missing in CI":            {program: QEMU, path: t.TempDir(), ci: "true", ended: "fatal: "},
		"the agent's usual place":  {program: GuestAgent, path: t.TempDir(), want: GuestAgent},
		"not for other programs":   {program: Img, path: t.TempDir(), ended: "skip: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", tt.path)
			t.Setenv("QMP_TEST_QEMU", tt.named)
			t.Setenv("CI", tt.ci)
			s := &spy{TB: t}
			var got string
			s.watch(func() { got = Find(s, tt.program) })
			switch {
			case tt.ended != "" && (got != "" || !strings.HasPrefix(s.ended, tt.ended)):
				t.Errorf("found %q, ended with %q, want %q", got, s.ended, tt.ended)
			case tt.ended != "" && !strings.Contains(s.ended, filepath.Base(tt.program)) && tt.named == "":
				t.Errorf("%q does not say what is missing", s.ended)
			case tt.ended == "" && (!filepath.IsAbs(got) || !strings.HasSuffix(got, tt.want) || s.ended != ""):
				t.Errorf("found %q, ended with %q, want %q", got, s.ended, tt.want)
			}
		})
	}
}

// What a system does not have is no fault of a build server, except on Linux.
func TestUnsupported(t *testing.T) {
	for _, tt := range []struct{ system, ci, want string }{
		{"linux", "true", "fatal: with CI set no test is skipped: no vsock"},
		{"linux", "", "skip: no vsock"},
		{"darwin", "true", "skip: no vsock"},
		{"windows", "", "skip: no vsock"},
	} {
		t.Setenv("CI", tt.ci)
		s := &spy{TB: t}
		s.watch(func() { unsupported(s, tt.system, "no %s", "vsock") })
		if s.ended != tt.want {
			t.Errorf("%s, CI=%s: ended with %q, want %q", tt.system, tt.ci, s.ended, tt.want)
		}
	}
}

func TestDirIsTheOwnersAndShortLived(t *testing.T) {
	s := &spy{TB: t}
	var dir string
	s.watch(func() {
		dir = Dir(s)
		info, err := os.Stat(dir)
		if err != nil {
			t.Error(err)
		} else if runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
			t.Errorf("mode %v, want 0700", info.Mode().Perm())
		}
	})
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func TestStartKillsWhatTheTestLeaves(t *testing.T) {
	s := &spy{TB: t}
	var vm *Process
	s.watch(func() {
		vm = Machine(s, "-qmp", "unix:qmp,server=on")
		s.failed = true // so that the log gets the output
	})
	if vm == nil {
		skipLike(t, s)
	}
	select {
	case <-vm.Done():
	default:
		t.Fatalf("%v is still running", vm)
	}
	if err := vm.Wait(t); err == nil || vm.state.Exited() {
		t.Errorf("the process ended with %v, want it killed", err)
	}
	if _, err := os.Stat(vm.Dir); !os.IsNotExist(err) {
		t.Errorf("its directory is still there: %v", err)
	}
	if !strings.Contains(s.logged, QEMU) {
		t.Errorf("the log of a failed test is %q, which does not name the program", s.logged)
	}
}

func TestStartKeepsTheOutput(t *testing.T) {
	p := Machine(t, "-no-such-option")
	err := p.Wait(t)
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.ExitCode() != 1 {
		t.Errorf("ended with %v, want exit status 1", err)
	}
	if !strings.Contains(p.Output(), "-no-such-option") {
		t.Errorf("printed %q, which does not name the option", p.Output())
	}
}

// skipLike ends t as s ended.
func skipLike(t *testing.T, s *spy) {
	t.Helper()
	if strings.HasPrefix(s.ended, "skip: ") {
		t.Skip(s.ended)
	}
	t.Fatal(s.ended)
}
