//go:build unix

package machine

import (
	"errors"
	"os"
	"syscall"
)

// canTerminate is true: SIGTERM asks a process to end.
const canTerminate = true

// canInherit is true: a process can inherit an open socket.
const canInherit = true

// shortTempDir returns a directory for temporary files whose path is short.
func shortTempDir() string { return "/tmp" }

// processAttr puts a process into the keeper's group, or into a new one if k is nil.
// Signals are sent to the group, so they also reach what a wrapper starts.
func processAttr(k *keeper) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pgid: k.group()}
	dieWithParent(attr)
	return attr
}

// detachedAttr makes a process the leader of a new session, so that no terminal sends
// it signals.
func detachedAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// signal sends sig to the whole process group. It is not an error if the group has
// ended.
func (p *process) signal(sig syscall.Signal) error {
	var err error
	if p.keeper != nil {
		err = p.keeper.signal(sig)
	} else {
		// The parent of an adopted process may collect it at any time.
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
	// The group's id cannot be used any more, so only the process itself was sent
	// the signal.
	if errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// errCollected says that the leader of a group was collected. The group's id may be
// that of another group by now.
var errCollected = errors.New("the leader of the process group was collected")

// signalGroup sends sig to the process group pgid, which the process of the handle
// leads. collected says that the leader was collected, or may be at any time.
// signalGroup never uses an id that may be that of another group by now: it returns
// errCollected instead. It is not an error if the group has ended.
func signalGroup(leader *handle, pgid int, collected bool, sig syscall.Signal) error {
	switch err := leader.signalGroup(sig); {
	case err == nil, errors.Is(err, syscall.ESRCH):
		return nil
	case collected, errors.Is(leader.signal(0), syscall.ESRCH):
		return errCollected
	}
	// As long as nobody has collected the leader, its id belongs to this group.
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

// statusOf converts what the system says about a process that has ended.
func statusOf(ws syscall.WaitStatus) ExitStatus {
	if !ws.Signaled() {
		return ExitStatus{Code: ws.ExitStatus()}
	}
	return ExitStatus{Code: -1, Signal: ws.Signal(), Core: ws.CoreDump()}
}
