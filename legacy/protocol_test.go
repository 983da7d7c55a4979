package legacy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/legacy"
	qmpsync "github.com/goqmp/qmp/sync"
)

func TestConnect(t *testing.T) {
	const greeting = `{"QMP": {"version": {"qemu": {"major": 7}, "x": [1, null]}, "capabilities": [], "more": "x"}, "side": 1}`
	want := object{"QMP": object{
		"version":      object{"qemu": object{"major": int64(7)}, "x": []any{int64(1), nil}},
		"capabilities": []any{}, "more": "x",
	}, "side": int64(1)}
	addr := qmptest.Script(t, join(
		[]qmptest.Step{qmptest.Send(greeting), qmptest.ExpectRaw(`{"execute":"qmp_capabilities","arguments":{},"id":1}`), qmptest.Return(`{}`), qmptest.Expect("a"), qmptest.Return(`1`), qmptest.ExpectEOF()},
		[]qmptest.Step{qmptest.Expect("b"), qmptest.Return(`2`), qmptest.ExpectEOF()},
		[]qmptest.Step{qmptest.HangUp()},
		[]qmptest.Step{qmptest.Greet("oob"), qmptest.ExpectRaw(`{"execute":"qmp_capabilities","arguments":{"enable":["oob"]},"id":4}`), qmptest.Return(`{}`)},
	)...)
	q, err := legacy.New(addr, &legacy.Options{Nickname: "vm1"})
	if err != nil {
		t.Fatal(err)
	}
	wantNoError(t, q.Close()) // it was never connected
	wantNoError(t, q.Close())
	if q.Greeting() != nil {
		t.Error("a greeting before the first connection")
	}

	got, err := q.Connect(true)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Connect: error %v, (-want +got) %s", err, diff)
	}
	if diff := cmp.Diff(want, q.Greeting()); diff != "" {
		t.Errorf("Greeting: (-want +got) %s", diff)
	}
	_, err = q.Connect(true)
	wantState(t, err, async.Running, async.Idle)
	if !strings.Contains(err.Error(), "vm1") {
		t.Errorf("%v: does not name vm1", err)
	}
	execute(t, q, "a")
	wantNoError(t, q.Close())

	// Whether there is a handshake depends on the argument of each Connect alone.
	if got, err := q.Connect(false); got != nil || err != nil || q.Greeting() != nil {
		t.Errorf("without negotiation: %v, %v, %v", got, err, q.Greeting())
	}
	execute(t, q, "b")
	wantNoError(t, q.Close())

	// A failure leaves the object idle.
	_, err = q.Connect(true)
	if wantError[*async.ConnectError](t, err); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want io.EOF in it", err)
	}
	_, err = q.Cmd("c", nil)
	wantState(t, err, async.Idle, async.Running)
	connect(t, q)
	wantNoError(t, q.Close())
}

func TestConnectFails(t *testing.T) {
	missing, err := legacy.New(filepath.Join(t.TempDir(), "missing"), nil)
	wantNoError(t, err)
	_, err = missing.Connect(true)
	if wantError[*async.ConnectError](t, err); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want os.ErrNotExist in it", err)
	}
	_, err = missing.Connect(false)
	wantError[*async.ConnectError](t, err)

	nowhere, err := legacy.New("", nil)
	wantNoError(t, err)
	_, err = nowhere.Connect(true)
	wantError[*async.AddressError](t, err)

	refused := scripted(t, nil, qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.ReturnError("GenericError", "busy"))
	_, err = refused.Connect(true)
	wantError[*async.ConnectError](t, err)
	if negotiation := wantError[*async.NegotiationError](t, err); negotiation.Desc != "busy" {
		t.Errorf("got %+v", negotiation)
	}
}

func TestConnectLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for opts, want := range map[*legacy.Options]time.Duration{
			nil: 15 * time.Second,
			{Sync: qmpsync.Options{ConnectLimit: time.Minute}}: time.Minute,
		} {
			q := scripted(t, opts, qmptest.Accept(), qmptest.Stall())
			start := time.Now()
			_, err := q.Connect(true)
			wantTimeout(t, err)
			if took := time.Since(start); took != want {
				t.Errorf("took %v, want %v", took, want)
			}
		}
	})
}

// Close gives up at its limit if the peer does not read.
func TestCloseLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := connected(t, qmptest.StopReading())
		q.SetTimeout(legacy.For(time.Second))
		_, err := q.Cmd("big", object{"x": strings.Repeat("x", 1<<20)})
		wantTimeout(t, err)
		start := time.Now()
		wantTimeout(t, q.Close())
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("took %v, want 5s", took)
		}
		wantNoError(t, q.Close())
	})
}

// If the server closes the connection after its reply to quit, Close returns io.EOF,
// once.
func TestQuit(t *testing.T) {
	q := connected(t, qmptest.Expect("quit"), qmptest.Return(`{}`), qmptest.Send(`{"event": "SHUTDOWN"}`), qmptest.HangUp())
	execute(t, q, "quit")
	wantPull(t, q, legacy.Forever, "SHUTDOWN")
	_, err := q.PullEvent(legacy.Forever)
	wantError[*async.ExecInterruptedError](t, err)
	if err := q.Close(); !errors.Is(err, io.EOF) {
		t.Errorf("Close: %v, want io.EOF", err)
	}
	wantNoError(t, q.Close())
}

func TestAccept(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "s")
	q, err := legacy.New(addr, &legacy.Options{Server: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = q.Connect(true)
	wantState(t, err, async.Connecting, async.Idle)
	_, err = q.Cmd("x", nil)
	wantState(t, err, async.Connecting, async.Running)
	for _, expired := range []legacy.Wait{legacy.NoWait, legacy.For(0)} {
		_, err = q.Accept(expired)
		wantTimeout(t, err) // the object still listens
	}
	qmptest.ScriptDial(t, addr, handshake(qmptest.Expect("x"), qmptest.Return(`{}`))...)
	greeting, err := q.Accept(legacy.Forever)
	if err != nil || greeting["QMP"] == nil {
		t.Fatalf("Accept: %v, %v", greeting, err)
	}
	execute(t, q, "x")
	_, err = q.Accept(legacy.Forever)
	wantState(t, err, async.Running, async.Connecting)
	wantNoError(t, q.Close())
	_, err = q.Accept(legacy.Forever)
	wantState(t, err, async.Idle, async.Connecting)

	// If nobody connects, the object no longer listens after Accept.
	q, err = legacy.New(addr, &legacy.Options{Server: true})
	if err != nil {
		t.Fatal(err)
	}
	for q.Sync().Runstate() != async.Idle { // if the wait expires before Accept begins, the object still listens
		_, err = q.Accept(legacy.For(time.Millisecond))
		wantTimeout(t, err)
	}
	_, err = q.Accept(legacy.For(time.Millisecond))
	wantState(t, err, async.Idle, async.Connecting)
	wantNoError(t, q.Close())

	// Close stops listening.
	q, err = legacy.New(addr, &legacy.Options{Server: true})
	if err != nil {
		t.Fatal(err)
	}
	wantNoError(t, q.Close())
	if conn, err := net.Dial("unix", addr); err == nil {
		conn.Close()
		t.Error("still listens")
	}
}

func TestNewFails(t *testing.T) {
	_, err := legacy.New(filepath.Join(t.TempDir(), "no", "such", "dir"), &legacy.Options{Server: true})
	if wantError[*async.ConnectError](t, err); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want os.ErrNotExist in it", err)
	}
	conn, peer := net.Pipe()
	defer conn.Close()
	defer peer.Close()
	_, err = legacy.New("", &legacy.Options{Server: true, Conn: conn})
	wantError[*async.ConnectError](t, err)
}

func TestOpenConnection(t *testing.T) {
	q, err := legacy.New("", &legacy.Options{Conn: qmptest.ScriptConn(t, handshake(qmptest.Expect("x"), qmptest.Return(`{}`))...)})
	if err != nil {
		t.Fatal(err)
	}
	connect(t, q)
	execute(t, q, "x")
	wantNoError(t, q.Close())
	_, err = q.Connect(true)
	wantError[*async.ConnectError](t, err)
}

// Close closes an open connection that Connect has never used.
func TestOpenConnectionIsClosed(t *testing.T) {
	conn, peer := qmptest.Pipe()
	q, err := legacy.New("", &legacy.Options{Conn: conn})
	if err != nil {
		t.Fatal(err)
	}
	wantNoError(t, q.Close())
	if n, err := peer.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("its peer read %d bytes and error %v, want io.EOF", n, err)
	}
	_, err = q.Connect(true)
	wantError[*async.ConnectError](t, err)
	wantNoError(t, q.Close())
}

func TestSendFDSCM(t *testing.T) {
	f := openNull(t)
	closed := openNull(t)
	wantNoError(t, closed.Close())

	q, err := legacy.New("", &legacy.Options{Conn: qmptest.ScriptConn(t, handshake(
		qmptest.ExpectFDs(1, " "), qmptest.Expect("getfd"), qmptest.Return(`{}`))...)})
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, q.SendFDSCM(f), async.Idle, async.Running)
	if q.IsSCMAvailable() {
		t.Error("available without a connection")
	}
	_, err = q.SyscallConn()
	wantState(t, err, async.Idle, async.Running)

	connect(t, q)
	defer q.Close()
	if !q.IsSCMAvailable() {
		t.Error("not available over a unix socket")
	}
	for name, bad := range map[string]*os.File{"closed": closed, "nil": nil} {
		if err := q.SendFDSCM(bad); !errors.Is(err, syscall.EBADF) {
			t.Errorf("%s: %v, want EBADF", name, err)
		}
	}
	q.SetTimeout(legacy.For(0)) // it does not affect SendFDSCM
	wantNoError(t, q.SendFDSCM(f))
	q.SetTimeout(legacy.Forever)
	execute(t, q, "getfd")
	_, err = f.Stat()
	wantNoError(t, err)
	raw, err := q.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	wantNoError(t, raw.Control(func(uintptr) {}))
}

// If the peer does not read, SendFDSCM gives up at CommandLimit.
func TestSendFDSCMIsLimited(t *testing.T) {
	const limit = 50 * time.Millisecond
	f := openNull(t)
	q, err := legacy.New("", &legacy.Options{
		Conn: qmptest.ScriptConn(t, handshake(qmptest.StopReading())...),
		Sync: qmpsync.Options{CommandLimit: limit, CloseLimit: limit},
	})
	wantNoError(t, err)
	connect(t, q)
	defer q.Close()
	q.SetTimeout(legacy.Forever) // it does not affect SendFDSCM
	for range 1 << 20 {          // until the socket is full
		if err = q.SendFDSCM(f); err != nil {
			break
		}
	}
	late := wantError[*async.TimeoutError](t, err)
	if late.Limit != limit || late.Option != "qmpsync.Options.CommandLimit" || !wantError[*async.ExecInterruptedError](t, err).SafeToRetry() {
		t.Errorf("%v: want the limit of %v, and that nothing was sent", err, limit)
	}
}

// A command has a time limit, unless SetTimeout removes it.
func TestCommandLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory})
		server.Handle("silent", func(ctx context.Context, _ *qmptest.Command) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		q := dialing(t, legacy.Options{}, server.Dial)
		connect(t, q)
		calls := map[string]func() error{
			"Cmd":     func() error { _, err := q.Cmd("silent", nil); return err },
			"CmdObj":  func() error { _, err := q.CmdObj(object{"execute": "silent"}); return err },
			"Command": func() error { _, err := q.Command("silent", nil); return err },
		}
		for name, call := range calls {
			start := time.Now()
			err := call()
			if late := wantError[*async.TimeoutError](t, err); late.Limit != 6*time.Hour || time.Since(start) != 6*time.Hour {
				t.Errorf("%s: %v after %v, want 6 hours", name, err, time.Since(start))
			}
			if !wantError[*async.ExecInterruptedError](t, err).Sent || !strings.Contains(err.Error(), "CommandLimit") {
				t.Errorf("%s: %v: want that it was sent, and the option", name, err)
			}
		}
		// With Forever there is no limit.
		q.SetTimeout(legacy.Forever)
		const long = 1000 * time.Hour
		start := time.Now()
		time.AfterFunc(long, func() { q.Close() })
		if _, err := q.Cmd("silent", nil); !errors.Is(err, async.ErrClosed) || time.Since(start) != long {
			t.Errorf("Forever: %v after %v, want the Close after %v", err, time.Since(start), long)
		}
	})
}

func TestSendFDSCMOverTCP(t *testing.T) {
	q, err := legacy.New(qmptest.ScriptTCP(t, handshake(qmptest.Expect("x"), qmptest.Return(`{}`))...), nil)
	if err != nil {
		t.Fatal(err)
	}
	connect(t, q)
	defer q.Close()
	if q.IsSCMAvailable() {
		t.Error("available over TCP")
	}
	wantError[*async.MessageError](t, q.SendFDSCM(openNull(t)))
	execute(t, q, "x")
}

// An object and the client of package qmpsync under it share connection and events.
func TestUpAndDown(t *testing.T) {
	server := qmptest.Start(t, nil)
	q, err := legacy.New(server.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	connect(t, q)
	defer q.Close()
	up := legacy.Wrap(q.Sync())
	if up.Sync() != q.Sync() {
		t.Error("Wrap and Sync are not each other's inverse")
	}
	_, err = q.Sync().Execute("stop", nil)
	wantNoError(t, err)
	_, err = q.Sync().Async().Execute(t.Context(), "cont", nil)
	wantNoError(t, err)
	// There is one queue of events: each event goes to the first reader.
	if ev, err := up.PullEvent(legacy.Forever); ev["event"] != "STOP" || err != nil {
		t.Errorf("event %v, %v", ev, err)
	}
	if ev, err := q.Sync().WaitEvent(0); ev.Name != "RESUME" || err != nil {
		t.Errorf("event %v, %v", ev.Name, err)
	}
	wantPull(t, q, legacy.NoWait, "")
	wantNoError(t, up.Close())
	_, err = q.Cmd("stop", nil)
	wantState(t, err, async.Idle, async.Running)
}
