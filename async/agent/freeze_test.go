package agent_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/qapi/qga"
)

// A freezer is an agent that freezes three file systems.
type freezer struct {
	*qmptest.Server
	mu     sync.Mutex // guards the fields below
	frozen int
	fail   []error       // of the next attempts to thaw; nil is a success
	sleep  time.Duration // before the reply to a freeze
}

func newFreezer(t *testing.T) *freezer {
	f := &freezer{Server: qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory, NoGreeting: true})}
	freeze := func(ctx context.Context, cmd *qmptest.Command) (any, error) {
		args := struct{ Mountpoints []string }{[]string{"/", "/home", "/srv"}}
		if err := cmd.Decode(&args); err != nil {
			return nil, err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.frozen > 0 {
			return nil, &qmptest.Error{Class: "CommandNotFound", Desc: "the agent is in frozen state"}
		}
		f.frozen = len(args.Mountpoints)
		if slices.Contains(args.Mountpoints, "/nonexistent") {
			return nil, &qmptest.Error{Class: "GenericError", Desc: "failed to open /nonexistent"}
		}
		select {
		case <-time.After(f.sleep):
		case <-ctx.Done():
		}
		return f.frozen, nil
	}
	f.Handle("guest-fsfreeze-freeze", freeze)
	f.Handle("guest-fsfreeze-freeze-list", freeze)
	f.Handle("guest-fsfreeze-thaw", func(context.Context, *qmptest.Command) (any, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.fail) > 0 {
			err := f.fail[0]
			f.fail = f.fail[1:]
			if err != nil {
				return nil, err
			}
		}
		n := f.frozen
		f.frozen = 0
		return n, nil
	})
	return f
}

func (f *freezer) state() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.frozen
}

// dial connects to the agent. conns gets the client's ends of all connections.
func (f *freezer) dial(t *testing.T) (a *agent.Client, conns *[]net.Conn) {
	t.Helper()
	conns = new([]net.Conn)
	a, err := agent.Dial(t.Context(), "", over(func(ctx context.Context) (net.Conn, error) {
		conn, err := f.Dial(ctx)
		*conns = append(*conns, conn)
		return conn, err
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a, conns
}

// inBubbles runs a test with an agent of its own in a bubble.
func inBubbles(t *testing.T, name string, test func(t *testing.T, f *freezer, a *agent.Client, conns *[]net.Conn)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFreezer(t)
			a, conns := f.dial(t)
			test(t, f, a, conns)
			if n := f.state(); n != 0 {
				t.Errorf("%d file systems are frozen at the end", n)
			}
		})
	})
}

func leaseError(t *testing.T, err, cause error) {
	t.Helper()
	if _, ok := errors.AsType[*agent.LeaseError](err); !ok || !errors.Is(err, cause) {
		t.Errorf("got %v, want a LeaseError with %v", err, cause)
	}
}

func TestFreeze(t *testing.T) {
	mine := errors.New("mine")
	type client = *agent.Client
	inBubbles(t, "all", func(t *testing.T, f *freezer, a client, _ *[]net.Conn) {
		for _, want := range []error{nil, mine} {
			err := a.Freeze(t.Context(), nil, func(ctx context.Context) error {
				if n := f.state(); n != 3 || ctx.Err() != nil {
					t.Errorf("%d file systems are frozen, %v", n, ctx.Err())
				}
				return want
			})
			if !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		}
	})
	inBubbles(t, "some", func(t *testing.T, f *freezer, a client, _ *[]net.Conn) {
		err := a.Freeze(t.Context(), &agent.FreezeOptions{Mountpoints: []string{"/srv"}}, func(context.Context) error {
			if n := f.state(); n != 1 {
				t.Errorf("%d file systems are frozen", n)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	inBubbles(t, "panic", func(t *testing.T, f *freezer, a client, _ *[]net.Conn) {
		defer func() {
			if got := recover(); got != mine {
				t.Errorf("recovered %v", got)
			}
		}()
		_ = a.Freeze(t.Context(), nil, func(context.Context) error { panic(mine) })
	})
	inBubbles(t, "the limit", func(t *testing.T, f *freezer, a client, _ *[]net.Conn) {
		begin := time.Now()
		err := a.Freeze(t.Context(), &agent.FreezeOptions{Limit: 10 * time.Second}, func(ctx context.Context) error {
			time.Sleep(time.Minute) // it does not watch its context
			if n := f.state(); n != 0 || time.Since(begin) != time.Minute {
				t.Errorf("%d file systems are frozen", n)
			}
			if context.Cause(ctx) != agent.ErrFreezeLimit {
				t.Errorf("the context ended with %v", context.Cause(ctx))
			}
			return nil
		})
		leaseError(t, err, agent.ErrFreezeLimit)
	})
	inBubbles(t, "the context", func(t *testing.T, f *freezer, a client, _ *[]net.Conn) {
		ctx, cancel := context.WithCancelCause(t.Context())
		err := a.Freeze(ctx, nil, func(ctx context.Context) error {
			cancel(mine)
			<-ctx.Done()
			synctest.Wait()
			if n := f.state(); n != 0 {
				t.Errorf("%d file systems are frozen", n)
			}
			return ctx.Err()
		})
		leaseError(t, err, mine)
	})
	inBubbles(t, "the connection", func(t *testing.T, f *freezer, a client, conns *[]net.Conn) {
		err := a.Freeze(t.Context(), nil, func(ctx context.Context) error {
			(*conns)[0].(*qmptest.PipeConn).Reset()
			<-ctx.Done()
			synctest.Wait()
			if n := f.state(); n != 0 {
				t.Errorf("%d file systems are frozen", n)
			}
			return nil
		})
		if !errors.As(err, new(*agent.LeaseError)) {
			t.Errorf("got %v", err)
		}
		if len(*conns) != 2 {
			t.Errorf("%d connections", len(*conns))
		}
	})
	inBubbles(t, "the client's end", func(t *testing.T, f *freezer, a client, conns *[]net.Conn) {
		err := a.Freeze(t.Context(), nil, func(ctx context.Context) error { return a.Close() })
		leaseError(t, err, async.ErrClosed)
	})
	inBubbles(t, "thawed by others", func(t *testing.T, f *freezer, a client, _ *[]net.Conn) {
		err := a.Freeze(t.Context(), nil, func(ctx context.Context) error {
			_, err := qga.GuestFsfreezeThaw(ctx, a)
			return err
		})
		leaseError(t, err, agent.ErrThawedByOthers)
	})
	inBubbles(t, "no such file system", func(t *testing.T, f *freezer, a client, _ *[]net.Conn) {
		err := a.Freeze(t.Context(), &agent.FreezeOptions{Mountpoints: []string{"/", "/nonexistent"}}, func(context.Context) error {
			t.Error("f is called")
			return nil
		})
		if !errors.As(err, new(*async.ExecuteError)) {
			t.Errorf("got %v", err)
		}
	})
	inBubbles(t, "frozen by others", func(t *testing.T, f *freezer, a client, _ *[]net.Conn) {
		if _, err := qga.GuestFsfreezeFreeze(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if err := a.Freeze(t.Context(), nil, nil); !errors.As(err, new(*async.ExecuteError)) || f.state() != 3 {
			t.Errorf("got %v, and %d are frozen", err, f.state())
		}
		if _, err := qga.GuestFsfreezeThaw(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		a.Close()
		if err := a.Freeze(t.Context(), nil, nil); !errors.As(err, new(*async.StateError)) {
			t.Errorf("without a connection: %v", err)
		}
	})
	inBubbles(t, "given up while freezing", func(t *testing.T, f *freezer, a client, _ *[]net.Conn) {
		f.sleep = time.Minute
		err := a.Freeze(within(t, time.Second), nil, nil)
		if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*agent.ThawError)) {
			t.Errorf("got %v", err)
		}
	})
}

// Thawing goes on until it works, or until its limit.
func TestThaw(t *testing.T) {
	refused := &qmptest.Error{Class: "GenericError", Desc: "the disk is gone"}
	inBubbles(t, "refused", func(t *testing.T, f *freezer, a *agent.Client, _ *[]net.Conn) {
		f.fail = []error{refused}
		err := a.Freeze(t.Context(), nil, func(context.Context) error { return nil })
		if e, ok := errors.AsType[*agent.ThawError](err); !ok || !errors.As(e, new(*async.ExecuteError)) {
			t.Errorf("got %v", err)
		}
		f.frozen = 0
	})
	// The agent does not answer for two minutes.
	synctest.Test(t, func(t *testing.T) {
		silent := []qmptest.Step{qmptest.Expect("guest-fsfreeze-freeze"), qmptest.Return(`3`), qmptest.Expect("guest-fsfreeze-thaw")}
		for range 7 {
			silent = append(silent, qmptest.Expect("guest-sync"))
		}
		silent = append(silent, qmptest.Expect("guest-sync"), answerSync(withID), qmptest.Expect("guest-fsfreeze-thaw"), qmptest.Return(`3`))
		a := dialScript(t, silent...)
		if err := a.Freeze(t.Context(), nil, func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
	})
	// The agent never answers again.
	synctest.Test(t, func(t *testing.T) {
		a := dialScript(t, qmptest.Expect("guest-fsfreeze-freeze"), qmptest.Return(`3`), qmptest.Stall())
		begin := time.Now()
		err := a.Freeze(t.Context(), &agent.FreezeOptions{ThawLimit: 3 * time.Minute}, func(context.Context) error { return nil })
		if !errors.As(err, new(*agent.ThawError)) || time.Since(begin) != 3*time.Minute {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
	})
	// A connection that was attached cannot be made again.
	synctest.Test(t, func(t *testing.T) {
		f := newFreezer(t)
		conn, err := f.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a, err := agent.Attach(t.Context(), conn, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = a.Freeze(t.Context(), nil, func(context.Context) error { return a.Close() })
		if e, ok := errors.AsType[*agent.ThawError](err); !ok || !errors.As(e, new(*async.StateError)) {
			t.Errorf("got %v", err)
		}
	})
	// The socket is not there for a while after the connection has ended.
	synctest.Test(t, func(t *testing.T) {
		f := newFreezer(t)
		begin := time.Now()
		a, err := agent.Dial(t.Context(), "", over(func(ctx context.Context) (net.Conn, error) {
			if passed := time.Since(begin); passed > 0 && passed < time.Minute {
				return nil, errors.New("not there")
			}
			return f.Dial(ctx)
		}))
		if err != nil {
			t.Fatal(err)
		}
		err = a.Freeze(t.Context(), nil, func(context.Context) error {
			time.Sleep(time.Second)
			return a.Close()
		})
		leaseError(t, err, async.ErrClosed)
		if f.state() != 0 || errors.As(err, new(*agent.ThawError)) {
			t.Errorf("got %v, and %d are frozen", err, f.state())
		}
	})
}
