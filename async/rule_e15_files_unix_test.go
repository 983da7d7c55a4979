//go:build unix

// Tests of rule E15 (descriptors travel with the command that needs them).
// The code that they hold: files.go, call.go and write.go.
package async_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// fileWith returns an open file that holds text.
func fileWith(t testing.TB, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// readAll is what a server does with a file: it reads it, and closes it.
func readAll(files []*os.File) (list []string, err error) {
	for _, f := range files {
		text, readErr := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
		list, err = append(list, string(text)), errors.Join(err, readErr, f.Close())
	}
	return list, err
}

// fileServer is a machine whose add-fd says what is in the files that came.
func fileServer(t testing.TB, opts *qmptest.Options) *qmptest.Server {
	t.Helper()
	s := qmptest.Start(t, opts)
	s.Handle("add-fd", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		return readAll(cmd.TakeFiles())
	})
	return s
}

func TestE15FilesArriveWithTheirCommand(t *testing.T) {
	t.Parallel()
	for _, noOOB := range []bool{false, true} {
		t.Run(fmt.Sprintf("NoOOB=%v", noOOB), func(t *testing.T) {
			t.Parallel()
			s := fileServer(t, nil)
			c := newClient(t, &async.Options{NoOOB: noOOB})
			wantNil(t, "Connect", c.Connect(t.Context(), s.Addr()))
			if !c.CanSendFiles() {
				t.Error("CanSendFiles over a unix socket: got false")
			}
			a, b := fileWith(t, "a"), fileWith(t, "b")
			for _, tt := range []struct {
				files []*os.File
				want  string
			}{
				{nil, `null`},
				{[]*os.File{a}, `["a"]`},
				{[]*os.File{b, a}, `["b", "a"]`},
				{[]*os.File{a, a, b}, `["a", "a", "b"]`},
				{nil, `null`},
			} {
				reply, err := c.Do(t.Context(), async.Command{Name: "add-fd", Files: tt.files})
				wantNil(t, "add-fd", err)
				value, err := reply.Value()
				wantValue(t, fmt.Sprintf("add-fd with %d files", len(tt.files)), value, err, tt.want)
			}
			// They are the caller's still: open, at the place where they were.
			for _, f := range []*os.File{a, b} {
				text, err := io.ReadAll(f)
				if err != nil || len(text) != 1 {
					t.Errorf("reading %s behind the call: got %q, %v, want its one byte", f.Name(), text, err)
				}
				wantNil(t, "closing a file behind the call", f.Close())
			}
		})
	}
}

// Sending a pipe's end leaves it non-blocking: its deadlines work on.
func TestE15FilesStayNonBlocking(t *testing.T) {
	t.Parallel()
	addr := play(t, qmptest.ScriptOptions{}, connected("", qmptest.ExpectWithFDs("add-fd", 1), qmptest.Return(`{}`), qmptest.ExpectFDs(1, " "))...).Addr()
	c := newClient(t, nil)
	wantNil(t, "Connect", c.Connect(t.Context(), addr))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	_, err = c.Do(t.Context(), async.Command{Name: "add-fd", Files: []*os.File{r}})
	wantNil(t, "add-fd", err)
	wantNil(t, "SendFiles", c.SendFiles(t.Context(), r))
	wantNil(t, "SetReadDeadline behind the calls", r.SetReadDeadline(time.Unix(1, 0)))
	_, err = r.Read(make([]byte, 1))
	wantIs(t, "Read behind the calls", err, os.ErrDeadlineExceeded)
}

// With oob enabled two in flight would get each other's files. So there is
// never more than one, however many want it; without oob they are pipelined.
func TestE15EachCallerGetsItsOwnFile(t *testing.T) {
	t.Parallel()
	for _, noOOB := range []bool{false, true} {
		t.Run(fmt.Sprintf("NoOOB=%v", noOOB), func(t *testing.T) {
			t.Parallel()
			const callers, rounds = 8, 12
			s := fileServer(t, nil)
			var mu sync.Mutex
			inFlight, most := make(map[string]bool), 0
			id := func(m json.RawMessage) string {
				var v struct{ ID json.RawMessage }
				json.Unmarshal(m, &v)
				return string(v.ID)
			}
			c := newClient(t, &async.Options{
				NoOOB: noOOB,
				OnSend: func(m json.RawMessage) json.RawMessage {
					mu.Lock()
					defer mu.Unlock()
					if bytes.Contains(m, []byte("add-fd")) {
						inFlight[id(m)] = true
						most = max(most, len(inFlight))
					}
					return nil
				},
				OnReceive: func(m json.RawMessage) json.RawMessage {
					mu.Lock()
					defer mu.Unlock()
					delete(inFlight, id(m))
					return nil
				},
			})
			wantNil(t, "Connect", c.Connect(t.Context(), s.Addr()))
			var wg sync.WaitGroup
			for i := range callers {
				text := fmt.Sprint("file of ", i)
				f := fileWith(t, text)
				wg.Go(func() {
					for range rounds {
						reply, err := c.Do(t.Context(), async.Command{Name: "add-fd", Files: []*os.File{f}})
						if err != nil {
							t.Errorf("add-fd: %v", err)
							return
						}
						value, err := reply.Value()
						wantValue(t, "add-fd", value, err, `["`+text+`"]`)
						if _, err := c.Execute(t.Context(), "query-status", nil); err != nil {
							t.Errorf("query-status: %v", err)
						}
					}
				})
			}
			wg.Wait()
			if !noOOB && most != 1 {
				t.Errorf("unanswered commands with files at a time: got %d, want 1", most)
			}
			wantIdleBooks(t, c)
		})
	}
}

// filesOverMemory connects over memory, with descriptors that go nowhere, so
// that a test of them can be in a bubble. sent is told of every write.
func filesOverMemory(t testing.TB, opts async.Options, sent func(b []byte, files []*os.File), steps ...qmptest.Step) *async.Client {
	t.Helper()
	p := memory(t, steps...)
	var conn net.Conn
	opts.Dialer = rig(p, func(c net.Conn) net.Conn {
		conn = c
		return c
	})
	c := dial(t, p, &opts)
	write := func(b []byte, files []*os.File) (int, error) {
		sent(b, files)
		return conn.Write(b)
	}
	async.RigSender(c, async.RiggedSender{Try: write, Send: write})
	return c
}

// An earlier one with descriptors holds up those behind it until it is
// answered, even if it was cancelled; commands without go past.
func TestE15ACancelledOneStillCounts(t *testing.T) {
	t.Parallel()
	for _, oob := range []bool{false, true} { // how the commands are executed
		t.Run(fmt.Sprintf("OOB=%v", oob), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				expect := func(name string) qmptest.Step {
					if oob {
						return qmptest.ExpectOOB(name)
					}
					return qmptest.Expect(name)
				}
				c := filesOverMemory(t, async.Options{}, func([]byte, []*os.File) {}, connected("oob",
					expect("first"),
					qmptest.Expect("without"), qmptest.Return(`{}`),
					qmptest.ExpectNothing(time.Minute),
					qmptest.Return(`"late"`, qmptest.Back(1)),
					expect("second"),
					qmptest.ExpectNothing(time.Minute),
					qmptest.Return(`"second"`),
					expect("third"), qmptest.Return(`"third"`))...)
				files := []*os.File{os.Stdin}
				ctx, cancel := context.WithCancel(t.Context())
				first := start(ctx, c, async.Command{Name: "first", Files: files, OOB: oob})
				synctest.Wait()
				second := start(t.Context(), c, async.Command{Name: "second", Files: files, OOB: oob})
				synctest.Wait()
				third := start(t.Context(), c, async.Command{Name: "third", Files: files, OOB: oob})
				synctest.Wait()
				impatient, stop := context.WithTimeout(t.Context(), time.Second)
				defer stop()
				gaveUp := start(impatient, c, async.Command{Name: "gives-up", Files: files, OOB: oob})
				synctest.Wait()
				cancel()
				wantInterrupted(t, "first", (<-first).err, true, context.Canceled)
				synctest.Wait()
				execute(t, c, "without", "{}")
				err := (<-gaveUp).err
				wantInterrupted(t, "gives-up", err, false, context.DeadlineExceeded)
				wantText(t, "gives-up", err, "the oldest of them first")
				got := <-second
				wantValue(t, "second", got.value, got.err, `"second"`)
				got = <-third
				wantValue(t, "third", got.value, got.err, `"third"`)
				wantIdleBooks(t, c)
			})
		})
	}
}

// Without oob QEMU reads one command after another, and nothing needs to wait.
func TestE15WithoutOOBFilesArePipelined(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := filesOverMemory(t, async.Options{}, func([]byte, []*os.File) {}, connected("",
			qmptest.Expect("add-fd"), qmptest.Expect("add-fd"), qmptest.Return(`1`, qmptest.Back(1)), qmptest.Return(`2`))...)
		cmd := async.Command{Name: "add-fd", Files: []*os.File{os.Stdin}}
		first := start(t.Context(), c, cmd)
		synctest.Wait()
		second := start(t.Context(), c, cmd)
		got := <-first
		wantValue(t, "first", got.value, got.err, `1`)
		got = <-second
		wantValue(t, "second", got.value, got.err, `2`)
	})
}

// A sendmsg takes what fits: the rest of the message follows, the descriptors
// are not sent again.
func TestE15ShortSendmsg(t *testing.T) {
	t.Parallel()
	for _, capability := range []string{"", "oob"} {
		t.Run("capabilities="+capability, func(t *testing.T) {
			t.Parallel()
			const size = 256 << 10
			whole := func(m qmptest.Message) error {
				if len(m.Arguments) != size+len(`{"x":""}`) {
					return fmt.Errorf("got arguments of %d bytes, want %d", len(m.Arguments), size+len(`{"x":""}`))
				}
				if m.FDs != 2 {
					return fmt.Errorf("got %d descriptors, want 2", m.FDs)
				}
				return nil
			}
			c, _, _ := cramped(t, nil, connected(capability,
				qmptest.ExpectFunc("big", whole), qmptest.Return(`{}`),
				qmptest.ExpectFunc("big", whole), qmptest.Return(`{}`),
				qmptest.ExpectWithFDs("after", 0), qmptest.Return(`{}`))...)
			big := async.Command{
				Name: "big", Args: map[string]string{"x": strings.Repeat("x", size)},
				Files: []*os.File{os.Stdin, fileWith(t, "")},
			}
			for range 2 {
				_, err := c.Do(t.Context(), big)
				wantNil(t, "big", err)
			}
			execute(t, c, "after", "{}")
		})
	}
}

// The descriptors go with the first byte, and with no other, however the
// message is cut up.
func TestE15DescriptorsGoWithTheFirstByte(t *testing.T) {
	t.Parallel()
	const tryAll, tryOne, tryNone = 0, 1, 2
	for mode, name := range []string{"all at once", "byte by byte", "nothing at first"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, connected("", qmptest.Expect("add-fd"), qmptest.Return(`{}`), qmptest.Expect("after"), qmptest.Return(`{}`))...)
				var conn net.Conn
				c := dial(t, p, &async.Options{Dialer: rig(p, func(c net.Conn) net.Conn {
					conn = c
					return c
				})})
				var writes []int // the number of files with each write that wrote something
				write := func(b []byte, files []*os.File) (int, error) {
					if mode != tryAll {
						b = b[:1]
					}
					writes = append(writes, len(files)) // before the peer can answer
					return conn.Write(b)
				}
				try := write
				if mode == tryNone {
					try = func([]byte, []*os.File) (int, error) { return 0, nil }
				}
				async.RigSender(c, async.RiggedSender{Try: try, Send: write})
				_, err := c.Do(t.Context(), async.Command{Name: "add-fd", Files: []*os.File{os.Stdin, os.Stdin}})
				wantNil(t, "add-fd", err)
				want := make([]int, len(writes))
				want[0] = 2
				if !slices.Equal(writes, want) || mode != tryAll && len(writes) != len(p.Received()[1].Raw) {
					t.Errorf("descriptors with each write: got %v, want 2 and then none", writes)
				}
				writes = nil
				execute(t, c, "after", "{}")
				if slices.Max(writes) != 0 {
					t.Errorf("descriptors with each write of a command without: got %v", writes)
				}
			})
		})
	}
}

// A file that is no file is a matter of its call only.
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
		{"nil behind a good one", []*os.File{good, nil}, nil},
		{"closed behind a good one", []*os.File{good, good, closed, good}, os.ErrClosed},
		{"stale in front of a good one", []*os.File{stale, good}, nil},
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
				for range 10 { // more often than the window is wide
					_, err := c.Do(t.Context(), async.Command{Name: "victim", Files: tt.files})
					check("victim", err)
					_, err = c.Do(t.Context(), async.Command{Name: "victim", ID: "mine", Files: tt.files})
					check("victim with an id", err)
					check("SendFiles", c.SendFiles(t.Context(), tt.files...))
				}
				wantState(t, c, async.Running)
				wantIdleBooks(t, c)
				_, err := c.Do(t.Context(), async.Command{Name: "after", Files: []*os.File{good}})
				wantNil(t, "after", err)
			})
		}
	}
}

// The same where the message has to wait for room in the socket.
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
	wantIdleBooks(t, c)
	_, err := c.Do(t.Context(), async.Command{Name: "most", Files: slices.Repeat([]*os.File{os.Stdin}, most)})
	wantNil(t, "most", err)
	execute(t, c, "after", "{}")
}

// Where descriptors cannot be sent at all, the error says what it takes, and
// nothing is sent.
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

func TestE15SendFiles(t *testing.T) {
	t.Parallel()
	for _, capability := range []string{"", "oob"} {
		t.Run("capabilities="+capability, func(t *testing.T) {
			t.Parallel()
			p := play(t, qmptest.ScriptOptions{}, connected(capability,
				qmptest.ExpectFDs(1, " "), qmptest.ExpectFDs(3, " "),
				qmptest.ExpectWithFDs("after", 0), qmptest.Return(`{}`))...)
			c := newClient(t, nil)
			wantAs[*async.StateError](t, "SendFiles without a connection", c.SendFiles(t.Context(), os.Stdin))
			if c.CanSendFiles() {
				t.Error("CanSendFiles without a connection: got true")
			}
			wantNil(t, "Connect", c.Connect(t.Context(), p.Addr()))
			if e := wantAs[*async.MessageError](t, "SendFiles of none", c.SendFiles(t.Context())); e.Reason != async.Refused {
				t.Errorf("SendFiles of none: got Reason %q, want %q", e.Reason, async.Refused)
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			wantInterrupted(t, "SendFiles", c.SendFiles(ended, os.Stdin), false, context.Canceled)
			a := fileWith(t, "a")
			wantNil(t, "SendFiles", c.SendFiles(t.Context(), a))
			wantNil(t, "SendFiles of three", c.SendFiles(t.Context(), a, os.Stdin, a))
			wantNil(t, "closing a file behind the call", a.Close())
			execute(t, c, "after", "{}")
			wantIdleBooks(t, c)
		})
	}
}

// A call whose context ends does not return while a sendmsg with its files may
// still be under way: the caller may close them, and their numbers be used
// again.
func TestE15TheCallOutlastsItsSendmsg(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"Do", "SendFiles"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, connected("oob", qmptest.Expect("after"), qmptest.Return(`{}`))...)
				var conn net.Conn
				c := dial(t, p, &async.Options{Dialer: rig(p, func(c net.Conn) net.Conn {
					conn = c
					return c
				})})
				goOn := make(chan struct{})
				async.RigSender(c, async.RiggedSender{
					Try: func(b []byte, files []*os.File) (int, error) {
						if files != nil {
							return 0, nil
						}
						return conn.Write(b)
					},
					Send: func([]byte, []*os.File) (int, error) {
						<-goOn
						return 0, os.ErrDeadlineExceeded
					},
				})
				ctx, cancel := context.WithCancel(t.Context())
				call := do(func() (err error) {
					if what == "Do" {
						_, err = c.Do(ctx, async.Command{Name: "victim", Files: []*os.File{os.Stdin}})
					} else {
						err = c.SendFiles(ctx, os.Stdin)
					}
					return err
				})
				synctest.Wait()
				cancel()
				synctest.Wait()
				select {
				case err := <-call:
					t.Errorf("%s returned (%v) with its sendmsg under way", what, err)
				default:
				}
				close(goOn)
				wantInterrupted(t, what, <-call, false, context.Canceled)
				execute(t, c, "after", "{}")
				wantIdleBooks(t, c)
			})
		})
	}
}

// Nor does one that a strange server answers ahead of the command.
func TestE15TheReplyDoesNotOvertakeTheFiles(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("oob", qmptest.AwaitMark("answer"), qmptest.Reply(`{"return": "early", "id": 2}`), qmptest.Expect("add-fd"))...)
		var conn net.Conn
		c := dial(t, p, &async.Options{Dialer: rig(p, func(c net.Conn) net.Conn {
			conn = c
			return c
		})})
		goOn := make(chan struct{})
		async.RigSender(c, async.RiggedSender{
			Try: func([]byte, []*os.File) (int, error) { return 0, nil },
			Send: func(b []byte, _ []*os.File) (int, error) {
				<-goOn
				return conn.Write(b)
			},
		})
		call := start(t.Context(), c, async.Command{Name: "add-fd", Files: []*os.File{os.Stdin}})
		synctest.Wait()
		p.Mark("answer")
		synctest.Wait()
		select {
		case got := <-call:
			t.Errorf("add-fd returned (%s, %v) with its sendmsg under way", got.value, got.err)
		default:
		}
		close(goOn)
		got := <-call
		wantValue(t, "add-fd", got.value, got.err, `"early"`)
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	})
}

// A connection that embeds a socket and has a Write of its own is written to by
// that, so it takes no descriptors.
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

type embedding struct {
	*net.UnixConn
	written atomic.Int32
}

func (e *embedding) Write(p []byte) (int, error) {
	e.written.Add(1)
	return e.UnixConn.Write(p)
}

// SendFiles outlasts its sendmsg also where the connection ends meanwhile.
func TestE15SendFilesOutlastsTheConnection(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		goOn := make(chan struct{})
		p := memory(t, connected("", qmptest.AwaitMark("end"), qmptest.HangUp())...)
		c := dial(t, p, nil)
		async.RigSender(c, async.RiggedSender{Try: nothing, Send: func([]byte, []*os.File) (int, error) {
			<-goOn
			return 0, net.ErrClosed
		}})
		call := do(func() error { return c.SendFiles(t.Context(), os.Stdin) })
		synctest.Wait()
		p.Mark("end")
		synctest.Wait()
		select {
		case err := <-call:
			t.Errorf("SendFiles returned (%v) with its sendmsg under way", err)
		default:
		}
		close(goOn)
		wantInterrupted(t, "SendFiles", <-call, false, io.EOF)
	})
}
