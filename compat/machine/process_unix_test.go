//go:build unix

package machine

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Without a shell there is no keeper; the process leads its own group then.
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
		p, err := startProcess(cmd, nil, func() { close(ended) })
		if err != nil {
			t.Fatal(err)
		}
		group, err := syscall.Getpgid(cmd.Process.Pid)
		if err != nil || group != cmd.Process.Pid {
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
