package qemutest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// dieWithParent makes the system kill the process when the test binary ends without
// running its cleanups, by a panic or a time limit.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// Freeze stops the process by SIGSTOP, and returns when all its threads have stopped.
// A stopped process reads nothing from its sockets and answers nothing.
func (p *Process) Freeze(t testing.TB) {
	t.Helper()
	if err := p.process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatalf("stop %v: %v", p, err)
	}
	for end := time.Now().Add(Patience); !p.frozen(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v has not stopped within %v", p, Patience)
		}
	}
}

// Thaw continues a process that [Process.Freeze] stopped.
func (p *Process) Thaw(t testing.TB) {
	t.Helper()
	if err := p.process.Signal(syscall.SIGCONT); err != nil {
		t.Fatalf("continue %v: %v", p, err)
	}
}

// frozen reports whether every thread is in state T (proc(5), stat).
func (p *Process) frozen() bool {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.Pid))
	if err != nil || len(stats) == 0 {
		return false
	}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			return false
		}
		// The state comes after the name, which may contain any characters.
		_, rest, ok := bytes.Cut(text[bytes.LastIndexByte(text, ')')+1:], []byte(" "))
		if !ok || rest[0] != 'T' {
			return false
		}
	}
	return true
}

// SameFile reports whether descriptor fd of the process is the file at path.
func (p *Process) SameFile(t testing.TB, fd int, path string) bool {
	t.Helper()
	theirs, err := os.Stat(fmt.Sprintf("/proc/%d/fd/%d", p.Pid, fd))
	if err != nil {
		t.Errorf("descriptor %d of %v: %v", fd, p, err)
		return false
	}
	ours, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(theirs, ours)
}

// Holds returns how many descriptors of the process are the file at path.
func (p *Process) Holds(t testing.TB, path string) int {
	t.Helper()
	ours, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.Pid))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, fd := range fds {
		// A descriptor that was closed meanwhile does not count.
		if theirs, err := os.Stat(fd); err == nil && os.SameFile(theirs, ours) {
			n++
		}
	}
	return n
}
