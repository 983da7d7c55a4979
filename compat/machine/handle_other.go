//go:build !linux

package machine

import (
	"errors"
	"syscall"
)

// A handle refers to one process, and never to another. This system has no such
// thing, so every handle is nil.
type handle struct{}

func withHandle(*syscall.SysProcAttr, bool) func() *handle { return func() *handle { return nil } }

func (*handle) signal(syscall.Signal) error { return syscall.ENOSYS }

func (*handle) signalGroup(syscall.Signal) error { return syscall.ENOSYS }

func openHandle(int) (*handle, error) { return nil, errors.ErrUnsupported }

func (*handle) await() error { return syscall.ENOSYS }

func (*handle) hasEnded() bool { return false }

func (*handle) isChild() bool { return false }

func (*handle) exit() (ExitStatus, bool) { return ExitStatus{}, false }

func (*handle) close() {}
