//go:build !linux

package qemutest

import (
	"syscall"
	"testing"
)

// dieWithParent asks for nothing: only Linux can tie a process to its parent.
func dieWithParent() *syscall.SysProcAttr { return nil }

// What follows needs to look into a process, by proc(5).

// Freeze skips the test: only on Linux can one tell that a process has stopped.
func (p *Process) Freeze(t testing.TB) {
	t.Helper()
	t.Skip("stopping a process needs Linux")
}

// Thaw lets a process go on that [Process.Freeze] stopped.
func (p *Process) Thaw(testing.TB) {}

// SameFile skips the test: its answer needs Linux.
func (p *Process) SameFile(t testing.TB, _ int, _ string) bool {
	t.Helper()
	t.Skip("looking at a process's files needs Linux")
	return false
}

// Holds skips the test: its answer needs Linux.
func (p *Process) Holds(t testing.TB, _ string) int {
	t.Helper()
	t.Skip("looking at a process's files needs Linux")
	return 0
}
