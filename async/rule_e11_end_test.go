// Tests of rule E11 (Disconnect always completes).
// The code that they hold: disconnect.go and session.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// ends are the two ways to end a connection.
var ends = []struct {
	name string
	end  func(*async.Client) error
}{
	{"Disconnect", func(c *async.Client) error { return c.Disconnect(context.Background()) }},
	{"Close", (*async.Client).Close},
}

// wantInstant fails the test if the bubble's clock has moved since begin.
func wantInstant(t testing.TB, what string, begin time.Time) {
	t.Helper()
	if took := time.Since(begin); took != 0 {
		t.Errorf("%s: took %v, want no time", what, took)
	}
}

// Any number of callers at once, and again.
func TestE11ManyAtOnce(t *testing.T) {
	t.Parallel()
	for _, ended := range []bool{false, true} { // by the peer, before
		t.Run(fmt.Sprintf("ended=%v", ended), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				steps := connected("")
				if ended {
					steps = connected("", qmptest.Pause(time.Second), qmptest.HangUp())
				}
				c := dial(t, memory(t, steps...), nil)
				if ended {
					time.Sleep(time.Minute) // of the bubble's clock
				}
				results := make(chan error, 40)
				var wg sync.WaitGroup
				for i := range cap(results) {
					wg.Go(func() { results <- ends[i%len(ends)].end(c) })
				}
				wg.Wait()
				close(results)
				causes := 0
				for err := range results {
					if err != nil {
						causes++
						if err != io.EOF {
							t.Errorf("got error %v (%T), want io.EOF, bare", err, err)
						}
					}
				}
				if ended && causes == 0 {
					t.Error("nobody got the cause")
				}
				if !ended && causes != 0 {
					t.Errorf("an orderly end: %d callers got an error", causes)
				}
				wantState(t, c, async.Idle)
				for _, e := range ends {
					wantNil(t, e.name+" behind the end", e.end(c))
				}
			})
		})
	}
}

// All that join the same end get its cause, later ones nil.
func TestE11JoinedCallersGetTheCause(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		broken := errors.New("the cable is cut")
		p := memory(t, connected("", qmptest.Stall())...)
		c := dial(t, p, &async.Options{Dialer: rig(p, failWritesFrom(1, broken))})
		// The failed write makes the end take a second.
		victim := start(t.Context(), c, async.Command{Name: "victim"})
		synctest.Wait()
		begin := time.Now()
		var joined []<-chan error
		for range 5 {
			joined = append(joined, do(func() error { return c.Disconnect(t.Context()) }))
		}
		synctest.Wait()
		wantState(t, c, async.Disconnecting)
		for _, done := range joined {
			if err := <-done; err != broken {
				t.Errorf("Disconnect: got %v, want the error of the write, bare", err)
			}
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("Disconnect behind a failed write: took %v, want 1s", took)
		}
		wantIs(t, "victim", (<-victim).err, broken)
		wantNil(t, "a later Disconnect", c.Disconnect(t.Context()))
	})
}

// One who joins in more of a hurry hurries the others.
func TestE11JoiningHurries(t *testing.T) {
	t.Parallel()
	t.Run("by its context", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			c := stuckWriter(t, nil)
			patient := do(func() error { return c.Disconnect(context.Background()) })
			synctest.Wait()
			why := errors.New("the user went home")
			ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, why)
			defer cancel()
			begin := time.Now()
			hurried := c.Disconnect(ctx)
			if took := time.Since(begin); took != 3*time.Second {
				t.Errorf("the hurried Disconnect: took %v, want 3s", took)
			}
			for what, err := range map[string]error{"the hurried": hurried, "the patient": <-patient} {
				wantIs(t, what, err, context.DeadlineExceeded, why)
			}
			wantState(t, c, async.Idle)
		})
	})
	t.Run("by Close", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			c := stuckWriter(t, nil)
			patient := do(func() error { return c.Disconnect(context.Background()) })
			synctest.Wait()
			begin := time.Now()
			wantNil(t, "Close", c.Close())
			wantNil(t, "Disconnect", <-patient)
			wantInstant(t, "Close", begin)
		})
	})
}

// While the client connects, wherever that stands.
func TestE11DuringConnect(t *testing.T) {
	t.Parallel()
	stages := []struct {
		name  string
		steps []qmptest.Step // nil: the Dialer waits
		size  int
	}{
		{name: "dialling"},
		{name: "no greeting", steps: []qmptest.Step{qmptest.Stall()}},
		{name: "no reply", steps: []qmptest.Step{qmptest.Greet(), qmptest.Stall()}},
		{name: "does not read", steps: []qmptest.Step{qmptest.Greet(), qmptest.StopReading()}, size: 8},
	}
	for _, tt := range stages {
		for _, e := range ends {
			t.Run(tt.name+"/"+e.name, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					opts := &async.Options{Dialer: func(ctx context.Context) (net.Conn, error) {
						<-ctx.Done()
						return nil, ctx.Err()
					}}
					if tt.steps != nil {
						opts.Dialer = play(t, qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: tt.size}, tt.steps...).Dial
					}
					c := newClient(t, opts)
					failed := do(func() error { return c.Connect(t.Context(), "") })
					synctest.Wait()
					wantState(t, c, async.Connecting)
					begin := time.Now()
					var wg sync.WaitGroup
					for range 5 {
						wg.Go(func() { wantNil(t, e.name, e.end(c)) })
					}
					wg.Wait()
					wantInstant(t, e.name, begin)
					err := <-failed
					wantIs(t, "Connect", err, async.ErrClosed)
					wantAs[*async.ConnectError](t, "Connect", err)
					wantState(t, c, async.Idle)
				})
			})
		}
	}
}

// While it listens, and while it accepts. The socket goes, too.
func TestE11DuringListenAndAccept(t *testing.T) {
	t.Parallel()
	for _, e := range ends {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			path := socketPath(t)
			gone := func(what string, c *async.Client) {
				t.Helper()
				wantState(t, c, async.Idle)
				if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s: the socket is still there (%v)", what, err)
				}
			}
			t.Run("listening", func(t *testing.T) {
				c := newClient(t, nil)
				wantNil(t, "Listen", c.Listen(t.Context(), path))
				var wg sync.WaitGroup
				for range 5 {
					wg.Go(func() { wantNil(t, e.name, e.end(c)) })
				}
				wg.Wait()
				gone(e.name, c)
			})
			t.Run("accepting", func(t *testing.T) {
				c := newClient(t, nil)
				for i := range 20 {
					wantNil(t, "Listen", c.Listen(t.Context(), path))
					failed := do(func() error { return c.Accept(t.Context()) })
					spin(i)
					wantNil(t, e.name, e.end(c))
					err := <-failed
					if _, late := errors.AsType[*async.StateError](err); !late { // else Accept found nothing to accept
						wantIs(t, "Accept", err, async.ErrClosed)
					}
					gone(e.name, c)
				}
			})
			t.Run("handshake", func(t *testing.T) {
				ended := make(chan error, 1)
				var c *async.Client
				c = newClient(t, &async.Options{OnReceive: func(json.RawMessage) json.RawMessage {
					go func() { ended <- e.end(c) }()
					return nil
				}})
				wantNil(t, "Listen", c.Listen(t.Context(), path))
				play(t, qmptest.ScriptOptions{DialTo: path}, qmptest.Event("E", ""), qmptest.Stall())
				wantIs(t, "Accept", c.Accept(t.Context()), async.ErrClosed)
				wantNil(t, e.name, <-ended)
				gone(e.name, c)
			})
		})
	}
}

// Healthy: what is being written is finished, and nothing behind it is begun.
func TestE11WhatIsBeingWrittenIsFinished(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := play(t, qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: 512}, connected("",
			qmptest.AwaitMark("read on"),
			qmptest.Expect("big", fmt.Sprintf(`{"x":%q}`, strings.Repeat("x", 4096))),
			qmptest.ExpectEOF())...)
		c := dial(t, p, nil)
		big := start(t.Context(), c, async.Command{Name: "big", Args: map[string]any{"x": strings.Repeat("x", 4096)}})
		synctest.Wait()
		waiting := start(t.Context(), c, async.Command{Name: "waiting"})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		ended := do(func() error { return c.Disconnect(ctx) })
		synctest.Wait()
		wantState(t, c, async.Disconnecting)
		wantInterrupted(t, "waiting", (<-waiting).err, false, async.ErrClosed) // at once
		_, err := c.Execute(t.Context(), "later", nil)
		wantAs[*async.StateError](t, "later", err)
		select {
		case err := <-ended:
			t.Errorf("Disconnect did not wait for the message being written (%v)", err)
		default:
		}
		p.Mark("read on")
		wantNil(t, "Disconnect", <-ended)
		wantInterrupted(t, "big", (<-big).err, true, async.ErrClosed)
		wantState(t, c, async.Idle)
	})
}

// A reply that comes while that goes on still counts.
func TestE11ReplyWhileDisconnecting(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := play(t, qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: 512}, connected("",
			qmptest.Expect("first"), qmptest.AwaitMark("go on"), qmptest.Return(`"first"`), qmptest.Pause(time.Second),
			qmptest.Expect("big"))...)
		c := dial(t, p, nil)
		first := start(t.Context(), c, async.Command{Name: "first"})
		synctest.Wait()
		big := start(t.Context(), c, async.Command{Name: "big", Args: map[string]any{"x": strings.Repeat("x", 4096)}})
		synctest.Wait()
		ended := do(func() error { return c.Disconnect(t.Context()) })
		synctest.Wait()
		p.Mark("go on")
		got := <-first
		wantValue(t, "first", got.value, got.err, `"first"`)
		wantNil(t, "Disconnect", <-ended)
		wantInterrupted(t, "big", (<-big).err, true, async.ErrClosed)
	})
}

// When its context ends first it closes hard: the peer finds the message cut.
func TestE11ContextCutsABlockedWrite(t *testing.T) {
	t.Parallel()
	why := errors.New("the user went home")
	for _, tt := range []struct {
		name string
		end  func(*async.Client) error
		took time.Duration
		want []error
	}{
		{"deadline", func(c *async.Client) error {
			ctx, cancel := context.WithTimeoutCause(context.Background(), 3*time.Second, why)
			defer cancel()
			return c.Disconnect(ctx)
		}, 3 * time.Second, []error{context.DeadlineExceeded, why}},
		{"cancel", func(c *async.Client) error {
			ctx, cancel := context.WithCancelCause(context.Background())
			time.AfterFunc(3*time.Second, func() { cancel(why) })
			return c.Disconnect(ctx)
		}, 3 * time.Second, []error{context.Canceled, why}},
		{"ended context", func(c *async.Client) error {
			ctx, cancel := context.WithCancelCause(context.Background())
			cancel(why)
			return c.Disconnect(ctx)
		}, 0, []error{context.Canceled, why}},
		{"Close", (*async.Client).Close, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := play(t, qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: 512}, connected("",
					qmptest.AwaitMark("read on"),
					qmptest.Do("read to the end", func(s *qmptest.Peer) error {
						conn, err := s.Conn()
						if err != nil {
							return err
						}
						got, err := io.ReadAll(conn)
						if len(got) == 0 || len(got) > 512 {
							return fmt.Errorf("got %d bytes and %v, want what went into the pipe", len(got), err)
						}
						return err
					}))...)
				c := dial(t, p, &async.Options{Nickname: "vm1"})
				big := start(context.Background(), c, async.Command{Name: "big", Args: map[string]any{"x": strings.Repeat("x", 4096)}})
				synctest.Wait()
				begin := time.Now()
				err := tt.end(c)
				if took := time.Since(begin); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if tt.want == nil {
					wantNil(t, "the end", err)
				} else {
					wantIs(t, "the end", err, tt.want...)
					wantText(t, "the end", err, "vm1", "disconnect")
				}
				wantState(t, c, async.Idle)
				wantInterrupted(t, "big", (<-big).err, true, tt.want...)
				p.Mark("read on")
			})
		})
	}
}

// With nothing being written there is nothing to wait for, so a context that
// has ended makes no difference.
func TestE11EndedContextOfAHealthyDisconnect(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := dial(t, memory(t, connected("", qmptest.Expect("x"))...), nil)
		call := start(t.Context(), c, async.Command{Name: "x"})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantNil(t, "Disconnect", c.Disconnect(ctx))
		wantInterrupted(t, "x", (<-call).err, true, async.ErrClosed)
		wantState(t, c, async.Idle)
	})
}

// What a single failure leaves is that error itself; further ones stand behind
// the root cause, on the same line, and all of them can be found.
func TestE11FurtherErrorsAreAttached(t *testing.T) {
	t.Parallel()
	type cut struct{ error }
	broken := cut{errors.New("the cable is cut")}
	stuck := &os.PathError{Op: "close", Path: "socket", Err: syscall.EIO}
	tests := []struct {
		name        string
		steps       []qmptest.Step
		write, shut error
		cancelled   bool // the context of Disconnect has ended
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
			write: broken, shut: stuck, cancelled: true, want: []error{context.Canceled, broken, stuck},
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
				case tt.cancelled:
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

// checkAttached checks that err is made of want, in that order.
func checkAttached(t testing.TB, err error, want []error) {
	t.Helper()
	switch len(want) {
	case 0:
		wantNil(t, "Disconnect", err)
		return
	case 1:
		if err != want[0] {
			t.Errorf("Disconnect: got %v (%T), want %v, bare", err, err, want[0])
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

// After a failed write the reader reads on: a reply already on its way is
// delivered, and the cause is what the reader finds at the end.
func TestE11ReaderReadsOnBehindAFailedWrite(t *testing.T) {
	t.Parallel()
	broken := errors.New("the cable is cut")
	tests := []struct {
		name  string
		steps []qmptest.Step // behind the first command; its reply is on its way
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
				wantInterrupted(t, "third", (<-third).err, false, tt.want...) // behind half a message, nothing is written
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

// The reply to quit is never lost, and a reset behind it is an end of file;
// behind anything else it is a reset.
func TestE11ResetBehindQuit(t *testing.T) {
	t.Parallel()
	reset := []error{syscall.ECONNRESET}
	tests := []struct {
		name  string
		cmd   async.Command
		reply []qmptest.Step
		want  []error
	}{
		{"quit", async.Command{Name: "quit"}, []qmptest.Step{qmptest.Return(`{}`)}, nil},
		{"quit with an id", async.Command{Name: "quit", ID: "bye"}, []qmptest.Step{qmptest.Return(`{}`)}, nil},
		{"quit as an object", async.Command{Object: map[string]any{"execute": "quit"}}, []qmptest.Step{qmptest.Return(`{}`)}, nil},
		{"quit and its events", async.Command{Name: "quit"}, []qmptest.Step{qmptest.Return(`{}`), qmptest.Event("SHUTDOWN", "")}, nil},
		{"quit that is refused", async.Command{Name: "quit"}, []qmptest.Step{qmptest.ReturnError("GenericError", "no")}, reset},
		{"quit without a reply", async.Command{Name: "quit"}, nil, reset},
		{"another command", async.Command{Name: "stop"}, []qmptest.Step{qmptest.Return(`{}`)}, reset},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, connected("", slices.Concat(
					[]qmptest.Step{qmptest.ExpectFunc("the command", func(qmptest.Message) error { return nil })}, tt.reply, []qmptest.Step{qmptest.Reset()})...)...)
				c := dial(t, p, nil)
				reply, err := c.Do(t.Context(), tt.cmd)
				if tt.reply != nil {
					wantNil(t, "the command", err)
					if len(reply.Raw()) == 0 {
						t.Error("the command: got an empty reply")
					}
				} else {
					wantInterrupted(t, "the command", err, true, tt.want...)
				}
				synctest.Wait()
				err = c.Disconnect(t.Context())
				if tt.want == nil {
					if err != io.EOF {
						t.Errorf("Disconnect: got %v (%T), want io.EOF", err, err)
					}
				} else {
					wantIs(t, "Disconnect", err, tt.want...)
				}
			})
		})
	}
}

// A reply beats the hang-up behind it, on every kind of connection.
func TestE11ReplyBeatsTheHangUp(t *testing.T) {
	t.Parallel()
	for _, network := range []string{qmptest.Unix, qmptest.TCP, qmptest.Memory} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			const rounds = 30
			var steps []qmptest.Step
			for i := range rounds {
				hangUp := qmptest.HangUp()
				if i%2 == 1 && network != qmptest.Unix {
					hangUp = qmptest.Reset()
				}
				steps = append(steps, qmptest.Accept())
				steps = append(steps, connected("oob", qmptest.Expect("quit"), qmptest.Return(`{}`), hangUp)...)
			}
			p := play(t, qmptest.ScriptOptions{Network: network}, steps...)
			c := newClient(t, &async.Options{Dialer: p.Dial})
			for range rounds {
				connect(t, c)
				execute(t, c, "quit", "{}")
				if err := c.Disconnect(t.Context()); err != nil && err != io.EOF { // nil if it was quicker than the peer
					t.Errorf("Disconnect: got %v, want an end of file", err)
				}
			}
		})
	}
}

// Everybody does everything at once; in the end nothing is left (goleak), and
// nobody waits.
func TestE11EverythingAtOnce(t *testing.T) {
	t.Parallel()
	s := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory, ManyClients: true, NoRecord: true})
	c := newClient(t, &async.Options{Dialer: s.Dial})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 60 {
				var err error
				switch (i + j) % 4 {
				case 0:
					err = c.Connect(ctx, "")
				case 1, 2:
					_, err = c.Execute(ctx, "query-status", nil)
				case 3:
					err = ends[j%2].end(c)
				}
				_, wrongState := errors.AsType[*async.StateError](err)
				if err != nil && !wrongState && !errors.Is(err, async.ErrClosed) {
					t.Errorf("got error %v (%T), want none but the wrong state, or an end by this side", err, err)
				}
			}
		})
	}
	wg.Wait()
	wantNil(t, "the run", ctx.Err())
	wantNil(t, "Close", c.Close())
	wantState(t, c, async.Idle)
}

// The reply to a quit that was given up still makes an end of file of a reset.
func TestE11ResetBehindAQuitThatWasGivenUp(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("", qmptest.Expect("quit"), qmptest.Pause(2*time.Second), qmptest.Return(`{}`), qmptest.Reset())...)
		c := dial(t, p, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Execute(ctx, "quit", nil)
		wantInterrupted(t, "quit", err, true, context.DeadlineExceeded)
		time.Sleep(time.Minute)
		if err := c.Disconnect(t.Context()); err != io.EOF {
			t.Errorf("Disconnect: got %v, want io.EOF", err)
		}
	})
}

// A connection that has been closed already is no error of an orderly end.
func TestE11ClosingWhatIsClosed(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("")...)
	c := dial(t, p, &async.Options{Dialer: rig(p, func(conn net.Conn) net.Conn {
		return &rigged{Conn: conn, close: func() error { return &net.OpError{Op: "close", Err: net.ErrClosed} }}
	})})
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
}
