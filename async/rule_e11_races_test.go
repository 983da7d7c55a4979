// Tests of rule E11 (Disconnect always completes): a Disconnect that meets a
// Connect, a Listen, a failed write, or the end of the stream.
// The code that they hold: disconnect.go and session.go.
package async_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// Disconnect makes a Connect fail even where the Connect is about to succeed.
// When Disconnect has returned, no connection is made any more.
func TestE11DisconnectBeatsConnect(t *testing.T) {
	t.Parallel()
	rounds := 2000
	if testing.Short() {
		rounds = 300
	}
	for i := range rounds {
		client, server := qmptest.Pipe()
		dialed := make(chan struct{})
		c := async.New(&async.Options{SkipGreeting: i%2 == 0, SkipNegotiation: true, Dialer: func(context.Context) (net.Conn, error) {
			close(dialed)
			return client, nil
		}})
		if i%2 == 1 {
			io.WriteString(server, `{"QMP":{"version":{},"capabilities":[]}}`)
		}
		// In some rounds the caller's context ends, too.
		ctx, cancel := context.WithCancel(t.Context())
		connecting := do(func() error { return c.Connect(ctx, "") })
		<-dialed
		if i%3 == 0 {
			cancel()
		}
		spin(i / 4)
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		if state := c.Runstate(); state != async.Idle {
			t.Fatalf("round %d: after Disconnect the client is %v", i, state)
		}
		<-connecting
		if state := c.Runstate(); state != async.Idle {
			t.Fatalf("round %d: Connect went on after Disconnect, the client is %v", i, state)
		}
		cancel()
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("round %d: the connection is still open", i)
		}
		server.Close()
	}
}

// attrsHandler calls a function when the engine makes the logger of a
// connection. At that moment the connection is there and its handshake is about
// to begin.
type attrsHandler struct {
	slog.Handler
	called func()
}

func (h attrsHandler) WithAttrs([]slog.Attr) slog.Handler {
	h.called()
	return h.Handler
}

// Disconnect makes a Connect fail even if the handshake has nothing to wait
// for, also where the caller's context ends too.
func TestE11DisconnectBeatsAConnectThatCannotFail(t *testing.T) {
	t.Parallel()
	for _, canceled := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			client, server := qmptest.Pipe()
			defer server.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var c *async.Client
			var disconnecting <-chan error
			c = newClient(t, &async.Options{
				SkipGreeting: true, SkipNegotiation: true, Nickname: "vm7",
				Logger: slog.New(attrsHandler{slog.DiscardHandler, func() {
					if disconnecting != nil {
						return
					}
					if canceled {
						cancel()
					}
					disconnecting = do(func() error { return c.Disconnect(context.Background()) })
					synctest.Wait()
				}}),
				Dialer: func(context.Context) (net.Conn, error) { return client, nil },
			})
			err := c.Connect(ctx, "")
			wantNil(t, "Disconnect", <-disconnecting)
			wantIs(t, "Connect", err, async.ErrClosed)
			wantState(t, c, async.Idle)
		})
	}
}

// Disconnect makes a Listen fail even where it is about to succeed. When
// Disconnect has returned, the client does not listen.
func TestE11DisconnectBeatsListen(t *testing.T) {
	t.Parallel()
	for i := range 200 {
		c := async.New(nil)
		w := c.WatchRunstate()
		listening := do(func() error { return c.Listen(t.Context(), "127.0.0.1:0") })
		awaitState(t, w, async.Connecting)
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		err := <-listening
		if state := c.Runstate(); state != async.Idle || c.ListenAddr() != nil {
			t.Fatalf("round %d: after Disconnect the client is %v and listens at %v", i, state, c.ListenAddr())
		}
		if err != nil { // nil if Disconnect came after Listen
			wantIs(t, "Listen", err, async.ErrClosed)
		}
		wantTransitions(t, w, "CONNECTING DISCONNECTING IDLE")
	}
}

// Disconnect during a Listen that looks up a host name. (Not parallel: it
// replaces the system's resolver.)
func TestE11DisconnectDuringListen(t *testing.T) {
	asked := make(chan struct{}, 8)
	defer func(r *net.Resolver) { net.DefaultResolver = r }(net.DefaultResolver)
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	c := newClient(t, nil)
	failed := do(func() error { return c.Listen(t.Context(), "machine.invalid:0") })
	<-asked
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	wantState(t, c, async.Idle)
	wantAs[*async.ConnectError](t, "Listen", <-failed)
	wantState(t, c, async.Idle)
}

// After a failed write the reader reads on for a second. A Disconnect waits for
// that second at most, or until its context ends. Close does not wait. The
// error of the write is returned in any case.
func TestE11DisconnectBehindAFailedWrite(t *testing.T) {
	t.Parallel()
	broken := &net.OpError{Op: "write", Net: "test", Err: syscall.EPIPE}
	for _, tt := range []struct {
		name  string
		steps []qmptest.Step
		end   func(*async.Client) error
		took  time.Duration
		cause []error
	}{
		{"Disconnect", nil, func(c *async.Client) error { return c.Disconnect(context.Background()) }, time.Second, []error{broken}},
		{
			"Disconnect, and the server hangs up",
			[]qmptest.Step{qmptest.Pause(300 * time.Millisecond), qmptest.HangUp()},
			func(c *async.Client) error { return c.Disconnect(context.Background()) },
			300 * time.Millisecond,
			[]error{io.EOF, broken},
		},
		{"Disconnect within less", nil, func(c *async.Client) error {
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancel()
			return c.Disconnect(ctx)
		}, 200 * time.Millisecond, []error{context.DeadlineExceeded, broken}},
		{"Close", nil, (*async.Client).Close, 0, []error{broken}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, connected("", tt.steps...)...)
				c := dial(t, p, &async.Options{Dialer: rig(p, failWritesFrom(1, broken))})
				call := start(t.Context(), c, async.Command{Name: "x"})
				synctest.Wait()
				begin := time.Now()
				err := tt.end(c)
				if took := time.Since(begin); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				wantIs(t, "the end", err, tt.cause...)
				wantInterrupted(t, "x", (<-call).err, true, broken)
				wantState(t, c, async.Idle)
			})
		})
	}
}

// A write fails while Disconnect waits for it. Disconnect then waits for the
// end of the stream, as after every failed write.
func TestE11WriteFailsDuringDisconnect(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		broken := errors.New("broken")
		p := memory(t, connected("", qmptest.Pause(time.Minute+300*time.Millisecond), qmptest.Event("E", ""), qmptest.HangUp())...)
		writes := 0
		c := dial(t, p, &async.Options{Dialer: rig(p, func(conn net.Conn) net.Conn {
			return &rigged{Conn: conn, write: func(b []byte) (int, error) {
				if writes++; writes == 1 {
					return conn.Write(b)
				}
				time.Sleep(time.Minute)
				return 0, broken
			}}
		})})
		l := c.NewListener(nil)
		call := start(t.Context(), c, async.Command{Name: "x"})
		synctest.Wait()
		begin := time.Now()
		err := c.Disconnect(t.Context())
		wantIs(t, "Disconnect", err, io.EOF, broken)
		if took := time.Since(begin); took != time.Minute+300*time.Millisecond {
			t.Errorf("took %v, want the minute of the write and 300ms to the end of the stream", took)
		}
		wantNames(t, "the listener", drained(t, l), "E")
		wantInterrupted(t, "x", (<-call).err, true, io.EOF, broken)
	})
}

// After a message that was cut off, nothing more is written.
func TestE11NothingIsWrittenBehindAFailedWrite(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		broken := errors.New("broken")
		p := memory(t, connected("", qmptest.ExpectEOF())...) // nothing else is written before
		writes := 0
		c := dial(t, p, &async.Options{Dialer: rig(p, func(conn net.Conn) net.Conn {
			return &rigged{Conn: conn, write: func(b []byte) (int, error) {
				if writes++; writes == 2 {
					return 0, broken
				}
				return conn.Write(b)
			}}
		})})
		first := start(t.Context(), c, async.Command{Name: "first"})
		synctest.Wait()
		second := start(t.Context(), c, async.Command{Name: "second"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		_, err := c.Execute(ctx, "third", nil)
		wantInterrupted(t, "third", err, false, context.DeadlineExceeded)
		wantInterrupted(t, "first", (<-first).err, true, broken)
		wantInterrupted(t, "second", (<-second).err, false, broken)
		if writes != 2 {
			t.Errorf("got %d writes, want the handshake's and the failed one", writes)
		}
		wantIs(t, "Disconnect", c.Disconnect(t.Context()), broken)
	})
}

// A connection whose Write takes less than it was given and returns no error
// does not keep the engine busy.
func TestE11ShortWriteOfABadConnection(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, qmptest.Greet(), qmptest.ExpectEOF())
		c := newClient(t, &async.Options{Dialer: rig(p, func(conn net.Conn) net.Conn {
			return &rigged{Conn: conn, write: func(b []byte) (int, error) { return 0, nil }}
		})})
		wantIs(t, "Connect", c.Connect(t.Context(), ""), io.ErrShortWrite)
	})
}

// Where Disconnect has nothing to wait for, a context that has ended causes no
// error, in any of many runs.
func TestE11EndedContextOnAnIdleConnection(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		conn, other := qmptest.Pipe()
		c := newClient(t, &async.Options{SkipGreeting: true, SkipNegotiation: true})
		wantNil(t, "Attach", c.Attach(t.Context(), conn))
		wantNil(t, "Disconnect", c.Disconnect(ctx))
		wantState(t, c, async.Idle)
		other.Close()
	}
}

// A server shuts down only its own direction, right after its greeting. The
// client still answers it.
func TestE11HalfClosedServerIsAnswered(t *testing.T) {
	t.Parallel()
	for range 50 {
		p := memory(t, qmptest.Greet(), qmptest.HalfClose(), qmptest.Expect("qmp_capabilities"), qmptest.ExpectEOF())
		c := newClient(t, &async.Options{Dialer: p.Dial})
		wantIs(t, "Connect", c.Connect(t.Context(), ""), io.EOF)
	}
}

// A server shuts down only its own direction, and does not read either. Connect
// returns when its context ends.
func TestE11HalfClosedServerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := qmptest.Play(t, &qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: 16}, qmptest.Greet(), qmptest.HalfClose(), qmptest.StopReading())
		c := newClient(t, &async.Options{Dialer: p.Dial})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		wantIs(t, "Connect", c.Connect(ctx, ""), context.DeadlineExceeded)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("took %v, want the 1s of its context", took)
		}
	})
}

// Replies count although the end of the stream comes with them, or garbage
// after them. When the caller of the last one gets its reply, the client
// already knows of the end.
func TestE11RepliesWithTheEnd(t *testing.T) {
	t.Parallel()
	const calls, rounds = 150, 60
	for _, tail := range []string{"", "\x00"} {
		for range rounds {
			client, server := qmptest.Pipe()
			asked := make(chan struct{})
			var sent atomic.Int32
			opts := bare()
			opts.OnSend = func(json.RawMessage) json.RawMessage {
				if sent.Add(1) == calls {
					close(asked)
				}
				return nil
			}
			c := newClient(t, opts)
			var data bytes.Buffer
			for i := range calls {
				fmt.Fprintf(&data, `{"return":1,"id":%d}`, i+1)
			}
			data.WriteString(tail)
			wantNil(t, "Attach", c.Attach(t.Context(), &dataAndEnd{Conn: client, asked: asked, data: data.Bytes()}))
			var pending []<-chan error
			for range calls {
				pending = append(pending, do(func() error {
					_, err := c.Execute(t.Context(), "x", nil)
					if state := c.Runstate(); err == nil && state != async.Disconnecting {
						t.Errorf("who has its reply finds the client %v", state)
					}
					return err
				}))
			}
			for _, call := range pending {
				wantNil(t, "x", <-call)
			}
			c.Close()
			server.Close()
			if t.Failed() {
				return
			}
		}
	}
}

// A reply comes with the end of the stream. The caller gets it after the client
// knows of the end.
func TestE11ClientKnowsOfTheEndFirst(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var returned atomic.Bool
		log := handler{slog.DiscardHandler, func() {
			synctest.Wait()
			if returned.Load() {
				t.Error("the caller got its reply before the client knew of the end")
			}
		}}
		p := memory(t, connected("", qmptest.Expect("x"), qmptest.Send(`{"return":1,"id":2}`+"\x00"), qmptest.ExpectEOF())...)
		c := dial(t, p, &async.Options{Logger: slog.New(log)})
		execute(t, c, "x", "1")
		returned.Store(true)
		wantState(t, c, async.Disconnecting)
	})
}
