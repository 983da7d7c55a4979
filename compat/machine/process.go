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
	Code   int            // the exit code; -1 if a signal ended the process, or if Unknown
	Signal syscall.Signal // the signal that ended the process, or 0
	Core   bool           // the process left a core dump

	// Unknown says that the process has ended, and that the system does not tell
	// how. That happens if another part of this program has collected the process,
	// such as a loop around wait4(-1), or if it is not a child of this program.
	// Since Linux 6.15 the system tells in these cases too.
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

// unknownExit is the status of a process that has ended in an unknown way.
var unknownExit = ExitStatus{Code: -1, Unknown: true}

// A process is a process that Launch has started or Adopt has found. Signals go to
// its whole process group. All fields but exit are set before it is shared.
type process struct {
	pid       int
	osProcess *os.Process // nil if it was adopted
	handle    *handle     // nil on a system without handles
	keeper    *keeper     // leads the process group; nil if the process leads it

	ended chan struct{} // closed when it has ended and was collected
	exit  ExitStatus    // set before that
}

// startProcess starts cmd in the keeper's group. When the process has ended, settle is
// called, then p.ended is closed, then onEnd is called.
func startProcess(cmd *exec.Cmd, k *keeper, settle, onEnd func()) (*process, error) {
	p := &process{keeper: k, ended: make(chan struct{})}
	cmd.SysProcAttr = processAttr(k)
	takeHandle := withHandle(cmd.SysProcAttr, false)
	started := make(chan error)
	go func() {
		// The kernel kills the process when the thread that started it ends
		// (prctl(2), PR_SET_PDEATHSIG). So this goroutine keeps the thread for
		// itself: another goroutine could end the thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid, p.osProcess, p.handle = cmd.Process.Pid, cmd.Process, takeHandle()
		started <- nil
		_ = cmd.Wait() // ProcessState says how it ended
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

// exitStatus returns how the process ended. state is what Wait has found: nil if
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
		_ = cmd.Wait() // returns that the process was killed
		return nil, err
	}
	go p.watch(settle, onEnd)
	return p, nil
}

// watch waits until the process has ended. Then it does what startProcess says of
// settle and onEnd. It gives up if the handle is closed. The process need not be a
// child of this program.
func (p *process) watch(settle, onEnd func()) {
	if err := p.handle.await(); err != nil {
		return // release has closed the handle
	}
	p.exit = p.exitStatus(p.collect())
	settle()
	close(p.ended)
	onEnd()
}

// collect collects a process that has ended, and returns its state. It returns nil if
// the process is not a child of this program, or somebody else has collected it.
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
		return nil // somebody else has collected it meanwhile
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

// await waits until the process or ctx has ended. It reports whether the process has.
func (p *process) await(ctx context.Context) bool {
	select {
	case <-p.ended:
		return true
	case <-ctx.Done():
		return p.hasEnded()
	}
}
