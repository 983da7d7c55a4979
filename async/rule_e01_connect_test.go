// Tests of rule E1 (run states): what a client is after a call failed, after its
// connection ended, and before its first connection.
// The code that they hold: connect.go, attempt.go, listen.go, end.go and disconnect.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

func TestE1FailedListenStaysIdle(t *testing.T) {
	t.Parallel()
	c := newClient(t, nil)
	path := filepath.Join(t.TempDir(), "missing", "s")
	err := c.Listen(t.Context(), path)
	if e := wantAs[*async.ConnectError](t, "Listen", err); e.Op != "listen" || e.Address != path {
		t.Errorf("Listen: got Op %q and Address %q, want listen and %q", e.Op, e.Address, path)
	}
	wantIs(t, "Listen", err, os.ErrNotExist)
	wantState(t, c, async.Idle)
	wantNil(t, "Listen elsewhere", c.Listen(t.Context(), socketPath(t)))
}

// A failed Connect leaves the client idle. The next Connect needs no Disconnect
// before it.
func TestE1FailedConnectCanBeRepeated(t *testing.T) {
	t.Parallel()
	p := memory(t, slices.Concat(
		[]qmptest.Step{qmptest.Send("{}"), qmptest.ExpectEOF(), qmptest.Accept()},
		connected(""),
	)...)
	c := newClient(t, &async.Options{Dialer: p.Dial})
	err := c.Connect(t.Context(), "here")
	wantAs[*async.GreetingError](t, "Connect", err)
	if e := wantAs[*async.ConnectError](t, "Connect", err); e.Op != "connect" || e.Address != "here" || e.Stage != async.StageSession {
		t.Errorf("Connect: got %+v, want Op connect, Address here, Stage %s", *e, async.StageSession)
	}
	wantState(t, c, async.Idle)
	wantNil(t, "Disconnect from IDLE", c.Disconnect(t.Context()))
	connect(t, c)
	wantState(t, c, async.Running)
}

func TestE1EndedContextDialsNothing(t *testing.T) {
	t.Parallel()
	c := newClient(t, &async.Options{Nickname: "vm7", Dialer: func(context.Context) (net.Conn, error) {
		t.Error("it has dialed")
		return nil, errors.New("no")
	}})
	w := c.WatchRunstate()
	why := errors.New("the user canceled")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)

	err := c.Connect(ctx, "/run/x")
	wantIs(t, "Connect", err, context.Canceled, why)
	wantText(t, "Connect", err, "qmp vm7: connect /run/x: failed to establish connection", why.Error())
	if e := wantAs[*async.ConnectError](t, "Connect", err); e.Attempts != 0 || e.Stage != async.StageConnection {
		t.Errorf("Connect: got Attempts %d, Stage %q, want 0, %q", e.Attempts, e.Stage, async.StageConnection)
	}
	path := socketPath(t)
	wantIs(t, "Listen", c.Listen(ctx, path), context.Canceled, why)
	if _, err := os.Lstat(path); err == nil {
		t.Error("Listen with an ended context has made a socket")
	}

	// Attach owns the connection in any case, so it closes it.
	conn, other := qmptest.Pipe()
	defer other.Close()
	wantIs(t, "Attach", c.Attach(ctx, conn), context.Canceled, why)
	if _, err := other.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Attach with an ended context: the peer reads %v, want EOF", err)
	}
	wantTransitions(t, w, "IDLE")
}

// The connection ends and this side did not ask for it. Nothing of the
// connection is left then, and the client keeps the cause until Disconnect is
// called. (Not parallel: it counts all goroutines.)
func TestE1UnaskedEndWaitsForItsCollector(t *testing.T) {
	before := goleak.IgnoreCurrent()
	bubble(t, func(t *testing.T) {
		closed := make(chan struct{})
		p := memory(t, connected("", qmptest.Expect("query-status"), qmptest.Reset())...)
		c := dial(t, p, &async.Options{Dialer: rig(p, func(conn net.Conn) net.Conn {
			return &rigged{Conn: conn, close: func() error { close(closed); return nil }}
		})})
		w := c.WatchRunstate()
		_, err := c.Execute(t.Context(), "query-status", nil)
		wantInterrupted(t, "Execute", err, true, syscall.ECONNRESET)
		<-closed
		wantNil(t, "the script", p.Wait())
		wantState(t, c, async.Disconnecting)
		time.Sleep(time.Hour)
		wantState(t, c, async.Disconnecting) // it stays until Disconnect
		for _, line := range engineGoroutines() {
			t.Errorf("a goroutine of a connection that has ended: %s", line)
		}

		_, err = c.Execute(t.Context(), "query-status", nil)
		wantAs[*async.StateError](t, "Execute after the end", err)
		err = c.Connect(t.Context(), "")
		wantAs[*async.StateError](t, "Connect after the end", err)

		wantIs(t, "Disconnect", c.Disconnect(t.Context()), syscall.ECONNRESET)
		wantState(t, c, async.Idle)
		wantNil(t, "second Disconnect", c.Disconnect(t.Context()))
		wantTransitions(t, w, "RUNNING DISCONNECTING IDLE")
	})
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

func TestE1ZeroClientIsReady(t *testing.T) {
	t.Parallel()
	s := qmptest.Start(t, nil)
	var c async.Client
	defer c.Close()
	if err := c.Connect(t.Context(), s.Addr()); err != nil {
		t.Fatal(err)
	}
	execute(t, &c, "stop", "{}")
}

// Greeting returns the greeting of the present connection. Without a connection
// it returns the greeting of the last one.
func TestE1GreetingOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	s := qmptest.Start(t, &qmptest.Options{Version: qmptest.Version{Major: 9, Minor: 1, Micro: 2, Package: "Debian 1:9.1.2"}})
	c := newClient(t, nil)
	if c.Greeting() != nil {
		t.Error("a greeting before the first connection")
	}
	if err := c.Connect(t.Context(), s.Addr()); err != nil {
		t.Fatal(err)
	}
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	g := c.Greeting()
	want := async.Version{Major: 9, Minor: 1, Micro: 2, Package: "Debian 1:9.1.2"}
	if g == nil || g.Version != want || !slices.Equal(g.Capabilities, []string{"oob"}) || !strings.Contains(string(g.Raw()), "QMP") {
		t.Errorf("Greeting: got %+v, want version %+v and capabilities [oob]", g, want)
	}
}

// The connection ends after the last message of the handshake has come, and
// before the client is running.
func TestE1EndsBeforeItIsRunning(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		client, server := qmptest.Pipe()
		io.WriteString(server, `{"QMP":{"version":{},"capabilities":[]}}{"return":{},"id":1}`)
		server.Close()
		c := newClient(t, &async.Options{OnSend: func(json.RawMessage) json.RawMessage {
			synctest.Wait() // until the reader has found the end, and closes the connection
			return nil
		}})
		err := c.Attach(t.Context(), &rigged{Conn: client, close: func() error {
			time.Sleep(time.Second)
			return nil
		}})
		wantIs(t, "Attach", err, io.EOF)
		wantState(t, c, async.Idle)
	})
}
