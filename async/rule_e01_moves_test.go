// Tests of rule E1 (run states): the table of moves, and that no move waits for
// I/O.
// The code that they hold: stage.go, runstate.go, connect.go and listen.go.
package async_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// These scenarios make every move of the table. No test makes another move: a
// move that is not in the table panics.
func TestE1TheTableOfMoves(t *testing.T) {
	t.Parallel()
	inside := make(chan struct{})
	scenarios := []struct {
		name   string
		moves  string         // the activities, one after another
		script []qmptest.Step // of the server; with nil, the Dialer waits until its context ends
		again  *reconnecting  // for a client with Options.Reconnect
		run    func(t *testing.T, c *async.Client)
	}{
		{"connect and disconnect", "idle dialing handshaking running closing idle", connected(""), nil, func(t *testing.T, c *async.Client) {
			connect(t, c)
			wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		}},
		{"no connection", "idle dialing closing idle", nil, nil, func(t *testing.T, c *async.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			w := c.WatchRunstate()
			dialing := do(func() error { return c.Connect(ctx, "nowhere") })
			awaitState(t, w, async.Connecting)
			cancel()
			wantIs(t, "Connect", <-dialing, context.Canceled)
		}},
		{"no handshake", "idle dialing handshaking closing idle", nil, nil, func(t *testing.T, c *async.Client) {
			client, server := qmptest.Pipe()
			server.Close()
			wantIs(t, "Attach", c.Attach(t.Context(), client), io.EOF)
		}},
		{"lost", "idle dialing handshaking running lost closing idle", connected("", qmptest.Expect("hang-up"), qmptest.HangUp()), nil, func(t *testing.T, c *async.Client) {
			w := c.WatchRunstate()
			connect(t, c)
			_, err := c.Execute(t.Context(), "hang-up", nil)
			wantIs(t, "Execute", err, io.EOF)
			awaitState(t, w, async.Disconnecting)
			wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
		}},
		{"no listening socket", "idle binding closing idle", nil, nil, func(t *testing.T, c *async.Client) {
			wantAs[*async.ConnectError](t, "Listen", c.Listen(t.Context(), filepath.Join(t.TempDir(), "no", "s")))
		}},
		{"listen and close", "idle binding listening closing idle", nil, nil, func(t *testing.T, c *async.Client) {
			wantNil(t, "Listen", c.Listen(t.Context(), socketPath(t)))
			wantNil(t, "Close", c.Close())
		}},
		{"no peer comes", "idle binding listening accepting closing idle", nil, nil, func(t *testing.T, c *async.Client) {
			wantNil(t, "Listen", c.Listen(t.Context(), socketPath(t)))
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			for c.Runstate() != async.Idle { // a context that ends before Accept changes nothing
				wantIs(t, "Accept", c.Accept(ctx), context.DeadlineExceeded)
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				defer cancel()
			}
		}},
		{"a peer comes", "idle binding listening accepting handshaking running closing idle", nil, nil, func(t *testing.T, c *async.Client) {
			path := socketPath(t)
			wantNil(t, "Listen", c.Listen(t.Context(), path))
			play(t, qmptest.ScriptOptions{DialTo: path}, connected("")...)
			wantNil(t, "Accept", c.Accept(t.Context()))
			wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		}},
		{
			"connect again", "idle dialing handshaking preparing running waiting dialing waiting dialing handshaking waiting dialing handshaking preparing running closing idle",
			slices.Concat(again(hangsUp), []qmptest.Step{qmptest.Accept(), qmptest.HangUp(), qmptest.Accept()}, again(nil)),
			&reconnecting{dials: []error{nil, errNoServer, nil}, prepares: []error{nil}},
			func(t *testing.T, c *async.Client) {
				w := c.WatchRunstate()
				connect(t, c)
				end(t, c)
				awaitState(t, w, async.Running)
				awaitState(t, w, async.Running)
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
			},
		},
		{"disconnect while waiting", "idle dialing handshaking running waiting closing idle", again(hangsUp), &reconnecting{waits: []time.Duration{time.Hour}}, func(t *testing.T, c *async.Client) {
			connect(t, c)
			end(t, c)
			wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
		}},
		{"give up while waiting", "idle dialing handshaking running waiting lost closing idle", again(hangsUp), &reconnecting{waits: []time.Duration{-1}}, giveUpAgain},
		{
			"give up after a dial", "idle dialing handshaking running waiting dialing lost closing idle",
			again(hangsUp), &reconnecting{dials: []error{nil, errNoServer}, waits: []time.Duration{0, -1}}, giveUpAgain,
		},
		{
			"give up after a handshake", "idle dialing handshaking running waiting dialing handshaking lost closing idle",
			append(again(hangsUp), qmptest.Accept(), qmptest.HangUp()), &reconnecting{waits: []time.Duration{0, -1}}, giveUpAgain,
		},
		{
			"OnConnect fails", "idle dialing handshaking preparing running waiting dialing handshaking preparing waiting dialing handshaking preparing lost closing idle",
			again(hangsUp, nil, nil), &reconnecting{prepares: []error{nil, io.ErrNoProgress}, waits: []time.Duration{0, 0, -1}}, giveUpAgain,
		},
		{"disconnect during OnConnect", "idle dialing handshaking preparing closing idle", again(nil), &reconnecting{prepares: []error{errBlocks}, inside: inside}, func(t *testing.T, c *async.Client) {
			connecting := do(func() error { return c.Connect(t.Context(), "") })
			<-inside
			wantNil(t, "Disconnect", c.Disconnect(t.Context()))
			wantIs(t, "Connect", <-connecting, async.ErrClosed)
		}},
		{
			"accept again", "idle binding listening accepting handshaking running waiting accepting waiting accepting lost closing idle",
			nil, &reconnecting{waits: []time.Duration{0, 0, -1}}, func(t *testing.T, c *async.Client) {
				path := socketPath(t)
				wantNil(t, "Listen", c.Listen(t.Context(), path))
				async.RigAccept(c, 1, errNoRights)
				play(t, qmptest.ScriptOptions{DialTo: path}, again(hangsUp)...)
				wantNil(t, "Accept", c.Accept(t.Context()))
				end(t, c)
				<-c.Done()
				wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF, os.ErrPermission)
			},
		},
	}
	legal, _ := async.LegalMoves()
	made := make(map[string]bool)
	for _, tt := range scenarios {
		activities := strings.Fields(tt.moves)
		for i := 1; i < len(activities); i++ {
			made[activities[i-1]+">"+activities[i]] = true
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := &async.Options{Dialer: func(ctx context.Context) (net.Conn, error) {
				if tt.script == nil {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return memory(t, tt.script...).Dial(ctx)
			}}
			if tt.again != nil {
				opts = tt.again.options(t, tt.script)
			}
			c := newClient(t, opts)
			moves := async.RecordMoves(c)
			tt.run(t, c)
			var want []string
			for i := 1; i < len(activities); i++ {
				want = append(want, activities[i-1]+">"+activities[i])
			}
			if got := moves(); !slices.Equal(got, want) {
				t.Errorf("moves:\n got %v\nwant %v", got, want)
			}
		})
	}
	for _, move := range legal {
		if !made[move] {
			t.Errorf("no scenario makes the move %s", move)
		}
	}
}

// reconnecting describes a client with Options.Reconnect.
type reconnecting struct {
	dials    []error         // of the dials; the last one is repeated; none if all succeed
	prepares []error         // of OnConnect; the last one is repeated; there is no OnConnect if it is empty
	waits    []time.Duration // of the policy; the last one is repeated; none for no wait
	inside   chan struct{}   // closed when OnConnect is to return errBlocks, and waits until its context ends
}

func (r *reconnecting) options(t *testing.T, script []qmptest.Step) *async.Options {
	opts := &async.Options{Backoff: func() async.Backoff { return &waits{r.waits} }, Reconnect: &async.Reconnect{}}
	if script != nil {
		opts.Dialer = dialling(memory(t, script...), append(r.dials, nil)[:max(len(r.dials), 1)]...)
	}
	if prepares := r.prepares; prepares != nil {
		opts.Reconnect.OnConnect = func(ctx context.Context, _ async.Caller) error {
			err := prepares[0]
			prepares = prepares[min(1, len(prepares)-1):]
			if err == errBlocks {
				close(r.inside)
				<-ctx.Done()
			}
			return err
		}
	}
	return opts
}

// waits is a policy that returns these waits, one after another, and the last one for
// ever.
type waits struct{ list []time.Duration }

func (w *waits) Reset() {}

func (w *waits) NextBackOff() (d time.Duration) {
	if len(w.list) > 0 {
		d, w.list = w.list[0], w.list[min(1, len(w.list)-1):]
	}
	return d
}

// giveUpAgain connects, loses the connection, and waits until the client has given up.
func giveUpAgain(t *testing.T, c *async.Client) {
	connect(t, c)
	end(t, c)
	<-c.Done()
	wantAs[*async.GaveUpError](t, "Disconnect", c.Disconnect(t.Context()))
}

// The table has the transitions that the documentation of Runstate draws.
func TestE1TheTableIsWhatRunstateSays(t *testing.T) {
	t.Parallel()
	_, got := async.LegalMoves()
	want := []async.Transition{
		{From: async.Idle, To: async.Connecting},
		{From: async.Connecting, To: async.Running},
		{From: async.Connecting, To: async.Disconnecting},
		{From: async.Running, To: async.Disconnecting},
		{From: async.Running, To: async.Connecting},
		{From: async.Disconnecting, To: async.Idle},
	}
	if len(got) != len(want) {
		t.Errorf("transitions: got %v, want %v", got, want)
	}
	for _, tr := range want {
		if !slices.Contains(got, tr) {
			t.Errorf("the table has no transition from %v to %v", tr.From, tr.To)
		}
	}
}

// While the client opens or closes a file or a socket, all calls that ask about
// the client return at once.
func TestE1NoMoveWaitsForIO(t *testing.T) {
	t.Parallel()
	// ask makes those calls while the file or socket is opened or closed.
	ask := func(t *testing.T, c *async.Client) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.Runstate()
			c.ListenAddr()
			c.Greeting()
			c.CanSendFiles()
			c.WatchRunstate().Close()
			c.NewListener(nil).Close()
			c.Execute(context.Background(), "query-status", nil)
			c.Connect(context.Background(), "elsewhere")
			c.Accept(context.Background())
		}()
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("a call waits for what is being opened or closed")
		}
	}
	listen := func(t *testing.T, c *async.Client) string {
		path := socketPath(t)
		if err := c.Listen(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Run("Dialer", func(t *testing.T) {
		t.Parallel()
		var c *async.Client
		c = newClient(t, &async.Options{Dialer: func(context.Context) (net.Conn, error) {
			ask(t, c)
			return nil, errors.New("no")
		}})
		c.Connect(t.Context(), "")
	})
	for name, end := range map[string]func(*async.Client) error{
		"Disconnect": func(c *async.Client) error { return c.Disconnect(context.Background()) },
		"Close":      (*async.Client).Close,
	} {
		t.Run("listening socket, "+name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, nil)
			listen(t, c)
			asked := 0
			async.RigSocket(c, func() { asked++; ask(t, c) })
			wantNil(t, name, end(c))
			if asked == 0 {
				t.Error("the socket has not been closed")
			}
		})
		t.Run("connection, "+name, func(t *testing.T) {
			t.Parallel()
			p := memory(t, connected("")...)
			var c *async.Client
			asked := false
			c = dial(t, p, &async.Options{Dialer: rig(p, func(conn net.Conn) net.Conn {
				return &rigged{Conn: conn, close: func() error {
					asked = true
					ask(t, c)
					return nil
				}}
			})})
			wantNil(t, name, end(c))
			if !asked {
				t.Error("the connection has not been closed")
			}
		})
	}
	t.Run("listening socket, peer comes", func(t *testing.T) {
		t.Parallel()
		c := newClient(t, nil)
		path := listen(t, c)
		async.RigSocket(c, func() { ask(t, c) })
		play(t, qmptest.ScriptOptions{DialTo: path}, connected("", qmptest.ExpectEOF())...)
		wantNil(t, "Accept", c.Accept(t.Context()))
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	})
	t.Run("listening socket, no peer comes", func(t *testing.T) {
		t.Parallel()
		c := newClient(t, nil)
		listen(t, c)
		async.RigSocket(c, func() { ask(t, c) })
		ctx, cancel := context.WithCancel(t.Context())
		accepting := do(func() error { return c.Accept(ctx) })
		cancel()
		if err := <-accepting; !errors.Is(err, context.Canceled) {
			t.Errorf("Accept: got %v", err)
		}
	})
}
