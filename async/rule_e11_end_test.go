// Tests of rule E11 (Disconnect always completes): from any number of goroutines, and
// in every run state.
// The code that they hold: disconnect.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// ends are the two ways to end a connection.
var ends = []struct {
	name string
	end  func(*async.Client) error
}{
	{"Disconnect", func(c *async.Client) error { return c.Disconnect(context.Background()) }},
	{"Close", (*async.Client).Close},
}

// Any number of goroutines may end the connection at the same time, and again
// later.
func TestE11ManyAtOnce(t *testing.T) {
	t.Parallel()
	for _, ended := range []bool{false, true} { // the peer has ended the connection before
		t.Run(fmt.Sprintf("ended=%v", ended), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				steps := connected("")
				if ended {
					steps = connected("", qmptest.Pause(time.Second), qmptest.HangUp())
				}
				c := dial(t, memory(t, steps...), nil)
				if ended {
					time.Sleep(time.Minute) // of the bubble's clock
				}
				results := make(chan error, 40)
				var wg sync.WaitGroup
				for i := range cap(results) {
					wg.Go(func() { results <- ends[i%len(ends)].end(c) })
				}
				wg.Wait()
				close(results)
				causes := 0
				for err := range results {
					if err != nil {
						causes++
						if err != io.EOF {
							t.Errorf("got error %v (%T), want io.EOF itself", err, err)
						}
					}
				}
				if ended && causes == 0 {
					t.Error("no caller got the cause")
				}
				if !ended && causes != 0 {
					t.Errorf("an orderly end: %d callers got an error", causes)
				}
				wantState(t, c, async.Idle)
				for _, e := range ends {
					wantNil(t, e.name+" after the end", e.end(c))
				}
			})
		})
	}
}

// All callers of Disconnect during the same end get its cause. Later callers
// get nil.
func TestE11JoinedCallersGetTheCause(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		broken := errors.New("the cable is cut")
		p := memory(t, connected("", qmptest.Stall())...)
		c := dial(t, p, &async.Options{Dialer: rig(p, failWritesFrom(1, broken))})
		// After a failed write the end takes a second.
		victim := start(t.Context(), c, async.Command{Name: "victim"})
		synctest.Wait()
		begin := time.Now()
		var joined []<-chan error
		for range 5 {
			joined = append(joined, do(func() error { return c.Disconnect(t.Context()) }))
		}
		synctest.Wait()
		wantState(t, c, async.Disconnecting)
		for _, done := range joined {
			if err := <-done; err != broken {
				t.Errorf("Disconnect: got %v, want the error of the write itself", err)
			}
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("Disconnect after a failed write: took %v, want 1s", took)
		}
		wantIs(t, "victim", (<-victim).err, broken)
		wantNil(t, "a later Disconnect", c.Disconnect(t.Context()))
	})
}

// A caller that joins with less time, or with Close, shortens the wait of the
// others.
func TestE11JoiningHurries(t *testing.T) {
	t.Parallel()
	t.Run("by its context", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			c := stuckWriter(t, nil)
			patient := do(func() error { return c.Disconnect(context.Background()) })
			synctest.Wait()
			why := errors.New("the user canceled")
			ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, why)
			defer cancel()
			begin := time.Now()
			hurried := c.Disconnect(ctx)
			if took := time.Since(begin); took != 3*time.Second {
				t.Errorf("the Disconnect with a deadline: took %v, want 3s", took)
			}
			for what, err := range map[string]error{"the Disconnect with a deadline": hurried, "the Disconnect without one": <-patient} {
				wantIs(t, what, err, context.DeadlineExceeded, why)
			}
			wantState(t, c, async.Idle)
		})
	})
	t.Run("by Close", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			c := stuckWriter(t, nil)
			patient := do(func() error { return c.Disconnect(context.Background()) })
			synctest.Wait()
			begin := time.Now()
			wantNil(t, "Close", c.Close())
			wantNil(t, "Disconnect", <-patient)
			wantInstant(t, "Close", begin)
		})
	})
}

// While the client connects, at any step of that.
func TestE11DuringConnect(t *testing.T) {
	t.Parallel()
	stages := []struct {
		name  string
		steps []qmptest.Step // nil: the Dialer waits
		size  int
	}{
		{name: "dialing"},
		{name: "no greeting", steps: []qmptest.Step{qmptest.Stall()}},
		{name: "no reply", steps: []qmptest.Step{qmptest.Greet(), qmptest.Stall()}},
		{name: "does not read", steps: []qmptest.Step{qmptest.Greet(), qmptest.StopReading()}, size: 8},
	}
	for _, tt := range stages {
		for _, e := range ends {
			t.Run(tt.name+"/"+e.name, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					opts := &async.Options{Dialer: func(ctx context.Context) (net.Conn, error) {
						<-ctx.Done()
						return nil, ctx.Err()
					}}
					if tt.steps != nil {
						opts.Dialer = play(t, qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: tt.size}, tt.steps...).Dial
					}
					c := newClient(t, opts)
					failed := do(func() error { return c.Connect(t.Context(), "") })
					synctest.Wait()
					wantState(t, c, async.Connecting)
					begin := time.Now()
					var wg sync.WaitGroup
					for range 5 {
						wg.Go(func() { wantNil(t, e.name, e.end(c)) })
					}
					wg.Wait()
					wantInstant(t, e.name, begin)
					err := <-failed
					wantIs(t, "Connect", err, async.ErrClosed)
					wantAs[*async.ConnectError](t, "Connect", err)
					wantState(t, c, async.Idle)
				})
			})
		}
	}
}

// While the client listens, and while it accepts. The socket's file is removed,
// too.
func TestE11DuringListenAndAccept(t *testing.T) {
	t.Parallel()
	for _, e := range ends {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			path := socketPath(t)
			gone := func(what string, c *async.Client) {
				t.Helper()
				wantState(t, c, async.Idle)
				if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s: the socket is still there (%v)", what, err)
				}
			}
			t.Run("listening", func(t *testing.T) {
				c := newClient(t, nil)
				wantNil(t, "Listen", c.Listen(t.Context(), path))
				var wg sync.WaitGroup
				for range 5 {
					wg.Go(func() { wantNil(t, e.name, e.end(c)) })
				}
				wg.Wait()
				gone(e.name, c)
			})
			t.Run("accepting", func(t *testing.T) {
				c := newClient(t, nil)
				for i := range 20 {
					wantNil(t, "Listen", c.Listen(t.Context(), path))
					failed := do(func() error { return c.Accept(t.Context()) })
					spin(i)
					wantNil(t, e.name, e.end(c))
					err := <-failed
					if _, late := errors.AsType[*async.StateError](err); !late { // if it is one, Accept came after the end
						wantIs(t, "Accept", err, async.ErrClosed)
					}
					gone(e.name, c)
				}
			})
			t.Run("handshake", func(t *testing.T) {
				ended := make(chan error, 1)
				var c *async.Client
				c = newClient(t, &async.Options{OnReceive: func(json.RawMessage) json.RawMessage {
					go func() { ended <- e.end(c) }()
					return nil
				}})
				wantNil(t, "Listen", c.Listen(t.Context(), path))
				play(t, qmptest.ScriptOptions{DialTo: path}, qmptest.Event("E", ""), qmptest.Stall())
				wantIs(t, "Accept", c.Accept(t.Context()), async.ErrClosed)
				wantNil(t, e.name, <-ended)
				gone(e.name, c)
			})
		})
	}
}

// Many goroutines connect, execute and disconnect at the same time. In the end
// no goroutine is left (goleak), and no call hangs.
func TestE11EverythingAtOnce(t *testing.T) {
	t.Parallel()
	s := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory, ManyClients: true, NoRecord: true})
	c := newClient(t, &async.Options{Dialer: s.Dial})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 60 {
				var err error
				switch (i + j) % 4 {
				case 0:
					err = c.Connect(ctx, "")
				case 1, 2:
					_, err = c.Execute(ctx, "query-status", nil)
				case 3:
					err = ends[j%2].end(c)
				}
				_, wrongState := errors.AsType[*async.StateError](err)
				if err != nil && !wrongState && !errors.Is(err, async.ErrClosed) {
					t.Errorf("got error %v (%T), want none but the wrong state, or an end by this side", err, err)
				}
			}
		})
	}
	wg.Wait()
	wantNil(t, "the run", ctx.Err())
	wantNil(t, "Close", c.Close())
	wantState(t, c, async.Idle)
}
