//go:build !linux

package machine

import (
	"errors"
	"fmt"
	"syscall"
)

const errNoProcess = syscall.ESRCH

func identify(int) (State, error) {
	return State{}, fmt.Errorf("detached processes on this system: %w", errors.ErrUnsupported)
}

func stateNow(int) ProcessState { return ProcessUnknown }
