// Tests of rule E11 (Disconnect always completes): the end of a connection
// matches the same errors, whichever side notices it first.
// The code that they hold: disconnect.go and session.go.
package async_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A write fails because the peer has gone. Then this side ends the connection,
// in each way and at each moment before the reader finds the end of file, or
// the reader finds it first.
func TestE11AFailedWriteShowsTheEnd(t *testing.T) {
	t.Parallel()
	pipe := &net.OpError{Op: "write", Net: "unix", Err: os.NewSyscallError("write", syscall.EPIPE)}
	reset := &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.ECONNRESET)}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, write := range []struct {
		err  error
		want error
	}{{pipe, io.EOF}, {io.ErrClosedPipe, io.EOF}, {reset, syscall.ECONNRESET}} {
		for _, tt := range []struct {
			name  string
			steps []qmptest.Step
			end   func(c *async.Client) error
			want  []error
		}{
			{"Close", []qmptest.Step{qmptest.Stall()}, (*async.Client).Close, nil},
			{"Disconnect", []qmptest.Step{qmptest.Stall()}, func(c *async.Client) error { return c.Disconnect(context.Background()) }, nil},
			{"Disconnect, ended context", []qmptest.Step{qmptest.Stall()}, func(c *async.Client) error { return c.Disconnect(ended) }, []error{context.Canceled}},
			{"nothing for a second", []qmptest.Step{qmptest.Stall()}, func(c *async.Client) error {
				time.Sleep(time.Minute)
				return c.Close()
			}, nil},
			{"the reader", []qmptest.Step{qmptest.Pause(time.Second / 2), qmptest.HangUp()}, func(c *async.Client) error {
				time.Sleep(time.Minute)
				return c.Close()
			}, nil},
		} {
			t.Run(fmt.Sprintf("%v/%s", write.err, tt.name), func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					p := memory(t, connected("", tt.steps...)...)
					c := dial(t, p, &async.Options{Dialer: rig(p, failWritesFrom(1, write.err))})
					victim := start(t.Context(), c, async.Command{Name: "victim"})
					synctest.Wait()
					err := tt.end(c)
					want := append([]error{write.want, write.err}, tt.want...)
					if tt.name == "the reader" {
						want = append(want, io.EOF)
					}
					wantIs(t, "the end", err, want...)
					wantIs(t, "victim", (<-victim).err, write.want, write.err)
					if !async.HungUp(err) {
						t.Errorf("HungUp(%v) is false", err)
					}
				})
			})
		}
	}
}

// The reader may find a broken pipe itself: over TCP a read returns it where a
// reset follows an end of file.
func TestE11ABrokenPipeIsAnEndOfFile(t *testing.T) {
	t.Parallel()
	client, server := qmptest.Pipe()
	defer server.Close()
	c := newClient(t, &async.Options{SkipGreeting: true, SkipNegotiation: true})
	w := c.WatchRunstate()
	attached := make(chan struct{})
	wantNil(t, "Attach", c.Attach(t.Context(), brokenReader{client, attached}))
	close(attached)
	awaitState(t, w, async.Disconnecting)
	wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF, syscall.EPIPE)
}

// brokenReader is a connection whose Read returns a broken pipe, once attached is
// closed: an end that comes earlier makes Attach fail.
type brokenReader struct {
	net.Conn
	attached <-chan struct{}
}

func (r brokenReader) Read([]byte) (int, error) {
	<-r.attached
	return 0, os.NewSyscallError("read", syscall.EPIPE)
}

// The peer of a real socket has gone, and a write or this side's Close finds
// that out, at a moment that is not controlled. The errors match the same as in
// memory.
func TestE11OneShapeOverRealSockets(t *testing.T) {
	t.Parallel()
	met := 0
	for i := range 300 {
		near, far := realPair(t, i%2 == 0)
		c := newClient(t, &async.Options{SkipGreeting: true, SkipNegotiation: true})
		wantNil(t, "Attach", c.Attach(t.Context(), near))
		far.Close()
		call := start(t.Context(), c, async.Command{Name: "x"})
		spin(i % 8)
		err := c.Close()
		result := (<-call).err
		if err != nil {
			met++
			if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) || !async.HungUp(err) {
				t.Fatalf("round %d: Close returned %v, which is neither an end of file nor a reset", i, err)
			}
		}
		if _, late := errors.AsType[*async.StateError](result); !late && !async.HungUp(result) && !errors.Is(result, async.ErrClosed) {
			t.Fatalf("round %d: the command ended with %v", i, result)
		}
	}
	t.Logf("Close met the peer's end in %d of 300 rounds", met)
}

func TestHungUp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{async.ErrClosed, false},
		{context.DeadlineExceeded, false},
		{io.EOF, true},
		{syscall.ECONNRESET, true},
		{os.NewSyscallError("write", syscall.EPIPE), true},
		{&async.ExecInterruptedError{Err: io.EOF}, true},
		{&async.ExecInterruptedError{Err: async.ErrClosed}, false},
		{&async.StateError{Cause: io.EOF}, true},
		{&async.StateError{}, false},
		{&async.ConnectError{Err: io.EOF}, true},
		{&async.MessageError{Reason: async.Truncated, Err: io.ErrUnexpectedEOF}, true},
		{&async.MessageError{Reason: async.NotJSON, Err: errors.New("x")}, false},
		{&async.ServerParseError{}, false},
	} {
		if got := async.HungUp(tt.err); got != tt.want {
			t.Errorf("HungUp(%v): got %v, want %v", tt.err, got, tt.want)
		}
	}
}
