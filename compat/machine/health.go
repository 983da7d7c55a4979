package machine

import (
	"fmt"

	"github.com/goqmp/qmp/async"
)

// A ProcessState is what the system says about a machine's process.
type ProcessState string

// The states of a process.
const (
	ProcessNone    ProcessState = "none"    // no process was started
	ProcessRuns    ProcessState = "runs"    // it runs, or waits for something
	ProcessStopped ProcessState = "stopped" // by a signal such as SIGSTOP, or by a debugger
	ProcessZombie  ProcessState = "zombie"  // it has ended, and its parent has not collected it
	ProcessEnded   ProcessState = "ended"   // it has ended: see [Machine.ExitStatus]
	ProcessUnknown ProcessState = "unknown" // it has not ended; this system has no /proc that says more
)

// Health is a verdict about a machine, with its evidence: that of the monitor's client,
// and the state of the process.
type Health struct {
	async.Health
	Process ProcessState // of the wrapper, if there is one
}

// String returns the verdict and its evidence in one line.
func (h Health) String() string {
	return fmt.Sprintf("%v; the process: %s", h.Health, h.Process)
}

// Health says how the machine is, without asking it. The verdict is that of
// [async.Client.Health], with these differences:
//
//   - Gone if the process has ended, or if there is none;
//   - Silent if it is stopped, although no command has waited long yet;
//   - with MonitorNone, Healthy if the process runs.
//
// Keepalive in Options.QMP makes the client ask QEMU now and then. Its OnChange may call
// Health. On a system without /proc the process is ProcessUnknown while it runs.
func (m *Machine) Health() Health {
	h := Health{Health: m.client.Health(), Process: ProcessNone}
	if p := m.process(); p != nil {
		h.Process = p.state()
	}
	switch h.Process {
	case ProcessNone, ProcessZombie, ProcessEnded:
		h.Verdict = async.Gone
	case ProcessStopped:
		h.Verdict = async.Silent
	default:
		if m.opts.Monitor == MonitorNone {
			h.Verdict = async.Healthy
		}
	}
	return h
}

// state returns the state of the process.
func (p *process) state() ProcessState {
	if p.hasEnded() {
		return ProcessEnded
	}
	now := stateNow(p.pid)
	// The id is the process's only if it was not collected before stateNow has looked.
	if p.hasEnded() {
		return ProcessEnded
	}
	return now
}
