//go:build unix

// Tests with a real QEMU: how connections end (rules E5, E6, E7 and E11).
// The code that they hold: disconnect.go, end.go, session.go and receive.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// QEMU answers quit and exits. Its reply is never lost, and neither is the
// event before it. The end is always an end of file, and not a reset: QEMU has
// read everything that was sent.
func TestE11QuitAHundredTimes_QEMU(t *testing.T) {
	t.Parallel()
	qemutest.Find(t, qemutest.QEMU) // here, so that a missing program is reported once
	rounds := map[string][]func(*testing.T, *async.Options) (*qemutest.Process, *async.Client){
		"unix": {
			func(t *testing.T, opts *async.Options) (*qemutest.Process, *async.Client) {
				vm := qemutest.Machine(t, "-qmp", onUnix)
				return vm, dialWatched(t, "unix", vm.Path("qmp"), opts)
			},
			func(t *testing.T, opts *async.Options) (*qemutest.Process, *async.Client) {
				return acceptReal(t, filepath.Join(qemutest.Dir(t), "qmp"), opts)
			},
		},
		"tcp": {
			func(t *testing.T, opts *async.Options) (*qemutest.Process, *async.Client) {
				vm, addr := tcpMonitor(t)
				return vm, dialWatched(t, "tcp", addr, opts)
			},
			func(t *testing.T, opts *async.Options) (*qemutest.Process, *async.Client) {
				return acceptReal(t, "127.0.0.1:0", opts)
			},
		},
	}
	for network, begin := range rounds {
		t.Run(network, func(t *testing.T) {
			for i := range 100 {
				t.Run(fmt.Sprint(i), func(t *testing.T) {
					t.Parallel()
					// Without oob QEMU reads nothing while it executes a command: a byte
					// after the message would be unread when it exits.
					opts := &async.Options{NoOOB: i%4 < 2}
					w := watchWire(opts)
					vm, c := begin[i%2](t, opts)
					quitReal(t, vm, c, w)
				})
			}
		})
	}
}

// Quit waits for the end of a machine that was told to quit, and HungUp matches
// that end, over unix and TCP, alone and among other calls.
func TestE11QuitIsOver_QEMU(t *testing.T) {
	t.Parallel()
	qemutest.Find(t, qemutest.QEMU)
	for network, begin := range map[string]func(*testing.T, *async.Options) (*qemutest.Process, *async.Client){
		"unix": func(t *testing.T, opts *async.Options) (*qemutest.Process, *async.Client) { return startReal(t, opts) },
		"tcp":  startTCP,
	} {
		t.Run(network, func(t *testing.T) {
			for i := range 100 {
				t.Run(fmt.Sprint(i), func(t *testing.T) {
					t.Parallel()
					vm, c := begin(t, &async.Options{NoOOB: i%4 < 2})
					ctx := qemutest.Context(t)
					var others []<-chan result
					if i%2 == 1 { // commands that QEMU has not read when it exits turn the end of file into a reset
						for range 5 {
							others = append(others, start(ctx, c, async.Command{Name: "query-status"}))
						}
					}
					wantNil(t, "Quit", c.Quit(ctx))
					wantState(t, c, async.Idle)
					for _, other := range others {
						if err := await(t, "another command", other).err; err != nil && !async.HungUp(err) {
							if late, ok := errors.AsType[*async.StateError](err); !ok || late.State != async.Idle {
								t.Errorf("another command: got %v", err)
							}
						}
					}
					wantNil(t, "Close", c.Close())
					// With commands that it has not executed QEMU 5.2 and 10.0 may crash
					// while they exit.
					if err := vm.Wait(t); err != nil && len(others) == 0 {
						t.Errorf("QEMU ended with %v", err)
					}
				})
			}
		})
	}
}

// dialWatched connects to a monitor and watches the stream. The engine treats a
// reset after the reply to quit as an end of file; here the stream must not
// have a reset.
func dialWatched(t *testing.T, network, addr string, opts *async.Options) *async.Client {
	t.Helper()
	opts.Dialer = func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &watchedConn{conn, t}, nil
	}
	return dialReal(t, addr, opts)
}

type watchedConn struct {
	net.Conn
	t *testing.T
}

func (w *watchedConn) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err != nil && err != io.EOF {
		w.t.Errorf("the stream ended with %v, want an end of file", err)
	}
	return n, err
}

// acceptReal starts an empty machine that connects to a listening client.
func acceptReal(t *testing.T, addr string, opts *async.Options) (*qemutest.Process, *async.Client) {
	t.Helper()
	ctx := qemutest.Context(t)
	c := newClient(t, opts)
	if err := c.Listen(ctx, addr); err != nil {
		t.Fatal(err)
	}
	at := c.ListenAddr()
	vm := qemutest.Machine(t, "-qmp", at.Network()+":"+at.String())
	if err := c.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	return vm, c
}

func quitReal(t *testing.T, vm *qemutest.Process, c *async.Client, w *wire) {
	t.Helper()
	events := c.NewListener(nil)
	defer events.Close()
	ctx := qemutest.Context(t)
	value, err := c.Execute(ctx, "quit", nil)
	wantValue(t, "quit", value, err, "{}")
	ev, ok, err := events.TryNext()
	switch {
	case !ok && w.precededReply("SHUTDOWN"):
		t.Error("SHUTDOWN came before the reply to quit, and is not in the queue after it")
	case !ok: // QEMU 5.2 sends it after the reply
		ev, err = events.Next(ctx)
	}
	if err != nil || ev.Name != "SHUTDOWN" || !strings.Contains(string(ev.Data), "host-qmp-quit") {
		t.Errorf("after quit: got event %s %s, error %v; want SHUTDOWN", ev.Name, ev.Data, err)
	}
	ev, err = events.Next(ctx) // waits for the end of the connection, and returns its cause
	wantInterrupted(t, "wait for events", err, false, io.EOF)
	if ev.Name != "" {
		t.Errorf("got event %s after SHUTDOWN", ev.Name)
	}
	wantState(t, c, async.Disconnecting)
	if err := c.Disconnect(ctx); err != io.EOF {
		t.Errorf("Disconnect: got %v, want io.EOF and nothing else", err)
	}
	if err := vm.Wait(t); err != nil {
		t.Errorf("QEMU ended with %v", err)
	}
}

// When QEMU is killed, every call and every wait ends at once, and its error
// says why.
func TestE6KilledWithEverythingPending_QEMU(t *testing.T) {
	t.Parallel()
	for name, noOOB := range map[string]bool{"oob": false, "no oob": true} {
		for _, network := range []string{"unix", "tcp"} {
			t.Run(name+" "+network, func(t *testing.T) {
				t.Parallel()
				killed(t, network, &async.Options{NoOOB: noOOB})
			})
		}
	}
}

func killed(t *testing.T, network string, opts *async.Options) {
	t.Helper()
	w := watchWire(opts)
	dial := startTCP
	if network == "unix" {
		dial = func(t *testing.T, opts *async.Options) (*qemutest.Process, *async.Client) {
			return startReal(t, opts)
		}
	}
	vm, c := dial(t, opts)
	ctx := qemutest.Context(t)
	watcher := c.WatchRunstate()
	defer watcher.Close()
	events := c.NewListener(nil)
	defer events.Close()

	block := newBlock(t, vm)
	slow := start(ctx, c, block.cmd)
	w.await(t, 1)
	block.awaitStart(t) // if QEMU 5.2 gets eight before it begins the first, it stops reading
	var calls []<-chan result
	onWire := 7 // seven have a place in the window beside the slow one; the others wait on this side
	if opts.NoOOB {
		onWire = 10
	}
	for i := range 10 {
		calls = append(calls, start(ctx, c, async.Command{Name: fmt.Sprintf("token-%d", i)}))
		if i < onWire {
			w.await(t, 2+i)
		}
	}
	if opts.NoOOB {
		start(ctx, c, async.Command{Name: "last"})
		w.await(t, 12) // a later command was sent, so the others have been written
	} else {
		wantOOB(t, c, "so the others have been written")
	}
	type next struct {
		ev  async.Event
		err error
	}
	waiting := make(chan next, 1)
	go func() {
		ev, err := events.Next(ctx)
		waiting <- next{ev, err}
	}()
	changed := make(chan async.Transition, 1)
	go func() {
		tr, _ := watcher.Next(ctx)
		changed <- tr
	}()

	vm.Kill()
	began := time.Now()
	r := await(t, "slow command", slow)
	wantInterrupted(t, "slow command", r.err, true)
	for i, done := range calls {
		r := await(t, "a command after it", done)
		if _, late := errors.AsType[*async.StateError](r.err); late && i >= onWire {
			continue // none of it was written
		}
		if e := wantInterrupted(t, "a command after it", r.err, i < onWire); !isGone(e) {
			t.Errorf("got %v, want the end of the connection", e)
		}
	}
	n := await(t, "wait for an event", waiting)
	if e := wantInterrupted(t, "wait for an event", n.err, false); !isGone(e) {
		t.Errorf("wait for an event: got %v, want the end of the connection", e)
	}
	if tr := await(t, "state watch", changed); tr.From != async.Running || tr.To != async.Disconnecting || tr.Cause == nil {
		t.Errorf("state watch: got %v>%v", tr.From, tr.To)
	}
	if took := time.Since(began); took > qemutest.Patience/2 {
		t.Errorf("took %v", took)
	}

	_, err := c.Execute(ctx, "query-status", nil)
	if e := wantAs[*async.StateError](t, "after the end", err); e.State != async.Disconnecting {
		t.Errorf("after the end: got state %v", e.State)
	}
	cause := c.Disconnect(ctx)
	if !isGone(cause) {
		t.Errorf("Disconnect: got %v, want the end of the connection", cause)
	}
	t.Logf("cause: %v", cause)
	wantNil(t, "Disconnect again", c.Disconnect(ctx))
	_, err = events.Next(ctx)
	if e := wantAs[*async.StateError](t, "next wait", err); e.State != async.Idle {
		t.Errorf("next wait: got state %v", e.State)
	}
}

// One client connects to several machines, one after another. Its listener goes
// on with the next machine.
func TestE5ListenerOverMachines_QEMU(t *testing.T) {
	t.Parallel()
	dir := qemutest.Dir(t)
	ctx := qemutest.Context(t)
	c := newClient(t, &async.Options{Backoff: async.Every(qemutest.DialEvery)})
	events := c.NewListener(nil)
	defer events.Close()
	states := c.WatchRunstate()
	defer states.Close()
	var want []string
	for range 3 {
		vm := qemutest.Start(t, qemutest.Command{
			Program: qemutest.QEMU, Dir: dir,
			Args: emptyMachine("-qmp", onUnix),
		})
		if err := c.Connect(ctx, dir+"/qmp"); err != nil {
			t.Fatal(err)
		}
		mustReal(t, c, "stop", nil)
		vm.Kill()
		want = append(want, "STOP", "(end)")
		vm.Wait(t)
		for { // until the client has found the end
			tr, err := states.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if tr.To == async.Disconnecting {
				break
			}
		}
		if err := c.Disconnect(ctx); !isGone(err) {
			t.Errorf("Disconnect: got %v, want the end of the connection", err)
		}
	}
	var got []string
	for ev, err := range events.All(ctx) {
		switch {
		case err == nil:
			got = append(got, ev.Name)
			continue
		case isGone(err):
			got = append(got, "(end)")
			continue
		}
		wantAs[*async.StateError](t, "after all of these", err)
	}
	wantNames(t, "events and ends", got, strings.Join(want, " "))
}

// QEMU is stopped and does not read. Disconnect finishes the message that is
// being written if its context allows, and cuts it off if not.
func TestE11DisconnectFromAStoppedQEMU_QEMU(t *testing.T) {
	t.Parallel()
	vm := qemutest.Machine(t, "-qmp", onUnix)
	ctx := qemutest.Context(t)
	opts := &async.Options{}
	w := watchWire(opts)
	c := dialReal(t, vm.Path("qmp"), opts)
	vm.Freeze(t)
	waiting := start(ctx, c, async.Command{Name: "query-name"})
	w.await(t, 1)
	if err := c.Disconnect(ctx); err != nil {
		t.Errorf("Disconnect with all written: %v", err)
	}
	r := await(t, "waiting command", waiting)
	wantInterrupted(t, "waiting command", r.err, true, async.ErrClosed)
	vm.Thaw(t)

	if err := c.Connect(ctx, vm.Path("qmp")); err != nil {
		t.Fatal(err)
	}
	vm.Freeze(t)
	long := start(ctx, c, async.Command{Name: strings.Repeat("x", 1<<20)}) // more bytes than a socket holds
	awaitUnread(t, c)
	turnCtx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err := c.Execute(turnCtx, "query-name", nil)
	wantInterrupted(t, "a command after the long one", err, false)
	endCtx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	err = c.Disconnect(endCtx)
	wantIs(t, "Disconnect in the middle", err, context.DeadlineExceeded)
	wantInterrupted(t, "the long command", await(t, "the long command", long).err, true)
	wantState(t, c, async.Idle)
}

// A client goes while QEMU executes its command. QEMU sends the answer to the
// next client, during its handshake. That client drops it.
func TestE7AnswerToThePreviousClient_QEMU(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*block, *testing.T){
		"success": (*block).release,
		"error":   (*block).spoil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := qemutest.Context(t)
			vm, first := startReal(t, nil)
			b := newBlock(t, vm)
			slow := start(ctx, first, b.cmd)
			b.awaitStart(t) // when its client goes, QEMU drops the commands that it has not begun
			first.Close()
			wantInterrupted(t, "the first client's command", await(t, "the first client's command", slow).err, true, async.ErrClosed)

			opts := &async.Options{}
			greeted := make(chan struct{})
			var once sync.Once
			var mu sync.Mutex
			var received []string
			opts.OnReceive = func(msg json.RawMessage) json.RawMessage {
				mu.Lock()
				defer mu.Unlock()
				if !strings.Contains(string(msg), `"event"`) {
					received = append(received, string(msg))
				}
				once.Do(func() { close(greeted) })
				return nil
			}
			second := newClient(t, opts)
			connected := do(func() error { return second.Connect(ctx, vm.Path("qmp")) })
			await(t, "the greeting for the second client", greeted)
			end(b, t)
			if err := await(t, "the second client", connected); err != nil {
				t.Fatalf("second client: %v", err)
			}
			for range 5 { // this client uses the same ids as the first one
				wantAlive(t, second)
			}
			mu.Lock()
			defer mu.Unlock()
			if !strings.Contains(received[1], `"id": 2`) || !strings.Contains(received[2], `{"return": {}, "id": 1}`) {
				t.Errorf("received %q: this QEMU does not do what the test is about", received[:3])
			}
		})
	}
}
