package guest

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/socket"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A vm is a running guest with its console and its monitor.
type vm struct {
	*qemutest.Process
	console *Console
	monitor *async.Client
	events  *async.EventListener
}

// boot starts a guest.
func boot(t *testing.T, opts Options, args ...string) *vm {
	t.Helper()
	ours, theirs, err := socket.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	args = append(Args(t, opts), append([]string{
		"-display", "none", "-chardev", "socket,id=console,fd=3", "-serial", "chardev:console",
		"-qmp", "unix:monitor,server=on,wait=on",
	}, args...)...)
	p := qemutest.Start(t, qemutest.Command{Program: qemutest.QEMU, Args: args, Files: []*os.File{theirs}})
	v := &vm{Process: p, console: Attach(t, ours), monitor: async.New(&async.Options{Backoff: async.Every(qemutest.DialEvery)})}
	v.events = v.monitor.NewListener(nil)
	if err := v.monitor.Connect(Context(t), p.Path("monitor")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		v.events.Close()
		_ = v.monitor.Close() // QEMU may have ended the connection already
	})
	return v
}

// press presses the power button.
func (v *vm) press(t *testing.T) {
	t.Helper()
	if _, err := v.monitor.Execute(Context(t), "system_powerdown", nil); err != nil {
		t.Fatal(err)
	}
}

// An eventData has the members of the events' data that these tests use.
type eventData struct {
	Reason string `json:"reason"`
	Action string `json:"action"`
}

// event waits for an event and returns its data.
func (v *vm) event(t *testing.T, name string) (data eventData) {
	t.Helper()
	ctx := Context(t)
	for {
		ev, err := v.events.Next(ctx)
		if err != nil {
			t.Fatalf("wait for %s: %v", name, err)
		}
		if ev.Name != name {
			continue
		}
		if err := ev.Decode(&data); err != nil {
			t.Fatal(err)
		}
		return data
	}
}

func TestGuestPowersOff(t *testing.T) {
	t.Parallel()
	v := boot(t, Options{})
	v.console.Await("ready", 1)
	v.press(t)
	if data := v.event(t, "SHUTDOWN"); data.Reason != "guest-shutdown" {
		t.Errorf("the reason is %q, want guest-shutdown", data.Reason)
	}
	if err := v.Wait(t); err != nil {
		t.Error(err)
	}
}

func TestGuestIgnoresTheButton(t *testing.T) {
	t.Parallel()
	v := boot(t, Options{Button: Ignores})
	v.console.Await("ready", 1)
	for n := range 2 {
		v.press(t)
		v.console.Await("power button", n+1)
	}
}

func TestGuestThatBootsMissesTheButton(t *testing.T) {
	t.Parallel()
	v := boot(t, Options{Hold: true})
	v.console.Await("booting", 1)
	v.press(t)
	v.console.Go()
	v.console.Await("ready", 1)
	if n := v.console.Said("power button"); n != 0 {
		t.Errorf("the guest has noticed %d presses, want 0", n)
	}
	v.press(t)
	v.console.Await("power button", 1)
	v.event(t, "SHUTDOWN")
}

func TestGuestReboots(t *testing.T) {
	t.Parallel()
	v := boot(t, Options{Button: Reboots})
	v.console.Await("ready", 1)
	v.press(t)
	v.event(t, "RESET")
	v.console.Await("ready", 2)
}

func TestGuestPanics(t *testing.T) {
	t.Parallel()
	v := boot(t, Options{Button: Panics}, "-device", "pvpanic", "-action", "panic=pause")
	v.console.Await("ready", 1)
	v.press(t)
	if data := v.event(t, "GUEST_PANICKED"); data.Action != "pause" {
		t.Errorf("the action is %q, want pause", data.Action)
	}
}

func TestGuestAgent(t *testing.T) {
	t.Parallel()
	v := boot(t, Options{Agent: true}, append(AgentArgs("agent"), "-chardev", "socket,id=agent,path=agent,server=on,wait=off")...)
	v.console.Await("ready", 1)
	agent := async.New(&async.Options{SkipGreeting: true, SkipNegotiation: true})
	ctx := Context(t)
	if err := agent.Connect(ctx, v.Path("agent")); err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	if _, err := agent.Execute(ctx, "guest-ping", nil); err != nil {
		t.Error(err)
	}
}
