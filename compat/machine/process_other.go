//go:build !unix

package machine

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// canTerminate is false: this system has no signal that asks a process to end.
const canTerminate = false

// canInherit is false: a process cannot inherit an open socket on this system.
const canInherit = false

// endReading does nothing: there is no inherited socket.
func endReading(net.Conn) {}

func shortTempDir() string { return os.TempDir() }

func processAttr(*keeper) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func detachedAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func (p *process) terminate() error { return errors.ErrUnsupported }

// kill ends the process. os.Process holds the process open, so its id cannot become
// that of another process.
func (p *process) kill() error {
	err := p.osProcess.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func stateOf(state *os.ProcessState) ExitStatus { return ExitStatus{Code: state.ExitCode()} }
