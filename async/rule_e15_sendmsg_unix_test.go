//go:build unix

// Tests of rule E15 (descriptors travel with the command that needs them): the
// descriptors go with the first byte, and a call returns only when its files are not
// used any more.
// The code that they hold: write.go, files.go and internal/socket.
package async_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// One sendmsg takes only a part of the message. The rest follows, and the
// descriptors are not sent again.
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

// The descriptors go with the first byte and with no other byte, however the
// message is cut.
func TestE15DescriptorsGoWithTheFirstByte(t *testing.T) {
	t.Parallel()
	const tryAll, tryOne, tryNone = 0, 1, 2
	for mode, name := range []string{"all in one write", "byte by byte", "nothing at first"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, connected("", qmptest.Expect("add-fd"), qmptest.Return(`{}`), qmptest.Expect("after"), qmptest.Return(`{}`))...)
				var conn net.Conn
				c := dial(t, p, &async.Options{Dialer: rig(p, func(c net.Conn) net.Conn {
					conn = c
					return c
				})})
				var writes []int // how many files went with each write that wrote something
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

// A call whose context ends does not return while a sendmsg with its files may
// be running. After the call, the caller may close the files, and their numbers
// may be used again.
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
					t.Errorf("%s returned (%v) while its sendmsg was running", what, err)
				default:
				}
				close(goOn)
				wantInterrupted(t, what, <-call, false, context.Canceled)
				execute(t, c, "after", "{}")
				wantNothingPending(t, c)
			})
		})
	}
}

// A server answers a command before it has it. The call still does not return
// while a sendmsg with its files is running.
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
			t.Errorf("add-fd returned (%s, %v) while its sendmsg was running", got.value, got.err)
		default:
		}
		close(goOn)
		got := <-call
		wantValue(t, "add-fd", got.value, got.err, `"early"`)
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	})
}

// SendFiles waits for its sendmsg also where the connection ends before that.
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
			t.Errorf("SendFiles returned (%v) while its sendmsg was running", err)
		default:
		}
		close(goOn)
		wantInterrupted(t, "SendFiles", <-call, false, io.EOF)
	})
}
