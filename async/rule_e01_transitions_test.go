// Tests of rule E1 (run states): a watcher sees every transition, in order.
// The code that they hold: stage.go (move) and runstate.go.
package async_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

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
			name:  "handshake times out",
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
			name:  "unexpected end, collected",
			steps: connected("", qmptest.Pause(time.Second), qmptest.HangUp()),
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				time.Sleep(time.Minute)
				wantState(t, c, async.Disconnecting)
				wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
			},
			want: "IDLE CONNECTING RUNNING DISCONNECTING IDLE",
		}, {
			name:  "unexpected end, not collected",
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
				// Nobody reads them during the run: transitions must not be merged.
				first, second := c.WatchRunstate(), c.WatchRunstate()
				tt.run(t, c)
				wantTransitions(t, first, tt.want)
				wantTransitions(t, second, tt.want)
			})
		})
	}
}

// The transitions of a client that listens. It needs real sockets, so it does
// not run in a bubble.
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
				t.Cleanup(func() { c.Close() }) // before the test waits for the end of the script
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
				// The result is the same whether Accept has begun or not.
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
		w.Close() // wakes the goroutine that waits
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

// A closed watcher gets no more transitions. Those that it already has can
// still be read.
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
