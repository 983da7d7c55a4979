// Tests of rule E2 (nothing is left): the goroutines of a connection, what is
// left after Disconnect, and that the engine holds no mutex during I/O.
// The code that they hold: session.go and write.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A connection has one goroutine, which reads. Its callers do the writing.
// After Disconnect no goroutine and no descriptor is left. (Not parallel: it
// counts what the whole process has.)
func TestE2OneGoroutinePerConnectionAndNoneBehindIt(t *testing.T) {
	const n = 20
	s := qmptest.Start(t, &qmptest.Options{ManyClients: true})
	if left := engineGoroutines(); len(left) > 0 {
		t.Fatalf("goroutines of other tests still run: %v", left)
	}
	files := openFiles()
	clients := make([]*async.Client, n)
	for i := range clients {
		clients[i] = newClient(t, nil)
		if err := clients[i].Connect(t.Context(), s.Addr()); err != nil {
			t.Fatal(err)
		}
		execute(t, clients[i], "stop", "{}")
	}
	if got := len(engineGoroutines()); got != n {
		t.Errorf("%d connections: got %d goroutines, want one each", n, got)
	}
	for _, c := range clients {
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	}
	// They are gone now, and not some time later.
	if left := engineGoroutines(); len(left) > 0 {
		t.Errorf("goroutines after Disconnect: %v", left)
	}
	s.Close() // the server's ends of the connections
	if got := openFiles(); got > files {
		t.Errorf("open descriptors: got %d after all Disconnects, were %d before", got, files)
	}
}

// Disconnect, and a Connect that fails, return after all goroutines of the
// connection have ended, whatever those goroutines are doing.
func TestE2NothingIsLeftWhenTheCallReturns(t *testing.T) {
	t.Parallel()
	held := func(release <-chan struct{}, text string) *async.Options {
		return &async.Options{OnReceive: func(msg json.RawMessage) json.RawMessage {
			if strings.Contains(string(msg), text) {
				<-release
			}
			return nil
		}}
	}
	waits := func(t *testing.T, what string, done <-chan error, release chan<- struct{}) error {
		t.Helper()
		synctest.Wait()
		select {
		case <-done:
			t.Errorf("%s returned while the connection still has a goroutine", what)
			close(release)
			return nil
		default:
		}
		close(release)
		return <-done
	}
	t.Run("Disconnect, the reader", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			release := make(chan struct{})
			c := dial(t, memory(t, connected("", qmptest.Pause(time.Second), qmptest.Event("E", ""))...), held(release, "event"))
			time.Sleep(time.Minute)
			wantNil(t, "Disconnect", waits(t, "Disconnect", do(func() error { return c.Disconnect(t.Context()) }), release))
		})
	})
	t.Run("Close, the writer", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			release := make(chan struct{})
			p := memory(t, connected("")...)
			c := dial(t, p, &async.Options{Dialer: rig(p, func(conn net.Conn) net.Conn {
				return &rigged{Conn: conn, write: func(b []byte) (int, error) {
					if strings.Contains(string(b), "stuck") {
						<-release // longer than a Conn should
					}
					return conn.Write(b)
				}}
			})})
			call := start(t.Context(), c, async.Command{Name: "stuck"})
			synctest.Wait()
			wantNil(t, "Close", waits(t, "Close", do(c.Close), release))
			<-call
		})
	})
	t.Run("Connect, the reader", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			release := make(chan struct{})
			opts := held(release, "QMP")
			opts.Dialer = memory(t, qmptest.Greet(), qmptest.ExpectEOF()).Dial
			c := newClient(t, opts)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			connecting := do(func() error { return c.Connect(ctx, "") })
			time.Sleep(time.Minute)
			wantIs(t, "Connect", waits(t, "Connect", connecting, release), context.DeadlineExceeded)
		})
	})
}

// A call that waits for its turn to write returns when its context ends.
func TestE2WaitingForTheTurnEndsWithTheContext(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := stuckWriter(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := c.Execute(ctx, "query-status", nil)
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("Execute: took %v, want the 3s of its context", took)
		}
		wantInterrupted(t, "Execute", err, false, context.DeadlineExceeded)
		wantText(t, "Execute", err, "waiting for its turn")

		begin = time.Now()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantIs(t, "Disconnect", c.Disconnect(ctx), context.DeadlineExceeded)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("Disconnect: took %v, want the 1s of its context", took)
		}
	})
}

// The engine holds no mutex during I/O. While the write of one command is
// blocked, every call that does not need the turn to write returns. (A
// goroutine that waited for a mutex would stop the bubble's clock, and with it
// the test.)
func TestE2NoMutexIsHeldAcrossAWrite(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := stuckWriter(t, nil)
		wantState(t, c, async.Running)
		if c.Greeting() == nil {
			t.Error("Greeting: got none")
		}
		w := c.WatchRunstate()
		w.Close()
		l := c.NewListener(nil)
		if _, ok, err := l.TryNext(); ok || err != nil {
			t.Errorf("TryNext: got %v, %v, want nothing", ok, err)
		}
		l.Close()
		wantAs[*async.StateError](t, "Connect", c.Connect(t.Context(), ""))
		_, err := c.ExecuteOOB(t.Context(), "x", nil)
		wantIs(t, "ExecuteOOB", err, async.ErrNoOOB)
	})
}

// callback is a log handler that calls methods of the client that logs to it.
type callback struct {
	slog.Handler
	client *async.Client
}

func (h *callback) Handle(ctx context.Context, r slog.Record) error {
	h.client.Runstate()
	h.client.WatchRunstate().Close()
	return nil
}

func (h *callback) Enabled(context.Context, slog.Level) bool { return true }

// Logging is I/O too: the engine holds no mutex while it logs.
func TestE2NoMutexIsHeldAcrossTheLog(t *testing.T) {
	t.Parallel()
	h := &callback{Handler: slog.DiscardHandler}
	p := memory(t, connected("", qmptest.Expect("quit"), qmptest.Return(`{}`), qmptest.HangUp(), qmptest.Accept(), qmptest.HangUp(),
		qmptest.Accept(), qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`))...)
	c := newClient(t, &async.Options{Logger: slog.New(h), Dialer: p.Dial})
	h.client = c
	over := do(func() error {
		w := c.WatchRunstate()
		defer w.Close()
		if err := c.Connect(t.Context(), ""); err != nil {
			return err
		}
		if _, err := c.Execute(t.Context(), "quit", nil); err != nil {
			return err
		}
		awaitState(t, w, async.Disconnecting)
		c.Disconnect(t.Context())
		if err := c.Connect(t.Context(), ""); err == nil {
			t.Error("Connect to a server that hangs up: got no error")
		}
		if err := c.Connect(t.Context(), ""); err != nil {
			return err
		}
		return c.Disconnect(t.Context())
	})
	select {
	case err := <-over:
		wantNil(t, "the session", err)
	case <-time.After(patience):
		buf := make([]byte, 1<<20)
		t.Fatalf("the log handler and the engine wait for each other:\n%s", buf[:runtime.Stack(buf, true)])
	}
}

// Looking up a host name is I/O too. (Not parallel: it replaces the system's
// resolver.)
func TestE2NoMutexIsHeldAcrossListen(t *testing.T) {
	asked, answer := make(chan struct{}, 8), make(chan struct{})
	defer func(r *net.Resolver) { net.DefaultResolver = r }(net.DefaultResolver)
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		asked <- struct{}{}
		select {
		case <-answer:
		case <-ctx.Done():
		}
		return nil, context.Canceled
	}}
	c := newClient(t, nil)
	failed := do(func() error { return c.Listen(t.Context(), "machine.invalid:0") })
	<-asked
	state := make(chan async.Runstate, 1)
	go func() { state <- c.Runstate() }()
	select {
	case <-state:
	case <-time.After(patience):
		t.Error("Runstate waits for Listen, which waits for a name server")
	}
	close(answer)
	wantAs[*async.ConnectError](t, "Listen", <-failed)
	wantState(t, c, async.Idle)
}

// counted is a context that counts the functions that are registered with it
// and not removed again.
type counted struct {
	context.Context
	done       chan struct{}
	registered atomic.Int32
}

func (c *counted) Done() <-chan struct{} { return c.done }

func (c *counted) Value(any) any { return nil }

// AfterFunc is what package context calls on a context of another type.
func (c *counted) AfterFunc(func()) (stop func() bool) {
	c.registered.Add(1)
	return func() bool {
		c.registered.Add(-1)
		return true
	}
}

// A call leaves nothing registered with its context. That context may live as
// long as the program.
func TestE2NothingStaysWithTheContext(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, append(connected("oob", qmptest.Expect("x"), qmptest.Return(`1`), qmptest.Event("E", ""), qmptest.ExpectOOB("y"), qmptest.Return(`2`), qmptest.ExpectEOF(),
			qmptest.Accept(), qmptest.HangUp(), qmptest.Accept()), connected("", qmptest.Pause(time.Second), qmptest.HangUp())...)...)
		c := newClient(t, &async.Options{Dialer: p.Dial})
		l := c.NewListener(nil)
		w := c.WatchRunstate()
		defer w.Close()
		ctx := &counted{Context: context.Background(), done: make(chan struct{})}
		for _, call := range []struct {
			name string
			call func() error
			as   error
		}{
			{"Connect", func() error { return c.Connect(ctx, "") }, nil},
			{"Execute", func() error { _, err := c.Execute(ctx, "x", nil); return err }, nil},
			{"Next", func() error { _, err := l.Next(ctx); return err }, nil},
			{"ExecuteOOB", func() error { _, err := c.ExecuteOOB(ctx, "y", nil); return err }, nil},
			{"Next of a watcher", func() error { _, err := w.Next(ctx); return err }, nil},
			{"Disconnect", func() error { return c.Disconnect(ctx) }, nil},
			{"Connect in vain", func() error { return c.Connect(ctx, "") }, io.EOF},
			{"Connect again", func() error { return c.Connect(ctx, "") }, nil},
			{"Next to the end", func() error { _, err := l.Next(ctx); return err }, io.EOF},
			{"Disconnect after the end", func() error { return c.Disconnect(ctx) }, io.EOF},
		} {
			if err := call.call(); !errors.Is(err, call.as) {
				t.Fatalf("%s: got error %v, want %v", call.name, err, call.as)
			}
			if n := ctx.registered.Load(); n != 0 {
				t.Errorf("%s has left %d registrations with its context", call.name, n)
			}
		}
	})
}
