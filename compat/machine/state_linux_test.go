package machine

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// A process that has ended and was not collected is a zombie. One that was collected has
// ended.
func TestStateNow(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(qemutest.Patience); stateNow(cmd.Process.Pid) != ProcessZombie; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got %s, want %s", stateNow(cmd.Process.Pid), ProcessZombie)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := stateNow(1 << 30); got != ProcessEnded { // no process has such an id
		t.Errorf("got %s, want %s", got, ProcessEnded)
	}
}
