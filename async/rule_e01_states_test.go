// Tests of rule E1 (run states).
// The code that they hold: stage.go, runstate.go, connect.go and listen.go.
package async_test

import (
	"context"
	"errors"
	"fmt"
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

// socketPath returns a path for a unix socket, short enough on any system.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "qmp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// awaitState waits for a transition to state.
func awaitState(t testing.TB, w *async.RunstateWatcher, state async.Runstate) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		tr, err := w.Next(ctx)
		if err != nil {
			t.Fatalf("waiting for %v: %v", state, err)
		}
		if tr.To == state {
			return
		}
	}
}

func TestE1WatchersSeeEveryTransitionInOrder(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(context.Background())
	cancel()

	tests := []struct {
		name  string
		steps []qmptest.Step
		opts  async.Options
		run   func(t *testing.T, c *async.Client)
		want  string
	}{
		{
			name:  "connect and disconnect",
			steps: connected(""),
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
			},
			want: "IDLE CONNECTING RUNNING DISCONNECTING IDLE",
		}, {
			name:  "twice",
			steps: slices.Concat(connected(""), []qmptest.Step{qmptest.ExpectEOF(), qmptest.Accept()}, connected("")),
			run: func(t *testing.T, c *async.Client) {
				for range 2 {
					connect(t, c)
					wantNil(t, "Disconnect", c.Disconnect(t.Context()))
				}
			},
			want: "IDLE CONNECTING RUNNING DISCONNECTING IDLE CONNECTING RUNNING DISCONNECTING IDLE",
		}, {
			name: "failed dial",
			opts: async.Options{Dialer: func(context.Context) (net.Conn, error) { return nil, errors.New("no") }},
			run: func(t *testing.T, c *async.Client) {
				if err := c.Connect(t.Context(), ""); err == nil {
					t.Error("Connect with a Dialer that fails: got no error")
				}
				wantState(t, c, async.Idle)
			},
			want: "IDLE CONNECTING DISCONNECTING IDLE",
		}, {
			name:  "failed handshake",
			steps: []qmptest.Step{qmptest.Greet(), qmptest.HangUp()},
			run: func(t *testing.T, c *async.Client) {
				if err := c.Connect(t.Context(), ""); err == nil {
					t.Error("Connect to a server that hangs up: got no error")
				}
				wantState(t, c, async.Idle)
			},
			want: "IDLE CONNECTING DISCONNECTING IDLE",
		}, {
			name:  "handshake out of time",
			steps: []qmptest.Step{qmptest.Stall()},
			run: func(t *testing.T, c *async.Client) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := c.Connect(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Connect to a server that says nothing: got error %v", err)
				}
				wantState(t, c, async.Idle)
			},
			want: "IDLE CONNECTING DISCONNECTING IDLE",
		}, {
			name:  "unasked end, collected",
			steps: connected("", qmptest.Pause(time.Second), qmptest.HangUp()),
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				time.Sleep(time.Minute)
				wantState(t, c, async.Disconnecting)
				wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
			},
			want: "IDLE CONNECTING RUNNING DISCONNECTING IDLE",
		}, {
			name:  "unasked end, not collected",
			steps: connected("", qmptest.Pause(time.Second), qmptest.HangUp()),
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				time.Sleep(time.Minute)
			},
			want: "IDLE CONNECTING RUNNING DISCONNECTING",
		}, {
			name:  "disconnect while connecting",
			steps: []qmptest.Step{qmptest.Stall()},
			run: func(t *testing.T, c *async.Client) {
				failed := do(func() error { return c.Connect(t.Context(), "") })
				synctest.Wait()
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
				wantState(t, c, async.Idle)
				wantIs(t, "Connect", <-failed, async.ErrClosed)
			},
			want: "IDLE CONNECTING DISCONNECTING IDLE",
		}, {
			name: "ended context",
			run: func(t *testing.T, c *async.Client) {
				wantIs(t, "Connect", c.Connect(ended, "x"), context.Canceled)
				wantIs(t, "Listen", c.Listen(ended, "127.0.0.1:0"), context.Canceled)
			},
			want: "IDLE",
		}, {
			name: "disconnect without connection",
			run: func(t *testing.T, c *async.Client) {
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
				wantNil(t, "Close", c.Close())
			},
			want: "IDLE",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				if tt.opts.Dialer == nil && tt.steps != nil {
					tt.opts.Dialer = memory(t, tt.steps...).Dial
				}
				c := newClient(t, &tt.opts)
				// Nobody reads them meanwhile: nothing may be merged away.
				first, second := c.WatchRunstate(), c.WatchRunstate()
				tt.run(t, c)
				wantTransitions(t, first, tt.want)
				wantTransitions(t, second, tt.want)
			})
		})
	}
}

// Listening needs real sockets, so it is not in a bubble.
func TestE1TransitionsOfAListener(t *testing.T) {
	t.Parallel()
	expired, cancel := context.WithDeadline(context.Background(), time.Unix(1, 0))
	defer cancel()
	tests := []struct {
		name string
		run  func(t *testing.T, c *async.Client, addr string)
		want string
	}{
		{
			name: "accept",
			run: func(t *testing.T, c *async.Client, addr string) {
				wantState(t, c, async.Connecting) // a listening client is CONNECTING
				play(t, qmptest.ScriptOptions{DialTo: addr}, connected("")...)
				t.Cleanup(func() { c.Close() }) // before the script's end is waited for
				wantNil(t, "Accept", c.Accept(t.Context()))
				wantState(t, c, async.Running)
			},
			want: "IDLE CONNECTING RUNNING",
		}, {
			name: "accept times out",
			run: func(t *testing.T, c *async.Client, addr string) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				err := c.Accept(ctx)
				wantIs(t, "Accept", err, context.DeadlineExceeded)
				if e := wantAs[*async.ConnectError](t, "Accept", err); e.Op != "accept" || e.Address != addr || e.Stage != async.StageConnection {
					t.Errorf("Accept: got Op %q, Address %q, Stage %q, want accept, %q, %q", e.Op, e.Address, e.Stage, addr, async.StageConnection)
				}
				wantState(t, c, async.Idle)
				if conn, err := net.Dial("unix", addr); err == nil {
					conn.Close()
					t.Error("it still listens after a failed Accept")
				}
			},
			want: "IDLE CONNECTING DISCONNECTING IDLE",
		}, {
			name: "peer does not greet",
			run: func(t *testing.T, c *async.Client, addr string) {
				play(t, qmptest.ScriptOptions{DialTo: addr}, qmptest.HangUp())
				err := c.Accept(t.Context())
				wantIs(t, "Accept", err, io.EOF)
				if e := wantAs[*async.ConnectError](t, "Accept", err); e.Stage != async.StageSession {
					t.Errorf("Accept: got Stage %q, want %q", e.Stage, async.StageSession)
				}
				wantState(t, c, async.Idle)
			},
			want: "IDLE CONNECTING DISCONNECTING IDLE",
		}, {
			name: "ended context",
			run: func(t *testing.T, c *async.Client, addr string) {
				wantIs(t, "Accept", c.Accept(expired), context.DeadlineExceeded)
				wantState(t, c, async.Connecting)
				if c.ListenAddr() == nil || c.ListenAddr().String() != addr {
					t.Errorf("ListenAddr: got %v, want %s", c.ListenAddr(), addr)
				}
			},
			want: "IDLE CONNECTING",
		}, {
			name: "disconnect while listening",
			run: func(t *testing.T, c *async.Client, addr string) {
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
				wantState(t, c, async.Idle)
				if c.ListenAddr() != nil {
					t.Errorf("ListenAddr: got %v, want none", c.ListenAddr())
				}
			},
			want: "IDLE CONNECTING DISCONNECTING IDLE",
		}, {
			name: "disconnect while accepting",
			run: func(t *testing.T, c *async.Client, addr string) {
				failed := do(func() error { return c.Accept(t.Context()) })
				// It ends the same way whether Accept has begun or not.
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
				wantState(t, c, async.Idle)
				err := <-failed
				if _, notYet := errors.AsType[*async.StateError](err); !notYet {
					wantIs(t, "Accept", err, async.ErrClosed)
				}
			},
			want: "IDLE CONNECTING DISCONNECTING IDLE",
		}, {
			name: "listen again after that",
			run: func(t *testing.T, c *async.Client, addr string) {
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
				wantNil(t, "Listen", c.Listen(t.Context(), addr))
			},
			want: "IDLE CONNECTING DISCONNECTING IDLE CONNECTING",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			addr := socketPath(t)
			c := newClient(t, nil)
			w := c.WatchRunstate()
			if err := c.Listen(t.Context(), addr); err != nil {
				t.Fatal(err)
			}
			tt.run(t, c, addr)
			wantTransitions(t, w, tt.want)
		})
	}
}

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

// Every call in every state that does not allow it.
func TestE1StateErrors(t *testing.T) {
	t.Parallel()
	states := []struct {
		name  string
		state async.Runstate
		make  func(t *testing.T) *async.Client
	}{
		{"idle", async.Idle, func(t *testing.T) *async.Client {
			return newClient(t, &async.Options{Nickname: "vm7"})
		}},
		{"dialling", async.Connecting, func(t *testing.T) *async.Client {
			dialling := make(chan struct{})
			c := newClient(t, &async.Options{Nickname: "vm7", Dialer: func(ctx context.Context) (net.Conn, error) {
				close(dialling)
				<-ctx.Done()
				return nil, ctx.Err()
			}})
			failed := do(func() error { return c.Connect(t.Context(), "") })
			t.Cleanup(func() {
				c.Close()
				<-failed
			})
			<-dialling
			return c
		}},
		{"listening", async.Connecting, func(t *testing.T) *async.Client {
			c := newClient(t, &async.Options{Nickname: "vm7"})
			if err := c.Listen(t.Context(), socketPath(t)); err != nil {
				t.Fatal(err)
			}
			return c
		}},
		{"accepting", async.Connecting, func(t *testing.T) *async.Client {
			c := async.New(&async.Options{Nickname: "vm7"})
			addr := socketPath(t)
			if err := c.Listen(t.Context(), addr); err != nil {
				t.Fatal(err)
			}
			p := play(t, qmptest.ScriptOptions{DialTo: addr}, qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Mark("accepted"), qmptest.Stall())
			failed := do(func() error { return c.Accept(t.Context()) })
			t.Cleanup(func() {
				c.Close()
				<-failed
			})
			p.AwaitMark("accepted")
			return c
		}},
		{"running", async.Running, func(t *testing.T) *async.Client {
			return dial(t, memory(t, connected("")...), &async.Options{Nickname: "vm7"})
		}},
		{"ended", async.Disconnecting, func(t *testing.T) *async.Client {
			p := memory(t, connected("", qmptest.AwaitMark("end"), qmptest.HangUp())...)
			c := dial(t, p, &async.Options{Nickname: "vm7"})
			w := c.WatchRunstate()
			defer w.Close()
			p.Mark("end")
			awaitState(t, w, async.Disconnecting)
			return c
		}},
	}
	calls := []struct {
		op       string
		required async.Runstate
		allowed  string // the one state, as named above
		call     func(t *testing.T, c *async.Client) error
	}{
		{"connect", async.Idle, "idle", func(t *testing.T, c *async.Client) error { return c.Connect(t.Context(), "x") }},
		{"connect", async.Idle, "idle", func(t *testing.T, c *async.Client) error {
			conn, other := qmptest.Pipe()
			defer conn.Close()
			defer other.Close()
			err := c.Attach(t.Context(), conn)
			if _, writeErr := conn.Write([]byte("x")); writeErr != nil {
				t.Errorf("Attach in the wrong state has taken the connection: %v", writeErr)
			}
			return err
		}},
		{"listen", async.Idle, "idle", func(t *testing.T, c *async.Client) error {
			path := socketPath(t)
			err := c.Listen(t.Context(), path)
			if _, statErr := os.Lstat(path); statErr == nil {
				t.Error("Listen in the wrong state has made a socket")
			}
			return err
		}},
		{"accept", async.Connecting, "listening", func(t *testing.T, c *async.Client) error { return c.Accept(t.Context()) }},
		{"execute query-status", async.Running, "running", func(t *testing.T, c *async.Client) error {
			_, err := c.Execute(t.Context(), "query-status", nil)
			return err
		}},
		{"execute query-status", async.Running, "running", func(t *testing.T, c *async.Client) error {
			_, err := c.ExecuteOOB(t.Context(), "query-status", nil)
			return err
		}},
		{"execute query-status", async.Running, "running", func(t *testing.T, c *async.Client) error {
			_, err := async.Call[any](t.Context(), c, "query-status", nil)
			return err
		}},
		{"execute query-status", async.Running, "running", func(t *testing.T, c *async.Client) error {
			_, err := c.Do(t.Context(), async.Command{Object: map[string]any{"execute": "query-status"}})
			return err
		}},
		{"send file descriptors", async.Running, "running", func(t *testing.T, c *async.Client) error {
			return c.SendFiles(t.Context(), os.Stdin)
		}},
	}
	for _, st := range states {
		t.Run(st.name, func(t *testing.T) {
			t.Parallel()
			c := st.make(t)
			wantState(t, c, st.state)
			for i, call := range calls {
				if call.allowed == st.name {
					continue
				}
				what := fmt.Sprintf("call %d, %s", i, call.op)
				err := call.call(t, c)
				e := wantAs[*async.StateError](t, what, err)
				if e.Op != call.op || e.State != st.state || e.Required != call.required || e.Client != "vm7" {
					t.Errorf("%s: got %+v, want Op %q, State %v, Required %v, Client vm7", what, *e, call.op, st.state, call.required)
				}
				wantText(t, what, err, "qmp vm7: "+call.op, st.state.String(), call.required.String())
			}
			wantState(t, c, st.state)
		})
	}
}

// What the advice in a StateError tells to do.
func TestE1StateErrorsAdvise(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state, required async.Runstate
		advice          string
	}{
		{async.Idle, async.Running, "connect first"},
		{async.Idle, async.Connecting, "make it listen first (async.Client.Listen, qmpsync.Client.Listen)"},
		{async.Connecting, async.Connecting, "make it listen first (async.Client.Listen, qmpsync.Client.Listen)"},
		{async.Connecting, async.Running, "wait for the connection"},
		{async.Connecting, async.Idle, "call Close to abandon it"},
		{async.Running, async.Idle, "call Close first"},
		{async.Disconnecting, async.Running, "call Close to collect the cause"},
		{async.Disconnecting, async.Idle, "call Close to collect the cause"},
	} {
		err := &async.StateError{Op: "do", State: tt.state, Required: tt.required}
		wantText(t, "advice", err, "qmp: do: client is "+tt.state.String()+", needs to be "+tt.required.String(), tt.advice)
	}
	wantText(t, "advice", &async.StateError{State: async.Disconnecting, Required: async.Running, Cause: io.EOF}, "the connection has ended (EOF), call Close")
	if got := async.Runstate(9).String(); got != "Runstate(9)" {
		t.Errorf("String of no state: got %q", got)
	}
}

// Why the connection ended is told to every call until the cause is collected.
func TestE1StateErrorTellsTheCause(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := dial(t, memory(t, connected("", qmptest.Pause(time.Second), qmptest.HangUp())...), nil)
		l := c.NewListener(nil)
		_, err := l.Next(t.Context())
		wantIs(t, "Next", err, io.EOF)
		late := c.NewListener(nil)
		tells := func(cause error) {
			t.Helper()
			for what, call := range map[string]func() error{
				"Execute":                            func() error { _, err := c.Execute(t.Context(), "x", nil); return err },
				"Accept":                             func() error { return c.Accept(t.Context()) },
				"Next":                               func() error { _, err := l.Next(t.Context()); return err },
				"Next of a listener that came later": func() error { _, err := late.Next(t.Context()); return err },
			} {
				err := call()
				if e := wantAs[*async.StateError](t, what, err); e.Cause != cause {
					t.Errorf("%s: got cause %v, want %v", what, e.Cause, cause)
				}
				if errors.Is(err, io.EOF) {
					t.Errorf("%s: the state is the reason, not io.EOF", what)
				}
			}
		}
		tells(io.EOF)
		wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
		tells(nil)
	})
}

// A failed connect rolls back by itself: the next one needs no Disconnect.
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
		t.Error("it has dialled")
		return nil, errors.New("no")
	}})
	w := c.WatchRunstate()
	why := errors.New("the user went home")
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

	// Attach takes the connection over all the same, so it closes it.
	conn, other := qmptest.Pipe()
	defer other.Close()
	wantIs(t, "Attach", c.Attach(ctx, conn), context.Canceled, why)
	if _, err := other.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Attach with an ended context: the peer reads %v, want EOF", err)
	}
	wantTransitions(t, w, "IDLE")
}

// After an unasked-for end nothing of the connection is left, and still the
// cause waits for Disconnect. (Not parallel: it counts all goroutines.)
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
		wantState(t, c, async.Disconnecting) // for as long as it takes
		for _, line := range engineGoroutines() {
			t.Errorf("left of a connection that has ended: %s", line)
		}

		_, err = c.Execute(t.Context(), "query-status", nil)
		wantAs[*async.StateError](t, "Execute behind the end", err)
		err = c.Connect(t.Context(), "")
		wantAs[*async.StateError](t, "Connect behind the end", err)

		wantIs(t, "Disconnect", c.Disconnect(t.Context()), syscall.ECONNRESET)
		wantState(t, c, async.Idle)
		wantNil(t, "second Disconnect", c.Disconnect(t.Context()))
		wantTransitions(t, w, "RUNNING DISCONNECTING IDLE")
	})
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

func TestE1WatcherWaits(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := newClient(t, &async.Options{Dialer: memory(t, connected("")...).Dial})
		w := c.WatchRunstate()
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		waiting := do(func() error {
			_, err := w.Next(ctx)
			return err
		})
		synctest.Wait()
		cancel(why)
		wantIs(t, "Next with a context that ends", <-waiting, context.Canceled, why)

		var seen []string
		over := make(chan struct{})
		go func() {
			defer close(over)
			for tr := range w.All(t.Context()) {
				seen = append(seen, tr.To.String())
			}
		}()
		synctest.Wait()
		connect(t, c)
		synctest.Wait()
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		synctest.Wait()
		w.Close() // wakes whoever waits
		<-over
		if got := strings.Join(seen, " "); got != "CONNECTING RUNNING DISCONNECTING IDLE" {
			t.Errorf("All: got %s", got)
		}
		w.Close()
		if _, err := w.Next(t.Context()); err != async.ErrClosed {
			t.Errorf("Next of a closed watcher: got error %v, want ErrClosed", err)
		}
	})
}

// A closed watcher sees no more, and keeps what it has seen.
func TestE1ClosedWatcherKeepsWhatItSaw(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("")...)
	c := newClient(t, &async.Options{Dialer: p.Dial})
	w := c.WatchRunstate()
	connect(t, c)
	w.Close()
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	for range w.All(t.Context()) {
		break // an iteration can be left
	}
	wantTransitions(t, w, "CONNECTING RUNNING")
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

// The greeting is that of the present connection, or of the last one.
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
