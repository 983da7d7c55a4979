//go:build !unix

package machine

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// canTerminate says that a process cannot be asked by signal to end.
const canTerminate = false

// canInherit says that a process cannot be given an open socket.
const canInherit = false

func endReading(net.Conn) {}

func shortTempDir() string { return os.TempDir() }

func processAttr(*keeper) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func detachedAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func (p *process) terminate() error { return errors.ErrUnsupported }

// kill ends the process. The handle inside os.Process keeps the process's number
// from becoming another's.
func (p *process) kill() error {
	err := p.osProcess.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func stateOf(state *os.ProcessState) ExitStatus { return ExitStatus{Code: state.ExitCode()} }
