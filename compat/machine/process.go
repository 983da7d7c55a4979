package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// ExitStatus says how a process ended.
type ExitStatus struct {
	Code   int            // the exit code; -1 if a signal ended it, or if it is unknown
	Signal syscall.Signal // the signal that ended it, or 0
	Core   bool           // and left a core dump

	// Unknown says that the process has ended and that the system does not tell
	// how: another part of the program collected it, such as a loop around
	// wait4(-1), or it is not a child of this program. Linux tells nevertheless
	// since 6.15.
	Unknown bool
}

// Success reports whether the process is known to have ended by itself with exit
// code 0.
func (s ExitStatus) Success() bool { return s == ExitStatus{} }

// String returns a text such as "exit code 1", "signal 6 (aborted)" or "an
// unknown exit status".
func (s ExitStatus) String() string {
	switch {
	case s.Unknown:
		return "an unknown exit status"
	case s.Signal == 0:
		return fmt.Sprintf("exit code %d", s.Code)
	case s.Core:
		return fmt.Sprintf("signal %d (%v, core dumped)", int(s.Signal), s.Signal)
	}
	return fmt.Sprintf("signal %d (%v)", int(s.Signal), s.Signal)
}

// unknownExit is the status of a process of which only the end is known.
var unknownExit = ExitStatus{Code: -1, Unknown: true}

// A process is one that was started, with everything that it starts.
type process struct {
	pid       int
	osProcess *os.Process // nil if it was adopted
	handle    *handle     // nil where the system has none
	keeper    *keeper     // leads its group; nil if it does so itself

	ended chan struct{} // closed when it has ended and was collected
	exit  ExitStatus    // set before that
}

// startProcess starts cmd in the keeper's group. When it has ended, settle is called
// before anybody is told, and onEnd after that.
func startProcess(cmd *exec.Cmd, k *keeper, settle, onEnd func()) (*process, error) {
	p := &process{keeper: k, ended: make(chan struct{})}
	cmd.SysProcAttr = processAttr(k)
	takeHandle := withHandle(cmd.SysProcAttr, false)
	started := make(chan error)
	go func() {
		// The kernel takes the end of the thread that started the process for the
		// end of this program (prctl(2), PR_SET_PDEATHSIG). So that thread
		// must not be lent to others, one of whom might end it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid, p.osProcess, p.handle = cmd.Process.Pid, cmd.Process, takeHandle()
		started <- nil
		_ = cmd.Wait() // what it has to say is in ProcessState
		p.exit = p.exitStatus(cmd.ProcessState)
		settle()
		close(p.ended)
		onEnd()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// exitStatus returns how the process ended, from what Wait found. Without a state
// somebody else has collected the process.
func (p *process) exitStatus(state *os.ProcessState) ExitStatus {
	if state != nil {
		return stateOf(state)
	}
	if status, ok := p.handle.exit(); ok {
		return status
	}
	return unknownExit
}

// startDetached starts cmd in a session of its own, so that it outlives this
// program. settle and onEnd are as for startProcess.
func startDetached(cmd *exec.Cmd, settle, onEnd func()) (*process, error) {
	p := &process{ended: make(chan struct{})}
	cmd.SysProcAttr = detachedAttr()
	takeHandle := withHandle(cmd.SysProcAttr, true)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.pid, p.osProcess, p.handle = cmd.Process.Pid, cmd.Process, takeHandle()
	if p.handle == nil {
		err := also(fmt.Errorf("a handle of the detached process: %w", errors.ErrUnsupported), cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
		return nil, err
	}
	go p.watch(settle, onEnd)
	return p, nil
}

// watch waits until the process has ended, or its handle was closed. The process
// need not be a child of this program.
func (p *process) watch(settle, onEnd func()) {
	if err := p.handle.await(); err != nil {
		return // this program has let go of it
	}
	p.exit = p.exitStatus(p.collect())
	settle()
	close(p.ended)
	onEnd()
}

// collect collects a process that has ended and is a child of this program, and
// returns its state; else nil.
func (p *process) collect() *os.ProcessState {
	if !p.handle.isChild() {
		return nil
	}
	child := p.osProcess
	if child == nil {
		var err error
		if child, err = os.FindProcess(p.pid); err != nil {
			return nil
		}
	}
	state, err := child.Wait()
	if err != nil {
		return nil // somebody else was faster
	}
	return state
}

// hasEnded reports whether the process has ended.
func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// await waits until the process has ended or ctx has, and reports whether the
// process has.
func (p *process) await(ctx context.Context) bool {
	select {
	case <-p.ended:
		return true
	case <-ctx.Done():
		return p.hasEnded()
	}
}
