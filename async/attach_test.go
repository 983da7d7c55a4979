// Tests of Attach, Dial, ConnectUnnegotiated and SyscallConn.
// The code that they hold: connect.go and socket.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// Attach owns the connection, so it closes it when it fails: when the context
// has ended before the call, when it ends just after Attach has looked at it,
// and when it ends during the handshake.
func TestAttachClosesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	for _, ends := range []string{"before", "just after the first look", "in the handshake"} {
		bubble(t, func(t *testing.T) {
			conn, other := qmptest.Pipe()
			defer other.Close()
			c := newClient(t, nil)
			inner, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			ctx := inner
			switch ends {
			case "before":
				cancel()
			case "just after the first look":
				ctx = &firstLook{Context: inner, then: cancel}
			}
			err := c.Attach(ctx, conn)
			wantAs[*async.ConnectError](t, "Attach", err)
			wantIs(t, "Attach", err, inner.Err())
			wantState(t, c, async.Idle)
			other.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := other.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("a context that ends %s: the connection is still open (%v)", ends, err)
			}
		})
	}
}

func TestAttach(t *testing.T) {
	t.Parallel()
	p := play(t, qmptest.ScriptOptions{Network: qmptest.SocketPair}, connected("", qmptest.Expect("x"), qmptest.Return(`{}`))...)
	c := newClient(t, nil)
	wantNil(t, "Attach", c.Attach(t.Context(), p.Conn()))
	execute(t, c, "x", "{}")
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	if _, err := p.Conn().Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection after Disconnect: got error %v, want it closed", err)
	}
}

// SyscallConn fails on a connection that is not a socket of the system.
func TestSyscallConnOfNoSocket(t *testing.T) {
	t.Parallel()
	c := dial(t, memory(t, connected("")...), &async.Options{Nickname: "vm7"})
	_, err := c.SyscallConn()
	wantIs(t, "SyscallConn", err, errors.ErrUnsupported)
	wantText(t, "SyscallConn", err, "qmp vm7: ", "*qmptest.PipeConn")
	if c.CanSendFiles() {
		t.Error("CanSendFiles: got true")
	}
}

// Without the handshake the client is running at once. The greeting is dropped,
// and the caller can negotiate by itself.
func TestConnectUnnegotiated(t *testing.T) {
	t.Parallel()
	p := memory(t, slices.Concat(
		[]qmptest.Step{
			qmptest.Event("E", ""), qmptest.Greet("oob"),
			qmptest.ExpectRaw(`{"execute":"x","id":1}`), qmptest.ReturnError("CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'"),
			qmptest.Expect("qmp_capabilities", `{"enable":[]}`), qmptest.Return(`{}`),
			qmptest.Expect("x"), qmptest.Return(`1`), qmptest.ExpectEOF(), qmptest.Accept(),
		}, connected("oob"))...)
	c := newClient(t, &async.Options{Dialer: p.Dial})
	l := c.NewListener(nil)
	wantNil(t, "ConnectUnnegotiated", c.ConnectUnnegotiated(t.Context(), ""))
	wantState(t, c, async.Running)
	_, err := c.Execute(t.Context(), "x", nil)
	wantAs[*async.ExecuteError](t, "x before the negotiation", err)
	if c.Greeting() != nil {
		t.Errorf("Greeting: got %+v, want none", c.Greeting())
	}
	_, err = c.ExecuteOOB(t.Context(), "x", nil)
	wantIs(t, "ExecuteOOB", err, async.ErrNoOOB)
	_, err = c.Execute(t.Context(), "qmp_capabilities", map[string]any{"enable": []string{}})
	wantNil(t, "qmp_capabilities", err)
	execute(t, c, "x", "1")
	wantNames(t, "the listener", drained(t, l), "E")
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	connect(t, c) // ConnectUnnegotiated was for the connection before this one only
	if c.Greeting() == nil {
		t.Error("Greeting: got none")
	}
}

func TestDialFails(t *testing.T) {
	t.Parallel()
	c, err := async.Dial(t.Context(), socketPath(t), &async.Options{Nickname: "vm7"})
	if c != nil {
		t.Error("Dial: got a client with the error")
	}
	wantIs(t, "Dial", err, os.ErrNotExist)
	if e := wantAs[*async.ConnectError](t, "Dial", err); e.Attempts != 1 || e.Client != "vm7" {
		t.Errorf("Dial: got %+v, want Attempts 1 and Client vm7", *e)
	}
	_, err = async.Dial(t.Context(), "", nil)
	wantAs[*async.AddressError](t, "Dial", err)
}

// A command gets two answers: the server answers it before it is sent, and then
// its file cannot be sent. At that moment its caller gives up, too. The call
// returns an error, and the engine does not block on an answer that the caller
// does not take.
func TestSecondAnswerIsDropped(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		client, server := qmptest.Pipe()
		defer server.Close()
		c := newClient(t, &async.Options{SkipGreeting: true, SkipNegotiation: true, OnReceive: func(msg json.RawMessage) json.RawMessage {
			if strings.Contains(string(msg), "event") {
				time.Sleep(2 * time.Second) // the reply has been read; its caller gets it after this
			}
			return nil
		}})
		wantNil(t, "Attach", c.Attach(t.Context(), client))
		async.RigSender(c, async.RiggedSender{Try: nothing, Send: func([]byte, []*os.File) (int, error) {
			io.WriteString(server, `{"return":"early","id":1}{"event":"E"}`)
			time.Sleep(time.Second)
			return 0, async.FileError(os.ErrClosed, func() {
				cancel()
				synctest.Wait() // until the call has returned
			})
		}})
		if _, err := c.Do(ctx, async.Command{Name: "x", Files: []*os.File{os.Stdin}}); err == nil {
			t.Error("Do: got no error")
		}
		time.Sleep(time.Minute)
		wantNothingPending(t, c)
		ctx, cancel = context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		wantNil(t, "Disconnect", c.Disconnect(ctx))
	})
}
