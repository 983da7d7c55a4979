// Tests of rule E10 (any bytes are safe) with a whole recorded session, the
// handshake included.
// The code that they hold: receive.go and session.go.
package async_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// replay returns a Dialer. On its connections a server sends the parts, and
// hangs up after the last one, or when the client hangs up.
func replay(parts []string) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		client, server := qmptest.Pipe()
		go func() {
			defer server.Close()
			buf := make([]byte, 4096)
			for i, part := range parts {
				if i > 0 {
					if _, err := server.Read(buf); err != nil {
						return
					}
				}
				if _, err := server.Write([]byte(part)); err != nil {
					return
				}
			}
		}()
		return client, nil
	}
}

// The recorded session is cut at each byte, or has another character there.
// Every call ends, at the latest with its context, and with an error of the
// documented tree. The connection ends too.
func TestE10RecordedSessionDamagedAtEachByte(t *testing.T) {
	t.Parallel()
	damages := map[string]func(part string, k int) (string, bool){
		"cut": func(part string, k int) (string, bool) { return part[:k], false },
	}
	for _, c := range []string{"\x00", "\xff", "\"", "\\", "{", "}", "]", ",", "9", " "} {
		damages[fmt.Sprintf("%q", c)] = func(part string, k int) (string, bool) { return part[:k] + c + part[k+1:], true }
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, part := range recorded {
				for k := range part {
					parts := append([]string(nil), recorded[:i+1]...)
					var whole bool
					if parts[i], whole = damage(part, k); whole {
						parts = append(parts, recorded[i+1:]...)
					}
					bubble(t, func(t *testing.T) { survive(t, fmt.Sprintf("byte %d of part %d", k, i), parts) })
				}
			}
		})
	}
}

// survive connects a client to a server that sends the damaged parts, and calls
// its methods.
func survive(t *testing.T, what string, parts []string) {
	t.Helper()
	c := newClient(t, &async.Options{Dialer: replay(parts)})
	l := c.NewListener(nil)
	defer l.Close()
	within := func(call func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return call(ctx)
	}
	begin := time.Now()
	err := within(func(ctx context.Context) error { return c.Connect(ctx, "") })
	if err != nil {
		if _, ok := err.(*async.ConnectError); !ok {
			t.Errorf("%s: Connect: got error %v (%T), want a ConnectError", what, err, err)
		}
		wantState(t, c, async.Idle)
	}
	for range 3 {
		err := within(func(ctx context.Context) error {
			_, err := c.Execute(ctx, "x", nil)
			return err
		})
		switch {
		case err == nil, isA[*async.ExecuteError](err), isA[*async.BadReplyError](err), isA[*async.ExecInterruptedError](err), isA[*async.StateError](err):
		default:
			t.Errorf("%s: Execute: got error %v (%T), want one of the documented errors", what, err, err)
		}
	}
	for {
		_, ok, err := l.TryNext()
		if !ok && err == nil {
			break
		}
	}
	if err := within(c.Disconnect); errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: Disconnect: %v", what, err)
	}
	wantState(t, c, async.Idle)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("%s: took %v, want 5s at most", what, took)
	}
}

// The recorded session works when it is not damaged.
func TestE10RecordedSession(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := newClient(t, &async.Options{Dialer: replay(recorded)})
		l := c.NewListener(nil)
		connect(t, c)
		execute(t, c, "x", `{"x": -1.5e3}`)
		_, err := c.Execute(t.Context(), "x", nil)
		wantAs[*async.ExecuteError](t, "x", err)
		execute(t, c, "x", `"\u00e9"`)
		var got []string
		for {
			ev, err := l.Next(t.Context())
			if err != nil {
				break
			}
			got = append(got, ev.Name)
		}
		wantNames(t, "the listener", got, "EARLY BETWEEN STOP LATE")
	})
}
