//go:build unix

// Tests with a real QEMU: reconnecting (rule E14).
// The code that they hold: reconnect.go.
package async_test

import (
	"context"
	"io"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// A QEMU is killed, or told to quit, and another one takes its place at the same
// socket, which it makes or at which the client listens. The client goes on with it, and
// its listener has the events of both.
func TestE14QEMUIsStartedAgain_QEMU(t *testing.T) {
	t.Parallel()
	for _, listens := range []bool{false, true} {
		name := map[bool]string{false: "the client dials", true: "the client listens"}[listens]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(qemutest.Dir(t), "qmp")
			monitor := "unix:" + path
			if !listens {
				monitor += ",server=on"
			}
			sessions := make(chan uint64, 10)
			var c *async.Client
			c = newClient(t, &async.Options{Backoff: async.Every(qemutest.DialEvery), Reconnect: &async.Reconnect{
				Wait: true,
				OnConnect: func(ctx context.Context, own async.Caller) error {
					_, err := async.Call[struct{}](ctx, own, "stop", nil)
					sessions <- c.Session()
					return err
				},
			}})
			l := c.NewListener(nil, "RESUME", "SHUTDOWN")
			ctx := qemutest.Context(t)
			if listens {
				wantNil(t, "Listen", c.Listen(ctx, path))
			}
			for round, way := range []string{"kill", "quit", "Quit"} {
				vm := qemutest.Machine(t, "-qmp", monitor)
				if round == 0 {
					connect := func() error { return c.Connect(ctx, path) }
					if listens {
						connect = func() error { return c.Accept(ctx) }
					}
					wantNil(t, "connect", connect())
				}
				if got, want := callReal[struct{ Running bool }](t, c, "query-status", nil).Running, false; got != want {
					t.Errorf("round %d: OnConnect has not stopped the machine", round)
				}
				session := await(t, "OnConnect", sessions)
				mustReal(t, c, "cont", nil)
				ev, err := l.Next(ctx)
				if err != nil || ev.Name != "RESUME" || ev.Session != session {
					t.Fatalf("round %d: got %s of session %d, %v, want RESUME of session %d", round, ev.Name, ev.Session, err, session)
				}
				switch way {
				case "kill":
					vm.Kill()
				case "quit":
					mustReal(t, c, "quit", nil)
				case "Quit":
					wantNil(t, "Quit", c.Quit(ctx))
					wantState(t, c, async.Idle)
				}
				if way != "kill" {
					if ev, err := l.Next(ctx); err != nil || ev.Name != "SHUTDOWN" || ev.Session != session {
						t.Errorf("round %d: got %s of session %d, %v, want SHUTDOWN of session %d", round, ev.Name, ev.Session, err, session)
					}
				}
				if way != "Quit" {
					_, err := l.Next(ctx)
					if e := wantAs[*async.ExecInterruptedError](t, "the notice", err); e.Session != session || !async.HungUp(err) {
						t.Errorf("round %d: got the notice %+v, want that session %d ended", round, e, session)
					}
				}
				vm.Wait(t)
			}
			wantNil(t, "Disconnect", c.Disconnect(ctx))
		})
	}
}

// shutDown ends both directions of a socket, as a connection ends that is lost on its way.
func shutDown(t *testing.T, conn syscall.RawConn) {
	t.Helper()
	if err := conn.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) }); err != nil {
		t.Fatal(err)
	}
}

// A QEMU that is stopped does not greet. The client gives up each attempt at its limit,
// and is connected when QEMU goes on.
func TestE14StoppedQEMU_QEMU(t *testing.T) {
	t.Parallel()
	vm := qemutest.Machine(t, "-qmp", onUnix, "-qmp", "unix:other,server=on,wait=off")
	first := dialReal(t, vm.Path("qmp"), nil) // so that QEMU has started
	wantAlive(t, first)
	attempt := make(chan struct{})
	c := newClient(t, &async.Options{
		Backoff: async.Every(qemutest.DialEvery), Reconnect: &async.Reconnect{AttemptTimeout: 20 * qemutest.DialEvery},
		Tracers: []*async.Tracer{{Ended: func(ev async.TraceEnded) {
			if ev.Session == 2 {
				close(attempt)
			}
		}}},
	})
	wantNil(t, "Connect", c.Connect(qemutest.Context(t), vm.Path("other")))
	conn, err := c.SyscallConn()
	wantNil(t, "SyscallConn", err)
	w := c.WatchRunstate()
	vm.Freeze(t)
	shutDown(t, conn)
	awaitState(t, w, async.Connecting)
	_, err = c.Execute(qemutest.Context(t), "query-status", nil)
	if e := wantAs[*async.StateError](t, "in the gap", err); e.Cause != io.EOF {
		t.Errorf("in the gap: got the cause %v, want io.EOF", e.Cause)
	}
	await(t, "the end of an attempt", attempt)
	vm.Thaw(t)
	awaitState(t, w, async.Running)
	wantAlive(t, c)
}
