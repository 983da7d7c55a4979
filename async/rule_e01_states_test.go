// Tests of rule E1 (run states): a call in the wrong state is a StateError and changes
// nothing.
// The code that they hold: stage.go, attempt.go and errors.go (StateError).
package async_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// Every call, in every state that does not allow it, is a StateError.
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
		{"dialing", async.Connecting, func(t *testing.T) *async.Client {
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
		allowed  string // the name of the state that allows the call
		call     func(t *testing.T, c *async.Client) error
	}{
		{"connect", async.Idle, "idle", func(t *testing.T, c *async.Client) error { return c.Connect(t.Context(), "x") }},
		{"connect", async.Idle, "idle", func(t *testing.T, c *async.Client) error {
			conn, other := qmptest.Pipe()
			defer conn.Close()
			defer other.Close()
			err := c.Attach(t.Context(), conn)
			if _, writeErr := conn.Write([]byte("x")); writeErr != nil {
				t.Errorf("Attach in the wrong state has closed the connection: %v", writeErr)
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

// A StateError tells the caller what to do.
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
		{async.Connecting, async.Idle, "call Close to cancel it"},
		{async.Running, async.Idle, "call Close first"},
		{async.Disconnecting, async.Running, "call Close to collect the cause"},
		{async.Disconnecting, async.Idle, "call Close to collect the cause"},
	} {
		err := &async.StateError{Op: "do", State: tt.state, Required: tt.required}
		wantText(t, "advice", err, "qmp: do: client is "+tt.state.String()+", needs to be "+tt.required.String(), tt.advice)
	}
	wantText(t, "advice", &async.StateError{State: async.Disconnecting, Required: async.Running, Cause: io.EOF}, "the connection has ended (EOF), call Close")
	if got := async.Runstate(9).String(); got != "Runstate(9)" {
		t.Errorf("String of a value that is not a state: got %q", got)
	}
}

// After a connection has ended, every call returns a StateError with the cause
// of the end, until Disconnect has collected the cause.
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
