//go:build unix

package agent_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/qapi/qga"
)

func TestAgent_QEMU(t *testing.T) {
	t.Parallel()
	ctx, a := dialReal(t, "guest-get-timezone")
	if a.Version() == "" || !a.Commands()["guest-exec"].Enabled {
		t.Errorf("version %q, guest-exec is %+v", a.Version(), a.Commands()["guest-exec"])
	}
	if err := qga.GuestPing(ctx, a); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		command string
		want    agent.DisabledError
	}{
		{"guest-get-timezone", agent.DisabledError{Listed: true}},
		{"guest-make-coffee", agent.DisabledError{}},
	} {
		tt.want.Command, tt.want.Version = tt.command, a.Version()
		_, err := a.Do(ctx, async.Command{Name: tt.command})
		if e, ok := errors.AsType[*agent.DisabledError](err); !ok || *e != tt.want {
			t.Errorf("%s: got %v, want %v", tt.command, err, &tt.want)
		}
	}
	if err := a.Disconnect(ctx); err != nil {
		t.Error(err)
	}
}

// A client before this one has hung up in the middle of a command, and has not read the
// reply to another one.
func TestResync_QEMU(t *testing.T) {
	t.Parallel()
	p := startAgent(t)
	ctx := qemutest.Context(t)
	first, err := agent.Dial(ctx, p.Path("qga"), waitForSocket())
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	careless, err := net.Dial("unix", p.Path("qga"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(careless, `{"execute": "guest-ping"}{"execute": "guest-ping", "arguments": {"garbage`); err != nil {
		t.Fatal(err)
	}
	// When the reply is there, the agent has read the rest, too.
	if _, err := io.ReadFull(careless, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	second, err := agent.Attach(ctx, careless, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := qga.GuestPing(ctx, second); err != nil {
		t.Error(err)
	}
}

func TestExec_QEMU(t *testing.T) {
	t.Parallel()
	ctx, a := dialReal(t)

	out, err := a.Command(ctx, "echo", "hello", "guest").Output()
	if err != nil || string(out) != "hello guest\n" {
		t.Errorf("echo: %q, %v", out, err)
	}

	cat := a.Command(ctx, "/bin/cat")
	cat.Stdin = strings.NewReader("some input")
	if out, err = cat.Output(); err != nil || string(out) != "some input" {
		t.Errorf("cat: %q, %v", out, err)
	}

	env := a.Command(ctx, "/bin/sh", "-c", `echo "$NAME"`)
	env.Env = []string{"NAME=value"}
	if out, err = env.Output(); err != nil || string(out) != "value\n" {
		t.Errorf("env: %q, %v", out, err)
	}

	_, err = a.Command(ctx, "/bin/sh", "-c", "echo oops >&2; exit 3").Output()
	if exit, ok := errors.AsType[*agent.ExitError](err); !ok || exit.Code != 3 || exit.Signal != 0 || string(exit.Stderr) != "oops\n" {
		t.Errorf("exit 3: %v", err)
	}

	err = a.Command(ctx, "/bin/sh", "-c", "kill -9 $$").Run()
	if exit, ok := errors.AsType[*agent.ExitError](err); !ok || exit.Signal != 9 {
		t.Errorf("kill: %v", err)
	}

	out, err = a.Command(ctx, "/bin/sh", "-c", "echo 1; echo 2 >&2; echo 3").CombinedOutput()
	if err != nil || string(out) != "1\n2\n3\n" {
		t.Errorf("both streams: %q, %v", out, err)
	}

	err = a.Command(ctx, "/nonexistent").Run()
	if refused, ok := errors.AsType[*async.ExecuteError](err); !ok || !strings.Contains(refused.Desc, "/nonexistent") {
		t.Errorf("no such program: %v", err)
	}
}

// The context of a Cmd ends, and the program goes on until it is killed.
func TestKill_QEMU(t *testing.T) {
	t.Parallel()
	ctx, a := dialReal(t)
	short, cancel := context.WithCancel(ctx)
	sleep := a.Command(short, "sleep", "600")
	if err := sleep.Signal(ctx, "TERM"); err == nil {
		t.Error("a signal before the start")
	}
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := sleep.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v", err)
	}
	if err := sleep.Kill(ctx); err != nil {
		t.Error(err)
	}
	if err := sleep.Signal(ctx, "NONSENSE"); err == nil || !strings.Contains(err.Error(), "NONSENSE") {
		t.Errorf("a signal that does not exist: %v", err)
	}

	other := a.Command(ctx, "sleep", "600")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if err := other.Signal(ctx, "TERM"); err != nil {
		t.Error(err)
	}
	err := other.Wait()
	if exit, ok := errors.AsType[*agent.ExitError](err); !ok || exit.Signal != 15 {
		t.Errorf("Wait: %v", err)
	}
}
