// Tests of rule E11 (Disconnect always completes): the cause that Disconnect returns,
// and the other errors that are attached to it.
// The code that they hold: disconnect.go, end.go and session.go.
package async_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// Where one thing fails, Disconnect returns that error itself. Where several
// things fail, the root cause comes first and the other errors follow, all on
// one line. errors.Is finds each of them.
func TestE11FurtherErrorsAreAttached(t *testing.T) {
	t.Parallel()
	type cut struct{ error }
	broken := cut{errors.New("the cable is cut")}
	stuck := &os.PathError{Op: "close", Path: "socket", Err: syscall.EIO}
	tests := []struct {
		name        string
		steps       []qmptest.Step
		write, shut error
		canceled    bool // the context of Disconnect has ended before
		want        []error
	}{
		{name: "orderly", steps: connected("")},
		{name: "close fails", steps: connected(""), shut: stuck, want: []error{stuck}},
		{name: "end of file", steps: connected("", qmptest.Pause(time.Second), qmptest.HangUp()), want: []error{io.EOF}},
		{name: "end of file, close fails", steps: connected("", qmptest.Pause(time.Second), qmptest.HangUp()), shut: stuck, want: []error{io.EOF, stuck}},
		{name: "write fails", steps: connected("", qmptest.Stall()), write: broken, want: []error{broken}},
		{name: "write and close fail", steps: connected("", qmptest.Stall()), write: broken, shut: stuck, want: []error{broken, stuck}},
		{
			name: "write fails, end of file", steps: connected("", qmptest.Pause(time.Second/2), qmptest.HangUp()),
			write: broken, want: []error{io.EOF, broken},
		},
		{
			name: "write fails, reset, close fails", steps: connected("", qmptest.Pause(time.Second/2), qmptest.Reset()),
			write: broken, shut: stuck, want: []error{syscall.ECONNRESET, broken, stuck},
		},
		{
			name: "write fails, context ends, close fails", steps: connected("", qmptest.Stall()),
			write: broken, shut: stuck, canceled: true, want: []error{context.Canceled, broken, stuck},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, tt.steps...)
				fail := failWritesFrom(1, tt.write)
				c := dial(t, p, &async.Options{Dialer: rig(p, func(conn net.Conn) net.Conn {
					if tt.write != nil {
						conn = fail(conn)
					}
					if tt.shut != nil {
						conn = &rigged{Conn: conn, close: func() error { return tt.shut }}
					}
					return conn
				})})
				var victim error
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				switch {
				case tt.canceled:
					call := start(t.Context(), c, async.Command{Name: "victim"})
					synctest.Wait()
					cancel()
					err := c.Disconnect(ctx)
					victim = (<-call).err
					checkAttached(t, err, tt.want)
				default:
					if tt.write != nil {
						_, victim = c.Execute(t.Context(), "victim", nil)
					}
					if len(tt.want) > 0 && tt.want[0] != stuck {
						time.Sleep(time.Minute)
					}
					checkAttached(t, c.Disconnect(ctx), tt.want)
				}
				if tt.write != nil {
					wantAs[*async.ExecInterruptedError](t, "victim", victim)
					wantAs[cut](t, "victim", victim)
				}
				wantNil(t, "a later Disconnect", c.Disconnect(t.Context()))
				wantState(t, c, async.Idle)
			})
		})
	}
}

// checkAttached checks that err consists of want, in that order.
func checkAttached(t testing.TB, err error, want []error) {
	t.Helper()
	switch len(want) {
	case 0:
		wantNil(t, "Disconnect", err)
		return
	case 1:
		if err != want[0] {
			t.Errorf("Disconnect: got %v (%T), want %v itself", err, err, want[0])
		}
		return
	}
	all := wantAs[*multierror.Error](t, "Disconnect", err)
	if len(all.Errors) != len(want) {
		t.Errorf("Disconnect: got %d errors (%v), want %d", len(all.Errors), err, len(want))
	}
	for i, part := range all.Errors[:min(len(want), len(all.Errors))] {
		if !errors.Is(part, want[i]) {
			t.Errorf("Disconnect: error no. %d is %v, want %v", i+1, part, want[i])
		}
	}
	wantIs(t, "Disconnect", err, want...)
	for _, e := range want {
		wantText(t, "Disconnect", err, e.Error()) // one line, with all of them
	}
}

// After a failed write the reader reads on. A reply that is on its way is
// delivered, and the cause is what the reader finds at the end of the stream.
func TestE11ReaderReadsOnBehindAFailedWrite(t *testing.T) {
	t.Parallel()
	broken := errors.New("the cable is cut")
	tests := []struct {
		name  string
		steps []qmptest.Step // after the first command
		took  time.Duration
		reply bool
		want  []error
	}{
		{name: "reply and end", steps: []qmptest.Step{qmptest.Return(`"first"`), qmptest.HangUp()}, reply: true, want: []error{io.EOF, broken}},
		{name: "late reply and end", steps: []qmptest.Step{
			qmptest.Pause(900 * time.Millisecond), qmptest.Return(`"first"`), qmptest.Pause(50 * time.Millisecond), qmptest.HangUp(),
		}, took: 950 * time.Millisecond, reply: true, want: []error{io.EOF, broken}},
		{name: "reply and reset", steps: []qmptest.Step{qmptest.Return(`"first"`), qmptest.Reset()}, reply: true, want: []error{syscall.ECONNRESET, broken}},
		{name: "reply, and no end", steps: []qmptest.Step{qmptest.Return(`"first"`), qmptest.Stall()}, took: time.Second, reply: true, want: []error{broken}},
		{name: "no reply, and no end", steps: []qmptest.Step{qmptest.Stall()}, took: time.Second, want: []error{broken}},
		{
			name: "events without end", steps: append(slices.Repeat([]qmptest.Step{qmptest.Event("E", ""), qmptest.Pause(300 * time.Millisecond)}, 20), qmptest.Stall()),
			took: time.Second, want: []error{broken},
		},
		{name: "too late a reply", steps: []qmptest.Step{qmptest.Pause(2 * time.Second), qmptest.Return(`"first"`), qmptest.Stall()}, took: time.Second, want: []error{broken}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, connected("", append([]qmptest.Step{qmptest.Expect("first"), qmptest.AwaitMark("go on")}, tt.steps...)...)...)
				c := dial(t, p, &async.Options{Dialer: rig(p, failWritesFrom(2, broken))})
				w := c.WatchRunstate()
				defer w.Close()
				first := start(t.Context(), c, async.Command{Name: "first"})
				synctest.Wait()
				begin := time.Now()
				second := start(t.Context(), c, async.Command{Name: "second"})
				synctest.Wait()
				wantState(t, c, async.Running) // it has not ended yet
				third := start(t.Context(), c, async.Command{Name: "third"})
				synctest.Wait()
				p.Mark("go on")
				if err := (<-second).err; err != nil {
					wantIs(t, "second", err, tt.want...)
				} else {
					t.Error("second: got no error")
				}
				if took := time.Since(begin); took != tt.took {
					t.Errorf("the end: took %v, want %v", took, tt.took)
				}
				wantInterrupted(t, "third", (<-third).err, false, tt.want...) // nothing is written after half a message
				got := <-first
				if tt.reply {
					wantValue(t, "first", got.value, got.err, `"first"`)
				} else {
					wantInterrupted(t, "first", got.err, true, tt.want...)
				}
				wantState(t, c, async.Disconnecting)
				checkAttached(t, c.Disconnect(t.Context()), tt.want)
			})
		})
	}
}

// An orderly end of a connection that has been closed already is not an error.
func TestE11ClosingWhatIsClosed(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("")...)
	c := dial(t, p, &async.Options{Dialer: rig(p, func(conn net.Conn) net.Conn {
		return &rigged{Conn: conn, close: func() error { return &net.OpError{Op: "close", Err: net.ErrClosed} }}
	})})
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
}
