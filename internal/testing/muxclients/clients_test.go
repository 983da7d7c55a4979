//go:build clients

package muxclients

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/go-qemu/qmp"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/mux"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// door starts a QEMU, and serves its monitor at a socket, whose path it returns. Another user
// is connected all the time, and executes commands.
func door(t *testing.T) string {
	t.Helper()
	ctx := qemutest.Context(t)
	c, err := async.Dial(ctx, qemutest.Monitor(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := mux.New(mux.Over(c), nil)
	path := filepath.Join(qemutest.Dir(t), "door")
	ln, err := mux.Listen(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- m.Serve(context.Background(), ln, nil) }()
	other, err := async.Dial(ctx, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	working := make(chan struct{})
	over, stop := context.WithCancel(ctx)
	go func() {
		defer close(working)
		for over.Err() == nil {
			if _, err := other.Execute(over, "query-name", nil); err != nil && over.Err() == nil {
				t.Errorf("the other user: %v", err)
				return
			}
			select {
			case <-over.Done():
			case <-time.After(time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		stop()
		<-working
		other.Close()
		m.Close()
		<-served
		c.Close()
	})
	return path
}

// digitalocean/go-qemu connects, executes commands, and gets events.
func TestGoQEMU(t *testing.T) {
	path := door(t)
	mon, err := qmp.NewSocketMonitor("unix", path, qemutest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	if err := mon.Connect(); err != nil {
		t.Fatal(err)
	}
	defer mon.Disconnect()
	ctx := qemutest.Context(t)
	events, err := mon.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// An event that nobody takes holds up this client, and QEMU sends STOP before the reply.
	seen := make(chan string, 100)
	go func() {
		defer close(seen)
		for ev := range events {
			seen <- ev.Event
		}
	}()
	raw, err := mon.Run([]byte(`{"execute":"query-status"}`))
	if err != nil {
		t.Fatal(err)
	}
	var status struct {
		Return struct{ Running bool }
	}
	if err := json.Unmarshal(raw, &status); err != nil || !status.Return.Running {
		t.Errorf("query-status: %s, %v", raw, err)
	}
	for _, c := range []struct{ command, event string }{{"stop", "STOP"}, {"cont", "RESUME"}} {
		if _, err := mon.Run([]byte(`{"execute":"` + c.command + `"}`)); err != nil {
			t.Fatalf("%s: %v", c.command, err)
		}
		select {
		case ev := <-seen:
			if ev != c.event {
				t.Errorf("%s: event %q, want %s", c.command, ev, c.event)
			}
		case <-ctx.Done():
			t.Fatalf("no event %s", c.event)
		}
	}
	if _, err := mon.Run([]byte(`{"execute":"nope"}`)); err == nil || !strings.Contains(err.Error(), "has not been found") {
		t.Errorf("nope: %v", err)
	}
}

// python returns a command that runs Python with the module qemu.qmp of QEMU's sources.
func python(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	program, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal(err)
	}
	top, err := qemutest.Cache("qemu-tests", "10.0", "python") // the version that make clients fetches
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(top, "qemu", "qmp", "qmp_client.py")); err != nil {
		t.Fatalf("QEMU's sources are not in the cache; make clients fetches them: %v", err)
	}
	cmd := exec.CommandContext(qemutest.Context(t), program, args...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+top, "PYTHONDONTWRITEBYTECODE=1", "HOME="+t.TempDir())
	return cmd
}

// Python's qemu.qmp connects, executes commands at the same time, gets events, and errors.
func TestPythonClient(t *testing.T) {
	out, err := python(t, "testdata/client.py", door(t)).CombinedOutput()
	if want := "client done\nlegacy done\n"; err != nil || string(out) != want {
		t.Errorf("%v: %s", err, out)
	}
}

// QEMU's qmp-shell executes the lines that it is given.
func TestQMPShell(t *testing.T) {
	cmd := python(t, "-c", "from qemu.qmp.qmp_shell import main; main()", "-v", door(t))
	cmd.Stdin = strings.NewReader("query-status\nqom-list path=/nope\nstop\ncont\nquery-version\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	rest := string(out)
	for _, want := range []string{"Connected to QEMU ", `"running": true`, `"class": "DeviceNotFound"`, `{"return": {}}`, `{"return": {}}`, `"package":`} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("no %s in the rest of\n%s", want, out)
		}
		rest = after
	}
}
