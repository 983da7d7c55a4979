package qmpsync_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	qmpsync "github.com/goqmp/qmp/sync"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handshake returns a script that begins with greeting and negotiation.
func handshake(steps ...qmptest.Step) []qmptest.Step {
	return append([]qmptest.Step{
		qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`),
	}, steps...)
}

// scripted returns a client whose Connect reaches the script, in memory.
func scripted(t *testing.T, opts *qmpsync.Options, steps ...qmptest.Step) *qmpsync.Client {
	t.Helper()
	return dialing(t, opts, qmptest.ScriptMemory(t, steps...))
}

// dialing returns a client whose Connect calls dial.
func dialing(t *testing.T, opts *qmpsync.Options, dial func(context.Context) (net.Conn, error)) *qmpsync.Client {
	t.Helper()
	if opts == nil {
		opts = &qmpsync.Options{}
	}
	o := *opts
	o.Async.Dialer = dial
	c := qmpsync.New(&o)
	t.Cleanup(func() { c.Close() })
	return c
}

// connected returns a client that has connected to a server which negotiates and
// then follows the script, in memory.
func connected(t *testing.T, opts *qmpsync.Options, steps ...qmptest.Step) *qmpsync.Client {
	t.Helper()
	c := scripted(t, opts, handshake(steps...)...)
	if err := c.Connect("script"); err != nil {
		t.Fatal(err)
	}
	return c
}

// wantTimeout requires err to be a TimeoutError with the limit d, which also matches
// the two errors of the standard library.
func wantTimeout(t *testing.T, err error, d time.Duration) {
	t.Helper()
	var limit *async.TimeoutError
	if !errors.As(err, &limit) || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want an async.TimeoutError that matches the standard library's", err)
	}
	if limit.Limit != d {
		t.Errorf("%v: names the limit %v, want %v", err, limit.Limit, d)
	}
}

// wantState requires err to be a StateError of these two states.
func wantState(t *testing.T, err error, state, required async.Runstate) {
	t.Helper()
	var wrong *async.StateError
	if !errors.As(err, &wrong) {
		t.Fatalf("error %v, want an async.StateError", err)
	}
	if wrong.State != state || wrong.Required != required {
		t.Errorf("%v: names %v and %v, want %v and %v", err, wrong.State, wrong.Required, state, required)
	}
}

// wantRunstate requires the client to be in a state.
func wantRunstate(t *testing.T, c *qmpsync.Client, state async.Runstate) {
	t.Helper()
	if got := c.Runstate(); got != state {
		t.Errorf("client is %v, want %v", got, state)
	}
}
