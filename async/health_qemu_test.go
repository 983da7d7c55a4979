//go:build unix

// Tests of Health and Keepalive with a real QEMU.
package async_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// verdicts is an OnChange that passes each new verdict on.
type verdicts chan async.Health

func (v verdicts) note(_ async.Verdict, now async.Health) { v <- now }

// await waits until the verdict is want. On a busy machine others may come before it.
func (v verdicts) await(t *testing.T, what string, want async.Verdict) async.Health {
	t.Helper()
	for {
		if h := await(t, what, v); h.Verdict == want {
			return h
		}
	}
}

// QEMU is stopped, its main loop is busy, the connection is dropped without a notice,
// and QEMU is killed.
func TestHealth_QEMU(t *testing.T) {
	t.Parallel()
	seen := make(verdicts, 1000)
	opts := &async.Options{Keepalive: &async.Keepalive{Interval: 20 * time.Millisecond, Timeout: 200 * time.Millisecond, OnChange: seen.note}}
	vm, c := startReal(t, opts)
	seen.await(t, "connected", async.Healthy)

	// Stopped by a signal.
	vm.Freeze(t)
	if h := seen.await(t, "stopped", async.Silent); h.Probe.Answered || !h.Probe.OOB {
		t.Errorf("stopped: %v, want an unanswered probe out of band", h)
	}
	vm.Thaw(t)
	seen.await(t, "goes on", async.Healthy)

	// QEMU's main loop waits until somebody reads the FIFO. Its monitor's own thread
	// answers the probes.
	b := newBlock(t, vm)
	counts := func(pending, waiting int) {
		t.Helper()
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			n, _ := async.ReadCounts(c)
			if n.Pending == pending && n.Waiting == waiting {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("got %+v, want %d pending and %d waiting", n, pending, waiting)
			}
		}
	}
	slow := start(t.Context(), c, b.cmd)
	counts(1, 0)
	var calls []<-chan result
	for range window { // one of them waits for a place
		calls = append(calls, start(t.Context(), c, async.Command{Name: "query-version"}))
	}
	counts(window, 1)
	h := seen.await(t, "the main loop is busy", async.Busy)
	if h.Oldest != "pmemsave" || !h.Probe.OOB || !h.Probe.Answered {
		t.Errorf("busy: %v, want pmemsave as the oldest, and an answered probe", h)
	}
	b.release(t)
	wantNil(t, "pmemsave", (<-slow).err)
	for _, call := range calls {
		wantNil(t, "query-version", (<-call).err)
	}
	seen.await(t, "the command is done", async.Healthy)
	wantNil(t, "Disconnect", c.Disconnect(qemutest.Context(t)))
	seen.await(t, "Disconnect", async.Gone)

	// A proxy forwards nothing any more, and says nothing.
	dropped := make(chan struct{})
	proxy := serveEach(t, "unix", func(conn net.Conn) { relay(t, conn, vm.Path("qmp"), dropped) })
	cut := dialReal(t, proxy, opts)
	seen.await(t, "through the proxy", async.Healthy)
	close(dropped)
	seen.await(t, "dropped", async.Silent)
	wantNil(t, "Close", cut.Close())

	c = dialReal(t, vm.Path("qmp"), opts)
	seen.await(t, "connected again", async.Healthy)
	vm.Kill()
	if h := seen.await(t, "killed", async.Gone); !async.HungUp(h.Err) {
		t.Errorf("killed: %v, want the end of the connection as the cause", h)
	}
	if err := c.Disconnect(context.Background()); !async.HungUp(err) {
		t.Errorf("Disconnect: %v", err)
	}
}

// relay connects conn and the socket at path, until dropped is closed. Then it forwards
// nothing, and both connections stay open until conn is closed.
func relay(t *testing.T, conn net.Conn, path string, dropped <-chan struct{}) {
	server, err := net.Dial("unix", path)
	if err != nil {
		t.Error(err)
		conn.Close()
		return
	}
	forward := func(from, to net.Conn) {
		buf := make([]byte, 1<<10)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			select {
			case <-dropped:
			default:
				to.Write(buf[:n])
			}
		}
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		forward(server, conn)
	}()
	forward(conn, server) // to the end of conn
	conn.Close()
	server.Close()
	<-back
}
