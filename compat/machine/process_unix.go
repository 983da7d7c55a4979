//go:build unix

package machine

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// canTerminate says that a process can be asked by signal to end.
const canTerminate = true

// shortTempDir is a directory for sockets with a short name.
func shortTempDir() string { return "/tmp" }

// processAttr puts a process into the keeper's group, or into one of its own, so
// that what a wrapper starts is reached by signals, too.
func processAttr(k *keeper) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pgid: k.group()}
	dieWithParent(attr)
	return attr
}

// signal sends sig to the whole group.
func (p *process) signal(sig syscall.Signal) error {
	group := p.keeper.group()
	if group == 0 {
		if p.hasEnded() {
			return nil // the number may be another's by now
		}
		group = p.cmd.Process.Pid
	}
	err := syscall.Kill(-group, sig)
	if errors.Is(err, syscall.ESRCH) {
		return nil // all gone
	}
	return os.NewSyscallError("kill", err)
}

// terminate asks the process to end.
func (p *process) terminate() error { return p.signal(syscall.SIGTERM) }

// kill ends the process.
func (p *process) kill() error { return p.signal(syscall.SIGKILL) }

func exitStatus(state *os.ProcessState) ExitStatus {
	ws, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !ws.Signaled() {
		return ExitStatus{Code: state.ExitCode()}
	}
	return ExitStatus{Code: -1, Signal: ws.Signal(), Core: ws.CoreDump()}
}

// socketPair returns a connection, and its other end for a process to inherit.
func socketPair() (net.Conn, *os.File, error) {
	syscall.ForkLock.RLock() // nobody is to inherit these by accident
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "console"), os.NewFile(uintptr(fds[1]), "console")
	defer ours.Close() // FileConn has its own
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, also(err, theirs.Close())
	}
	return conn, theirs, nil
}
