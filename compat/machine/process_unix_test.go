//go:build unix

package machine

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// On a system without a shell there is no keeper. The process leads its own group
// then.
func TestProcessWithoutKeeper(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(*process) error{"terminate": (*process).terminate, "kill": (*process).kill} {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "QMP_MACHINE_FAKE=silent")
		ended := make(chan struct{})
		p, err := startProcess(cmd, nil, func() {}, func() { close(ended) })
		if err != nil {
			t.Fatal(err)
		}
		group, err := syscall.Getpgid(p.pid)
		if err != nil || group != p.pid {
			t.Errorf("%s: it is in group %d, %v", name, group, err)
		}
		if err := end(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		<-ended
		if p.exit.Signal == 0 {
			t.Errorf("%s: %v", name, p.exit)
		}
		if err := end(p); err != nil {
			t.Errorf("%s, again: %v", name, err)
		}
	}
	var none *keeper
	none.stop()
}

// If somebody else has collected the process, the system may not tell how it ended. Then
// Shutdown succeeds if the process was asked to end.
func TestUnknownExitStatus(t *testing.T) {
	t.Parallel()
	p := &process{}
	if got := p.exitStatus(nil); got != unknownExit || got.Success() || got.String() != "an unknown exit status" {
		t.Errorf("%+v, %v", got, got)
	}
	quitStep := []Step{{Action: ActionQuit}}
	for _, tt := range []struct {
		name  string
		steps []Step
		quit  bool
		mode  MonitorMode
		well  bool
	}{
		{name: "ended at quit", steps: quitStep, well: true},
		{name: "had ended after quit", quit: true, well: true},
		{name: "ended by itself"},
		{name: "ended at SIGTERM", steps: append(quitStep, Step{Action: ActionTerminate})},
		{name: "ended at SIGTERM, without a monitor", steps: []Step{{Action: ActionTerminate}}, mode: MonitorNone, well: true},
	} {
		r := &run{machine: New("none", &Options{Monitor: tt.mode}), process: &process{exit: unknownExit}}
		r.quit.Store(tt.quit)
		if got := r.endedWell(tt.steps); got != tt.well {
			t.Errorf("%s: ended well: %v", tt.name, got)
		}
	}
}

// The id of a process that was collected may be that of another process by now. That
// process must not get a signal.
func TestNoSignalForANumberThatMayBeAnothers(t *testing.T) {
	t.Parallel()
	bystander := exec.Command("sleep", "1000")
	bystander.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = bystander.Process.Kill()
		_ = bystander.Wait()
	})
	gone := exec.Command("true")
	gone.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	takeHandle := withHandle(gone.SysProcAttr, false)
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	// The process was collected. Below it gets the id of a bystander, as if the system
	// had reused the id.
	h := takeHandle()
	defer h.close()
	ended := make(chan struct{})
	close(ended)
	for name, p := range map[string]*process{
		"a process": {pid: bystander.Process.Pid, osProcess: gone.Process, handle: h, ended: ended},
		"a keeper": {pid: gone.Process.Pid, osProcess: gone.Process, handle: h, ended: ended, keeper: &keeper{
			cmd: &exec.Cmd{Process: bystander.Process}, handle: h,
		}},
		"without handles": {pid: bystander.Process.Pid, osProcess: gone.Process, ended: ended},
	} {
		if name == "a keeper" && h == nil {
			continue // this system cannot tell
		}
		if err := p.kill(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := p.terminate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := signalGroup(nil, bystander.Process.Pid, true, syscall.SIGKILL); err != errCollected { //nolint:errorlint // it must not be wrapped
		t.Errorf("%v", err)
	}
	if err := bystander.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the bystander: %v", err)
	}
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(bystander.Process.Pid, &status, syscall.WNOHANG, nil); pid != 0 || err != nil {
		t.Errorf("the bystander has ended: %d, %v, %v", pid, err, status)
	}
}
