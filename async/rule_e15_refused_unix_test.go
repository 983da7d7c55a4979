//go:build unix

// Tests of rule E15 (descriptors travel with the command that needs them): files that
// cannot be sent.
// The code that they hold: files.go, call.go and internal/socket.
package async_test

import (
	"fmt"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A file that cannot be sent fails its own call only.
func TestE15BadFiles(t *testing.T) {
	t.Parallel()
	good := os.Stdin
	closed := fileWith(t, "")
	closed.Close()
	stale := os.NewFile(1<<30, "stale") // a number that belongs to no descriptor

	for _, tt := range []struct {
		name  string
		files []*os.File
		also  error
	}{
		{"nil", []*os.File{nil}, nil},
		{"closed", []*os.File{closed}, os.ErrClosed},
		{"stale", []*os.File{stale}, nil},
		{"nil after a good one", []*os.File{good, nil}, nil},
		{"closed after a good one", []*os.File{good, good, closed, good}, os.ErrClosed},
		{"stale before a good one", []*os.File{stale, good}, nil},
	} {
		for _, capability := range []string{"", "oob"} {
			t.Run(tt.name+"/capabilities="+capability, func(t *testing.T) {
				t.Parallel()
				p := play(t, qmptest.ScriptOptions{}, connected(capability,
					qmptest.ExpectWithFDs("after", 1), qmptest.Return(`{}`))...)
				c := newClient(t, nil)
				wantNil(t, "Connect", c.Connect(t.Context(), p.Addr()))
				check := func(what string, err error) {
					t.Helper()
					if e := wantAs[*async.MessageError](t, what, err); e.Reason != async.Refused {
						t.Errorf("%s: got Reason %q, want %q", what, e.Reason, async.Refused)
					}
					wantIs(t, what, err, unix.EBADF)
					if tt.also != nil {
						wantIs(t, what, err, tt.also)
					}
					wantText(t, what, err, "not sent")
				}
				for range 10 { // more often than the window has places
					_, err := c.Do(t.Context(), async.Command{Name: "victim", Files: tt.files})
					check("victim", err)
					_, err = c.Do(t.Context(), async.Command{Name: "victim", ID: "mine", Files: tt.files})
					check("victim with an id", err)
					check("SendFiles", c.SendFiles(t.Context(), tt.files...))
				}
				wantState(t, c, async.Running)
				wantNothingPending(t, c)
				_, err := c.Do(t.Context(), async.Command{Name: "after", Files: []*os.File{good}})
				wantNil(t, "after", err)
			})
		}
	}
}

// A file that cannot be sent fails its own call only, also where the message
// waits for room in the socket.
func TestE15BadFileInABlockedWrite(t *testing.T) {
	t.Parallel()
	closed := fileWith(t, "")
	closed.Close()
	c, conn, p := cramped(t, nil, connected("oob", qmptest.AwaitMark("read on"), qmptest.ExpectWithFDs("after", 0), qmptest.Return(`{}`))...)
	fill(t, conn)
	victim := start(t.Context(), c, async.Command{Name: "victim", Files: []*os.File{closed}})
	sent := do(func() error { return c.SendFiles(t.Context(), closed) })
	p.Mark("read on")
	wantIs(t, "victim", (<-victim).err, unix.EBADF)
	wantIs(t, "SendFiles", <-sent, unix.EBADF)
	execute(t, c, "after", "{}")
}

func TestE15TooManyFiles(t *testing.T) {
	t.Parallel()
	const most = 253 // what one message carries on Linux (unix(7), SCM_RIGHTS)
	p := play(t, qmptest.ScriptOptions{}, connected("oob",
		qmptest.ExpectWithFDs("most", most), qmptest.Return(`{}`),
		qmptest.ExpectWithFDs("after", 0), qmptest.Return(`{}`))...)
	c := newClient(t, nil)
	wantNil(t, "Connect", c.Connect(t.Context(), p.Addr()))
	for _, n := range []int{most + 1, 1000, 20_000} {
		files := slices.Repeat([]*os.File{os.Stdin}, n)
		_, err := c.Do(t.Context(), async.Command{Name: "victim", Files: files})
		for what, err := range map[string]error{"victim": err, "SendFiles": c.SendFiles(t.Context(), files...)} {
			wantAs[*async.MessageError](t, what, err)
			wantText(t, what, err, "not sent", fmt.Sprint(n), "253")
		}
	}
	wantNothingPending(t, c)
	_, err := c.Do(t.Context(), async.Command{Name: "most", Files: slices.Repeat([]*os.File{os.Stdin}, most)})
	wantNil(t, "most", err)
	execute(t, c, "after", "{}")
}

// Where the connection cannot carry descriptors, nothing is sent, and the error
// says that it takes a unix socket.
func TestE15OnlyOverUnixSockets(t *testing.T) {
	t.Parallel()
	for _, network := range []string{qmptest.TCP, qmptest.Memory} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			p := play(t, qmptest.ScriptOptions{Network: network}, connected("oob", qmptest.Expect("after"), qmptest.Return(`{}`))...)
			c := dial(t, p, nil)
			if c.CanSendFiles() {
				t.Errorf("CanSendFiles over %s: got true", network)
			}
			_, err := c.Do(t.Context(), async.Command{Name: "victim", Files: []*os.File{os.Stdin}})
			for what, err := range map[string]error{"victim": err, "SendFiles": c.SendFiles(t.Context(), os.Stdin)} {
				if e := wantAs[*async.MessageError](t, what, err); e.Reason != async.Refused {
					t.Errorf("%s: got Reason %q, want %q", what, e.Reason, async.Refused)
				}
				wantText(t, what, err, "unix socket")
			}
			execute(t, c, "after", "{}")
		})
	}
}

// A connection embeds a socket and has its own Write method. The engine calls
// that Write, so the connection takes no descriptors.
func TestE15EmbeddedSocketWritesByItself(t *testing.T) {
	t.Parallel()
	client, conn := socketPair(t)
	server := newTokenServer(conn, "")
	go server.serve()
	e := &embedding{UnixConn: client}
	c := newClient(t, nil)
	wantNil(t, "Attach", c.Attach(t.Context(), e))
	execute(t, c, "x", `"x"`)
	if n := e.written.Load(); n != 2 {
		t.Errorf("its own Write was called %d times, want twice", n)
	}
	_, err := c.Do(t.Context(), async.Command{Name: "y", Files: []*os.File{os.Stdin}})
	wantAs[*async.MessageError](t, "y", err)
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	server.wait()
}

// embedding is a connection that embeds a socket and counts the calls of its
// own Write.
type embedding struct {
	*net.UnixConn
	written atomic.Int32
}

func (e *embedding) Write(p []byte) (int, error) {
	e.written.Add(1)
	return e.UnixConn.Write(p)
}
