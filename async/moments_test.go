// Tests of moments that are a few instructions wide. Contexts, senders, readers and
// hooks that act in the middle make them wide: where they wait until everything
// else in the bubble has come to rest, what they prove is certain.
package async_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// dataAndEnd reads data together with the end of the stream, when the client has
// asked for it: a Reader may do that, and that of TLS does.
type dataAndEnd struct {
	net.Conn
	asked <-chan struct{}
	data  []byte
	over  bool
}

func (c *dataAndEnd) Read(p []byte) (int, error) {
	if c.over {
		return 0, io.EOF
	}
	c.over = true
	<-c.asked
	return copy(p, c.data), io.EOF
}

// firstLook is a context that acts when it is asked for the first time whether it
// has ended.
type firstLook struct {
	context.Context
	looks atomic.Int32
	then  func()
}

func (c *firstLook) Err() error {
	if c.looks.Add(1) == 1 {
		c.then()
		return nil
	}
	return c.Context.Err()
}

// bare skips the handshake.
func bare() *async.Options {
	return &async.Options{SkipGreeting: true, SkipNegotiation: true}
}

// Replies that come with the end, or in front of garbage, count; and who gets the
// last one finds the client knowing of the end.
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

// A handler calls f when the end of a connection is logged.
type handler struct {
	slog.Handler
	f func()
}

func (h handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelError {
		h.f()
	}
	return nil
}

// A caller does not get its reply before the client knows of the end behind it.
func TestE11ClientKnowsOfTheEndFirst(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var returned atomic.Bool
		log := handler{slog.DiscardHandler, func() {
			synctest.Wait()
			if returned.Load() {
				t.Error("the caller knows before the client does")
			}
		}}
		p := memory(t, connected("", qmptest.Expect("x"), qmptest.Send(`{"return":1,"id":2}`+"\x00"), qmptest.ExpectEOF())...)
		c := dial(t, p, &async.Options{Logger: slog.New(log)})
		execute(t, c, "x", "1")
		returned.Store(true)
		wantState(t, c, async.Disconnecting)
	})
}

// Who waits for an event when the connection ends is told of the end, not of the
// state behind it, however many listeners there are. (So many that a wrong order
// would show.)
func TestE5EndComesBeforeTheState(t *testing.T) {
	t.Parallel()
	for range 20 {
		p := memory(t, connected("", qmptest.AwaitMark("end"), qmptest.HangUp())...)
		c := dial(t, p, nil)
		first := c.NewListener(nil)
		for range 3000 {
			c.NewListener(nil)
		}
		waits := do(func() error { _, err := first.Next(t.Context()); return err })
		p.Mark("end")
		wantAs[*async.ExecInterruptedError](t, "Next", <-waits)
		wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
	}
}

// A reply that is there counts, even if the context, or the connection, has ended
// too by the time when its caller looks.
func TestE4ReplyThatCameCounts(t *testing.T) {
	t.Parallel()
	for _, ended := range []string{"context", "connection"} {
		for range 30 { // a select takes any of two that are ready
			bubble(t, func(t *testing.T) {
				p := memory(t, connected("", qmptest.Expect("x"), qmptest.Return(`1`), qmptest.AwaitMark("end"), qmptest.HangUp())...)
				var conn net.Conn
				c := dial(t, p, &async.Options{Dialer: rig(p, func(made net.Conn) net.Conn {
					conn = made
					return made
				})})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				async.RigSender(c, async.RiggedSender{Try: func(b []byte, _ []*os.File) (int, error) {
					n, err := conn.Write(b)
					synctest.Wait() // until the reply is there
					if ended == "context" {
						cancel()
					} else {
						p.Mark("end")
						synctest.Wait()
					}
					return n, err
				}})
				v, err := c.Execute(ctx, "x", nil)
				wantValue(t, "x, whose "+ended+" ended, too", v, err, "1")
				p.Mark("end")
			})
		}
	}
}

// A context that ends behind the first look at it sends nothing.
func TestE4ContextThatEndsBehindTheFirstLook(t *testing.T) {
	t.Parallel()
	for range 30 {
		bubble(t, func(t *testing.T) {
			c := dial(t, memory(t, connected("", qmptest.Expect("after"), qmptest.Return(`{}`))...), nil)
			inner, cancel := context.WithCancel(t.Context())
			_, err := c.Execute(&firstLook{Context: inner, then: cancel}, "victim", nil)
			wantInterrupted(t, "victim", err, false, context.Canceled)
			execute(t, c, "after", "{}")
		})
	}
}

// The connection ends between the look at the state and the turn to write.
func TestE6EndsBeforeTheTurn(t *testing.T) {
	t.Parallel()
	for range 30 {
		bubble(t, func(t *testing.T) {
			client, server := qmptest.Pipe()
			c := newClient(t, bare())
			wantNil(t, "Attach", c.Attach(t.Context(), client))
			ctx := &firstLook{Context: t.Context(), then: func() {
				server.Close()
				synctest.Wait()
			}}
			_, err := c.Execute(ctx, "x", nil)
			wantInterrupted(t, "x", err, false, io.EOF)
		})
	}
}

// The connection ends when nothing of a command has gone out, before the rest of
// it is left to a goroutine.
func TestE6EndsBeforeTheRestIsWritten(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		client, server := qmptest.Pipe()
		c := newClient(t, bare())
		wantNil(t, "Attach", c.Attach(t.Context(), client))
		async.RigSender(c, async.RiggedSender{Try: func([]byte, []*os.File) (int, error) {
			server.Close()
			synctest.Wait()
			return 0, nil
		}})
		_, err := c.Execute(t.Context(), "x", nil)
		wantInterrupted(t, "x", err, false, io.EOF)
	})
}

// The connection ends when the handshake has all that it needs, and nobody has
// been told yet.
func TestE1EndsBeforeItIsRunning(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		client, server := qmptest.Pipe()
		io.WriteString(server, `{"QMP":{"version":{},"capabilities":[]}}{"return":{},"id":1}`)
		server.Close()
		c := newClient(t, &async.Options{OnSend: func(json.RawMessage) json.RawMessage {
			synctest.Wait() // until the reader has met the end, and is busy closing
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

// A greeting that comes with the end is answered: the server may have shut down
// its own direction alone.
func TestE12GreetingWithTheEnd(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		client, server := qmptest.Pipe()
		defer server.Close()
		asked := make(chan struct{})
		close(asked)
		c := newClient(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		err := c.Attach(ctx, &dataAndEnd{Conn: client, asked: asked, data: []byte(`{"QMP":{"version":{},"capabilities":[]}}`)})
		wantIs(t, "Attach", err, io.EOF)
		wantInstant(t, "Attach", begin)
		buf := make([]byte, 100)
		if n, _ := server.Read(buf); !strings.Contains(string(buf[:n]), "qmp_capabilities") {
			t.Errorf("the greeting was not answered: %q", buf[:n])
		}
	})
}

// A server that has shut down its direction behind its greeting, and cannot be
// answered, holds nobody up.
func TestE12HalfClosedServerThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, qmptest.Greet(), qmptest.HalfClose(), qmptest.ExpectEOF())
		c := newClient(t, &async.Options{Dialer: p.Dial, OnSend: func(json.RawMessage) json.RawMessage { return json.RawMessage(`[]`) }})
		wantAs[*async.MessageError](t, "Connect", c.Connect(t.Context(), ""))
	})
}

// Those who came later do not overtake one that may pass already and waits for its
// turn to write.
func TestE8NewcomersDoNotOvertake(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		steps := append(expectN("x", 0, window), qmptest.AwaitMark("answer"),
			qmptest.Return(`{}`, qmptest.Oldest()), qmptest.Return(`{}`, qmptest.Oldest()), qmptest.Return(`{}`, qmptest.Oldest()),
			qmptest.ExpectOOB("stuck"))
		steps = append(steps, expectN("x", window, window+3)...)
		var conn net.Conn
		p := memory(t, connected("oob", append(steps, qmptest.ExpectEOF())...)...)
		c := dial(t, p, &async.Options{Dialer: rig(p, func(made net.Conn) net.Conn {
			conn = made
			return made
		})})
		goOn := make(chan struct{})
		async.RigSender(c, async.RiggedSender{
			Try: func(b []byte, _ []*os.File) (int, error) {
				if strings.Contains(string(b), "stuck") {
					return 0, nil
				}
				return conn.Write(b)
			},
			Send: func(b []byte, _ []*os.File) (int, error) {
				<-goOn
				return conn.Write(b)
			},
		})
		startN(t.Context(), c, "x", 0, window)
		startN(t.Context(), c, "x", window, window+2) // they wait
		start(t.Context(), c, async.Command{Name: "stuck", OOB: true})
		synctest.Wait()
		p.Mark("answer")
		synctest.Wait() // the first of them may pass, and waits for its turn
		startN(t.Context(), c, "x", window+2, window+3)
		close(goOn)
		synctest.Wait()
		wantNil(t, "Close", c.Close())
	})
}

// A closed listener takes no event that was on its way to it.
func TestE5CloseBeatsAnEventOnItsWay(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := dial(t, memory(t, connected("", qmptest.Expect("x"), qmptest.Event("E", ""), qmptest.Return(`{}`))...), nil)
		var l *async.EventListener
		l = c.NewListener(&async.ListenerOptions{Filter: func(async.Event) bool {
			<-do(func() error { l.Close(); return nil }) // which takes a lock that filters run without
			return true
		}})
		execute(t, c, "x", "{}")
		if n := l.Len(); n != 0 {
			t.Errorf("a closed listener took %d events", n)
		}
	})
}
