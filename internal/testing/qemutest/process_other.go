//go:build !linux

package qemutest

import (
	"syscall"
	"testing"
)

// dieWithParent returns nil: only Linux can kill a process when its parent ends.
func dieWithParent() *syscall.SysProcAttr { return nil }

// The methods below need proc(5) of Linux. Their tests are skipped elsewhere, also if CI is
// set: see [Unsupported].

// Freeze skips the test: only Linux can tell that a process has stopped.
func (p *Process) Freeze(t testing.TB) {
	t.Helper()
	Unsupported(t, "stopping a process needs Linux")
}

// Thaw does nothing, because [Process.Freeze] has skipped the test.
func (p *Process) Thaw(testing.TB) {}

// SameFile skips the test: it needs Linux.
func (p *Process) SameFile(t testing.TB, _ int, _ string) bool {
	t.Helper()
	Unsupported(t, "looking at a process's files needs Linux")
	return false
}

// Holds skips the test: it needs Linux.
func (p *Process) Holds(t testing.TB, _ string) int {
	t.Helper()
	Unsupported(t, "looking at a process's files needs Linux")
	return 0
}
