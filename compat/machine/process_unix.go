//go:build unix

package machine

import (
	"errors"
	"os"
	"syscall"
)

// canTerminate says that a process can be asked by signal to end.
const canTerminate = true

// canInherit says that a process can be given an open socket.
const canInherit = true

// shortTempDir is a directory for sockets with a short name.
func shortTempDir() string { return "/tmp" }

// processAttr puts a process into the keeper's group, or into one of its own, so
// that what a wrapper starts is reached by signals, too.
func processAttr(k *keeper) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pgid: k.group()}
	dieWithParent(attr)
	return attr
}

// detachedAttr makes a process the leader of a session, which no terminal's signals
// reach.
func detachedAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// signal sends sig to the whole group. One that has gone is not an error.
func (p *process) signal(sig syscall.Signal) error {
	var err error
	if p.keeper != nil {
		err = p.keeper.signal(sig)
	} else {
		// Whoever started an adopted process may collect it at any time.
		err = signalGroup(p.handle, p.pid, p.osProcess == nil || p.hasEnded(), sig)
	}
	switch {
	case !errors.Is(err, errCollected):
		return err
	case p.osProcess == nil:
		err = p.handle.signal(sig)
	default:
		err = p.osProcess.Signal(sig)
	}
	// Of the group only this process could be reached.
	if errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// errCollected says that the leader of a group was collected, so that its number
// may be another's by now.
var errCollected = errors.New("the leader of the process group was collected")

// signalGroup sends sig to the process group number pgid, led by the process of
// the handle. collected says that this program has collected the leader. A number
// that may have become another group's is never used. A group that has gone is
// not an error.
func signalGroup(leader *handle, pgid int, collected bool, sig syscall.Signal) error {
	switch err := leader.signalGroup(sig); {
	case err == nil, errors.Is(err, syscall.ESRCH):
		return nil
	case collected, errors.Is(leader.signal(0), syscall.ESRCH):
		return errCollected
	}
	// The leader's number is taken as long as nobody has collected it.
	err := syscall.Kill(-pgid, sig)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return os.NewSyscallError("kill", err)
}

// terminate asks the process to end.
func (p *process) terminate() error { return p.signal(syscall.SIGTERM) }

// kill ends the process.
func (p *process) kill() error { return p.signal(syscall.SIGKILL) }

func stateOf(state *os.ProcessState) ExitStatus {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok {
		return statusOf(ws)
	}
	return ExitStatus{Code: state.ExitCode()}
}

// statusOf reads what the system says about a process that has ended.
func statusOf(ws syscall.WaitStatus) ExitStatus {
	if !ws.Signaled() {
		return ExitStatus{Code: ws.ExitStatus()}
	}
	return ExitStatus{Code: -1, Signal: ws.Signal(), Core: ws.CoreDump()}
}
