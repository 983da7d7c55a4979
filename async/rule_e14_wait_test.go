// Tests of rule E14 (a socket that is not there yet is waited for).
// The code that they hold: connect.go and backoff.go.
package async_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"

	"github.com/cenkalti/backoff/v4"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

var (
	errNoSocket = &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.ENOENT)}
	errNoServer = &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	errNoRights = &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
)

// refusals returns errors of connect(2).
func refusals(errnos ...syscall.Errno) (errs []error) {
	for _, errno := range errnos {
		errs = append(errs, &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", errno)})
	}
	return errs
}

// dialling returns a Dialer that fails with errs, one after another. It fails
// with the last one for ever; if that is nil, it dials p.
func dialling(p *qmptest.Player, errs ...error) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		err := errs[0]
		if len(errs) > 1 {
			errs = errs[1:]
		}
		switch err {
		case nil:
			return p.Dial(ctx)
		case errBlocks:
			<-ctx.Done()
			return nil, ctx.Err()
		case errNothing:
			return nil, nil
		}
		return nil, err
	}
}

// doubling is an exponential policy without randomness: 1s, 2s, 4s, 8s.
func doubling() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(time.Second), backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0),
		backoff.WithMaxInterval(8*time.Second), backoff.WithMaxElapsedTime(0))
}

func TestE14WaitsForTheSocket(t *testing.T) {
	t.Parallel()
	constant := async.Every(time.Second)
	other := errors.New("the tunnel is down")
	tests := []struct {
		name     string
		policy   func() async.Backoff
		limit    time.Duration // of the context; 0 for no limit
		dials    []error       // the errors of the dials; the last one is repeated
		took     time.Duration
		attempts int     // in the ConnectError; 0 if Connect succeeds
		errs     []error // that the error matches
	}{
		{name: "there at once", policy: constant, dials: []error{nil}},
		{name: "constant", policy: constant, dials: []error{errNoSocket, errNoSocket, errNoServer, nil}, took: 3 * time.Second},
		{
			name: "exponential", policy: func() async.Backoff { return doubling() },
			dials: []error{errNoSocket, errNoSocket, errNoServer, errNoServer, errNoServer, nil}, took: (1 + 2 + 4 + 8 + 8) * time.Second,
		},
		{
			name: "stops after 3 retries", policy: func() async.Backoff { return backoff.WithMaxRetries(constant().(backoff.BackOff), 3) },
			dials: []error{errNoSocket, errNoSocket, errNoSocket, errNoServer}, took: 3 * time.Second, attempts: 4, errs: []error{syscall.ECONNREFUSED},
		},
		{
			name: "stops after its own time", policy: func() async.Backoff {
				b := doubling()
				b.MaxElapsedTime = 10 * time.Second
				b.Reset()
				return b
			},
			dials: []error{errNoSocket}, took: 7 * time.Second, attempts: 4, errs: []error{os.ErrNotExist},
		},
		{
			name: "policy that stops at once", policy: func() async.Backoff { return &backoff.StopBackOff{} },
			dials: []error{errNoSocket}, attempts: 1, errs: []error{os.ErrNotExist},
		},
		{name: "no policy", dials: []error{errNoSocket}, attempts: 1, errs: []error{os.ErrNotExist}},
		{
			name: "context ends first", policy: constant, limit: 3500 * time.Millisecond,
			dials: []error{errNoSocket}, took: 3500 * time.Millisecond, attempts: 4, errs: []error{os.ErrNotExist, context.DeadlineExceeded},
		},
		{
			name: "context ends first, another error", policy: constant, limit: 3500 * time.Millisecond,
			dials: []error{errNoSocket, errNoServer}, took: 3500 * time.Millisecond, attempts: 4, errs: []error{syscall.ECONNREFUSED, context.DeadlineExceeded},
		},
		{
			name: "all that says not yet", policy: constant, took: 10 * time.Second,
			dials: append(refusals(syscall.EAGAIN, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH),
				&net.DNSError{Err: "server misbehaving", IsTemporary: true}, os.ErrDeadlineExceeded, os.ErrNotExist, errNoServer, nil),
		},
		{
			name: "a host that does not exist", policy: constant, dials: []error{&net.DNSError{Err: "no such host", IsNotFound: true}},
			attempts: 1,
		},
		{name: "another failure at once", policy: constant, dials: []error{errNoRights}, attempts: 1, errs: []error{os.ErrPermission}},
		{name: "one that the system does not know", policy: constant, dials: []error{other}, attempts: 1, errs: []error{other}},
		{
			name: "another failure later", policy: constant,
			dials: []error{errNoSocket, errNoServer, errNoRights}, took: 2 * time.Second, attempts: 3, errs: []error{os.ErrPermission},
		},
		{
			name: "the Dialer says that it is final", policy: constant,
			dials: []error{errNoSocket, backoff.Permanent(errNoServer)}, took: time.Second, attempts: 2, errs: []error{syscall.ECONNREFUSED},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				var p *qmptest.Player
				if tt.attempts == 0 {
					p = memory(t, connected("", qmptest.Expect("x"), qmptest.Return(`{}`))...)
				}
				c := newClient(t, &async.Options{Nickname: "vm1", Backoff: tt.policy, Dialer: dialling(p, tt.dials...)})
				w := c.WatchRunstate()
				ctx := t.Context()
				if tt.limit != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.limit)
					defer cancel()
				}
				begin := time.Now()
				err := c.Connect(ctx, "/run/vm1")
				if took := time.Since(begin); took != tt.took {
					t.Errorf("Connect: took %v, want %v", took, tt.took)
				}
				if tt.attempts == 0 {
					wantNil(t, "Connect", err)
					execute(t, c, "x", "{}")
					wantNil(t, "Disconnect", c.Disconnect(t.Context()))
					wantTransitions(t, w, "IDLE CONNECTING RUNNING DISCONNECTING IDLE")
					return
				}
				e := wantAs[*async.ConnectError](t, "Connect", err)
				if e.Attempts != tt.attempts || e.Stage != async.StageConnection || e.Address != "/run/vm1" {
					t.Errorf("Connect: got %d attempts, stage %q, address %q, want %d, %q, /run/vm1", e.Attempts, e.Stage, e.Address, tt.attempts, async.StageConnection)
				}
				wantIs(t, "Connect", err, tt.errs...)
				wantText(t, "Connect", err, "vm1", "/run/vm1")
				if tt.attempts > 1 {
					wantText(t, "Connect", err, fmt.Sprintf("%d attempts", tt.attempts))
				}
				wantTransitions(t, w, "IDLE CONNECTING DISCONNECTING IDLE")
			})
		})
	}
}

// The context ends during a dial. The error still matches the error of the dial
// before it.
func TestE14LastDialErrorIsKept(t *testing.T) {
	t.Parallel()
	why := errors.New("the user canceled")
	for _, stubborn := range []bool{false, true} { // the Dialer returns an error of its own when its context ends
		t.Run(fmt.Sprintf("stubborn=%v", stubborn), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				dials := 0
				c := newClient(t, &async.Options{
					Backoff: async.Every(time.Second),
					Dialer: func(ctx context.Context) (net.Conn, error) {
						if dials++; dials < 3 {
							return nil, errNoServer
						}
						<-ctx.Done()
						if stubborn {
							return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
						}
						return nil, ctx.Err()
					},
				})
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, why)
				defer cancel()
				err := c.Connect(ctx, "")
				wantIs(t, "Connect", err, context.DeadlineExceeded, why, syscall.ECONNREFUSED)
				if e := wantAs[*async.ConnectError](t, "Connect", err); e.Attempts != 3 {
					t.Errorf("Connect: got %d attempts, want 3", e.Attempts)
				}
				wantText(t, "Connect", err, "refused", "3 attempts")
			})
		})
	}
}

// hasty is a context whose Deadline is one second before its end.
type hasty struct{ context.Context }

func (h hasty) Deadline() (time.Time, bool) {
	deadline, ok := h.Context.Deadline()
	return deadline.Add(-time.Second), ok
}

// A dial reads the deadline itself and gives up before the context ends. The
// error still matches the context's error, and the error of the dial before it.
func TestE14DialThatGivesUpBeforeItsContext(t *testing.T) {
	t.Parallel()
	why := errors.New("the user canceled")
	bubble(t, func(t *testing.T) {
		dials := 0
		c := newClient(t, &async.Options{
			Backoff: async.Every(time.Second),
			Dialer: func(ctx context.Context) (net.Conn, error) {
				if dials++; dials < 3 {
					return nil, errNoServer
				}
				deadline, _ := ctx.Deadline()
				time.Sleep(time.Until(deadline))
				return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
			},
		})
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, why)
		defer cancel()
		err := c.Connect(hasty{ctx}, "")
		wantIs(t, "Connect", err, context.DeadlineExceeded, why, syscall.ECONNREFUSED)
	})
}

// The policy is for dialing only: the handshake is never repeated.
func TestE14HandshakeIsNotRepeated(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, qmptest.HangUp())
		dials := 0
		c := newClient(t, &async.Options{
			Backoff: async.Every(time.Second),
			Dialer: func(ctx context.Context) (net.Conn, error) {
				if dials++; dials == 1 {
					return nil, errNoSocket
				}
				return p.Dial(ctx)
			},
		})
		err := c.Connect(t.Context(), "")
		wantIs(t, "Connect", err, io.EOF)
		if e := wantAs[*async.ConnectError](t, "Connect", err); e.Stage != async.StageSession || e.Attempts != 2 || dials != 2 {
			t.Errorf("Connect: got stage %q, %d attempts, %d dials, want %q, 2, 2", e.Stage, e.Attempts, dials, async.StageSession)
		}
	})
}

// Each Connect begins with a new policy.
func TestE14PolicyIsPerConnect(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		made := 0
		c := newClient(t, &async.Options{
			Backoff: func() async.Backoff {
				made++
				return backoff.WithMaxRetries(doubling(), 2)
			},
			Dialer: dialling(nil, errNoSocket),
		})
		for i := range 3 {
			begin := time.Now()
			e := wantAs[*async.ConnectError](t, "Connect", c.Connect(t.Context(), ""))
			if took := time.Since(begin); took != 3*time.Second || e.Attempts != 3 || made != i+1 {
				t.Errorf("Connect no. %d: took %v and %d attempts, and made %d policies so far, want 3s, 3 attempts and a new policy", i+1, took, e.Attempts, made)
			}
		}
	})
}

// Disconnect and Close end the wait at once.
func TestE14WaitIsCalledOff(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*async.Client) error{
		"Disconnect": func(c *async.Client) error { return c.Disconnect(context.Background()) },
		"Close":      (*async.Client).Close,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				c := newClient(t, &async.Options{
					Backoff: async.Every(time.Hour),
					Dialer:  dialling(nil, errNoSocket),
				})
				failed := do(func() error { return c.Connect(t.Context(), "") })
				synctest.Wait()
				wantState(t, c, async.Connecting)
				begin := time.Now()
				wantNil(t, name, end(c))
				wantState(t, c, async.Idle)
				wantIs(t, "Connect", <-failed, async.ErrClosed, os.ErrNotExist)
				if took := time.Since(begin); took != 0 {
					t.Errorf("%s: took %v, want no time", name, took)
				}
			})
		})
	}
}

// stepsPolicy calls a function between two dials. That is how the test knows
// that a dial has failed.
type stepsPolicy []func()

func (s *stepsPolicy) Reset() {}
func (s *stepsPolicy) NextBackOff() time.Duration {
	if len(*s) == 0 {
		return backoff.Stop
	}
	(*s)[0]()
	*s = (*s)[1:]
	return 0
}

// The system's own errors for a socket that is not there yet, and for a socket
// at which nobody listens.
func TestE14RealSocket(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		qemutest.Unsupported(t, "a unix socket's file cannot be moved there")
	}
	s := qmptest.Start(t, nil)
	path := socketPath(t)
	policy := &stepsPolicy{
		func() { qemutest.StaleSocket(t, path) },
		func() {
			if err := os.Rename(s.Addr(), path); err != nil {
				t.Error(err)
			}
		},
	}
	c := newClient(t, &async.Options{Backoff: func() async.Backoff { return policy }})
	wantNil(t, "Connect", c.Connect(t.Context(), path))
	if len(*policy) != 0 {
		t.Errorf("connected with %d steps of the policy left, want none", len(*policy))
	}
	execute(t, c, "stop", "{}")
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))

	e := wantAs[*async.ConnectError](t, "Connect", c.Connect(t.Context(), filepath.Join(path, "x")))
	if e.Attempts != 1 { // a path through a file that is not a directory will never exist
		t.Errorf("Connect to a path that cannot be: got %d attempts, want 1 (%v)", e.Attempts, e)
	}
}

// Every dials again after the same time, as long as the context allows.
// Exponential waits longer each time, up to its bound, and as long as the
// context allows.
func TestE14OwnPolicies(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		policy   func() async.Backoff
		low, top time.Duration // of each wait
		grows    bool
	}{
		"Every":       {async.Every(3 * time.Second), 3 * time.Second, 3 * time.Second, false},
		"Exponential": {async.Exponential(), 25 * time.Millisecond, 7500 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				for range 2 { // each Connect begins with the first wait
					var dials []time.Time
					c := newClient(t, &async.Options{Backoff: tt.policy, Dialer: func(context.Context) (net.Conn, error) {
						dials = append(dials, time.Now())
						return nil, errNoSocket
					}})
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					err := c.Connect(ctx, "")
					cancel()
					wantIs(t, "Connect", err, os.ErrNotExist, context.DeadlineExceeded)
					for i := 1; i < len(dials); i++ {
						if wait := dials[i].Sub(dials[i-1]); wait < tt.low || wait > tt.top {
							t.Errorf("wait %d: got %v, want %v to %v", i, wait, tt.low, tt.top)
						}
					}
					first, last := dials[1].Sub(dials[0]), dials[len(dials)-1].Sub(dials[len(dials)-2])
					if grew := last >= 10*first; grew != tt.grows {
						t.Errorf("the first wait was %v, the last %v", first, last)
					}
				}
			})
		})
	}
}

// A Backoff that returns nil is like no Backoff: the client dials once.
func TestE14NilPolicyDialsOnce(t *testing.T) {
	t.Parallel()
	dials := 0
	c := newClient(t, &async.Options{
		Backoff: func() async.Backoff { return nil },
		Dialer: func(context.Context) (net.Conn, error) {
			dials++
			return nil, syscall.ECONNREFUSED
		},
	})
	wantIs(t, "Connect", c.Connect(t.Context(), ""), syscall.ECONNREFUSED)
	if dials != 1 {
		t.Errorf("it dialed %d times, want once", dials)
	}
}
