package agent_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/qapi/qga"
)

// reconnecting returns options for a client that connects again by itself.
func reconnecting(dial func(context.Context) (net.Conn, error)) *agent.Options {
	opts := over(dial)
	opts.Engine.Backoff = async.Every(time.Second)
	opts.Engine.Reconnect = &async.Reconnect{}
	return opts
}

// The client connects again by itself, and resynchronizes. It asks what the agent offers,
// and then calls the caller's OnConnect.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		newer := `{"version": "10.0.0", "supported_commands": [{"name": "guest-get-time", "enabled": true, "success-response": true}]}`
		steps := append(informed(), qmptest.Expect("guest-ping"), qmptest.Return(`{}`), qmptest.Expect("guest-exec"), qmptest.Reset(),
			qmptest.Accept(), synced(`{"return": {"pid": 1}}`+"\n$sync"), qmptest.Expect("guest-info"), qmptest.Return(newer),
			qmptest.Expect("guest-get-time"), qmptest.Return(`1`), // by OnConnect
			qmptest.Expect("guest-get-time"), qmptest.Return(`2`))
		opts := reconnecting(qmptest.ScriptMemory(t, steps...))
		connects := 0
		opts.Engine.Reconnect.OnConnect = func(ctx context.Context, c async.Caller) error {
			if connects++; connects == 1 {
				return qga.GuestPing(ctx, c)
			}
			return second(qga.GuestGetTime(ctx, c))
		}
		a, err := agent.Dial(t.Context(), "", opts)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		err = a.Command(t.Context(), "true").Start()
		if e, ok := errors.AsType[*async.ExecInterruptedError](err); !ok || e.SafeToRetry() || !async.HungUp(err) {
			t.Errorf("got %v", err)
		}
		time.Sleep(2 * time.Second)
		if n, err := qga.GuestGetTime(t.Context(), a); n != 2 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if a.Version() != "10.0.0" || connects != 2 {
			t.Errorf("version %q, %d connects", a.Version(), connects)
		}
	})
}

// What is in doubt on one connection is not on the next one.
func TestReconnectEndsTheDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := append(informed(), qmptest.Expect("guest-ping"), qmptest.Mark("given up"), qmptest.AwaitMark("hang up"), qmptest.HangUp(), qmptest.Accept())
		steps = append(append(steps, informed()...), qmptest.Expect("guest-ping"), qmptest.Return(`{}`))
		p := qmptest.Play(t, &qmptest.ScriptOptions{Network: qmptest.Memory}, steps...)
		a, err := agent.Dial(t.Context(), "", reconnecting(p.Dial))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if err := qga.GuestPing(within(t, time.Second), a); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		p.Mark("hang up")
		time.Sleep(3 * time.Second)
		if err := qga.GuestPing(t.Context(), a); err != nil {
			t.Error(err)
		}
	})
}

// A program goes on while the connection is lost.
func TestReconnectWhileAProgramRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := append(informed(), qmptest.Expect("guest-exec"), qmptest.Return(`{"pid": 17}`),
			qmptest.Expect("guest-exec-status"), qmptest.Return(`{"exited": false}`), qmptest.Expect("guest-exec-status"), qmptest.HangUp(), qmptest.Accept())
		steps = append(append(steps, informed()...), qmptest.Expect("guest-exec-status"), qmptest.Return(`{"exited": true, "exitcode": 0, "out-data": "aGk="}`))
		a, err := agent.Dial(t.Context(), "", reconnecting(qmptest.ScriptMemory(t, steps...)))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if out, err := a.Command(t.Context(), "echo", "hi").Output(); string(out) != "hi" || err != nil {
			t.Errorf("got %q, %v", out, err)
		}
	})
}

// The connection ends while file systems are frozen. The client connects again and thaws.
func TestReconnectThaws(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFreezer(t)
		var last net.Conn
		a, err := agent.Dial(t.Context(), "", reconnecting(func(ctx context.Context) (net.Conn, error) {
			conn, err := f.Dial(ctx)
			last = conn
			return conn, err
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		err = a.Freeze(t.Context(), nil, func(ctx context.Context) error {
			last.(*qmptest.PipeConn).Reset()
			<-ctx.Done()
			time.Sleep(5 * time.Second)
			if n := f.state(); n != 0 {
				t.Errorf("%d file systems are frozen", n)
			}
			return nil
		})
		if !errors.As(err, new(*agent.LeaseError)) || errors.As(err, new(*agent.ThawError)) {
			t.Errorf("got %v", err)
		}
		if err := qga.GuestPing(t.Context(), a); err != nil {
			t.Error(err)
		}
	})
}

// The first connect fails if the agent does not answer guest-info.
func TestReconnectFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := within(t, 10*time.Second)
		_, err := agent.Dial(ctx, "", reconnecting(qmptest.Play(t, &qmptest.ScriptOptions{Network: qmptest.Memory, MayStop: true}, synced("$sync"), qmptest.Expect("guest-info"), qmptest.Stall()).Dial))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
