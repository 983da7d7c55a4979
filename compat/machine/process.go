package machine

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
)

// ExitStatus says how a process ended.
type ExitStatus struct {
	Code   int            // the exit code; -1 if a signal ended it
	Signal syscall.Signal // the signal that ended it, or 0
	Core   bool           // and left a core dump
}

// Success reports whether the process ended by itself with exit code 0.
func (s ExitStatus) Success() bool { return s == ExitStatus{} }

// String returns a text such as "exit code 1" or "signal 6 (aborted)".
func (s ExitStatus) String() string {
	switch {
	case s.Signal == 0:
		return fmt.Sprintf("exit code %d", s.Code)
	case s.Core:
		return fmt.Sprintf("signal %d (%v, core dumped)", int(s.Signal), s.Signal)
	}
	return fmt.Sprintf("signal %d (%v)", int(s.Signal), s.Signal)
}

// A process is one that was started, with everything that it starts.
type process struct {
	cmd    *exec.Cmd
	keeper *keeper // leads its group; nil if it does so itself

	ended chan struct{} // closed when it has ended and was collected
	exit  ExitStatus    // set before that
}

// startProcess starts cmd in the keeper's group. onEnd is called when it has
// ended.
func startProcess(cmd *exec.Cmd, k *keeper, onEnd func()) (*process, error) {
	p := &process{cmd: cmd, keeper: k, ended: make(chan struct{})}
	cmd.SysProcAttr = processAttr(k)
	started := make(chan error)
	go func() {
		// The kernel takes the end of the thread that started the process for the
		// end of this program (prctl(2), PR_SET_PDEATHSIG). So that thread
		// must not be lent to others, one of whom might end it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // what it has to say is in ProcessState
		p.exit = exitStatus(cmd.ProcessState)
		close(p.ended)
		onEnd()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
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
