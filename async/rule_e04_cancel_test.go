// Tests of rule E4 (a call that gives up touches only itself): late replies,
// commands that are never sent, and what the errors say.
// The code that they hold: call.go, calls.go and write.go.
package async_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// The late reply of a canceled call is dropped. No other call gets it.
func TestE4LateReplyIsDropped(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, capabilities, id string }{
		{"pipelined", "", ""},
		{"pipelined, caller's id", "", "mine"},
		{"oob", "oob", ""},
		{"oob, caller's id", "oob", "mine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, connected(tt.capabilities,
					qmptest.Expect("slow"), qmptest.Expect("next"),
					qmptest.Return(`"slow"`, qmptest.Back(1)), qmptest.Return(`"next"`),
					qmptest.Expect("last"), qmptest.Return(`"last"`))...)
				c := dial(t, p, nil)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := c.Do(ctx, async.Command{Name: "slow", ID: tt.id})
				wantInterrupted(t, "slow", err, true, context.DeadlineExceeded)
				wantText(t, "slow", err, "slow: interrupted after it was sent")
				execute(t, c, "next", `"next"`)
				execute(t, c, "last", `"last"`)
				wantNothingPending(t, c)
			})
		})
	}
}

// A cancellation touches only its own call. The connection and the other
// pending calls go on.
func TestE4OthersGoOn(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("",
			qmptest.Expect("first"), qmptest.Expect("second"), qmptest.Expect("third"),
			qmptest.AwaitMark("answer"),
			qmptest.Event("E", ""),
			qmptest.Return(`1`, qmptest.Back(2)), qmptest.Return(`2`, qmptest.Back(1)), qmptest.Return(`3`))...)
		c := dial(t, p, nil)
		l := c.NewListener(nil)
		ctx, cancel := context.WithCancel(t.Context())
		first := start(t.Context(), c, async.Command{Name: "first"})
		synctest.Wait()
		second := start(ctx, c, async.Command{Name: "second"})
		synctest.Wait()
		third := start(t.Context(), c, async.Command{Name: "third"})
		synctest.Wait()
		cancel()
		wantInterrupted(t, "second", (<-second).err, true, context.Canceled)
		synctest.Wait()
		p.Mark("answer")
		for i, done := range []<-chan result{first, third} {
			got := <-done
			wantValue(t, "the others", got.value, got.err, fmt.Sprint(2*i+1))
		}
		wantNames(t, "the listener", drained(t, l), "E")
		wantState(t, c, async.Running)
	})
}

// A call that is canceled before its turn to write is never sent.
func TestE4CancelledBeforeItsTurnIsNeverSent(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := play(t, qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: 512}, connected("",
			qmptest.AwaitMark("read on"),
			qmptest.Expect("big"), qmptest.Return(`{}`), qmptest.Expect("after"), qmptest.Return(`{}`))...)
		c := dial(t, p, nil)
		big := start(t.Context(), c, async.Command{Name: "big", Args: map[string]any{"x": strings.Repeat("x", 4096)}})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, cmd := range []async.Command{{Name: "victim"}, {Name: "victim", ID: "mine"}, {Object: map[string]any{"execute": "victim"}}} {
			_, err := c.Do(ctx, cmd)
			wantInterrupted(t, "victim", err, false, context.DeadlineExceeded)
			wantText(t, "victim", err, "victim: interrupted before it was sent")
		}
		p.Mark("read on")
		wantNil(t, "big", (<-big).err)
		execute(t, c, "after", "{}")
		wantNothingPending(t, c)
	})
}

// A call whose context has already ended sends nothing.
func TestE4EndedContextSendsNothing(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("oob", qmptest.Expect("after"), qmptest.Return(`{}`))...)
	c := dial(t, p, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Execute(ctx, "victim", nil)
	wantInterrupted(t, "Execute", err, false, context.Canceled)
	_, err = c.ExecuteOOB(ctx, "victim", nil)
	wantInterrupted(t, "ExecuteOOB", err, false, context.Canceled)
	_, err = async.Call[any](ctx, c, "victim", nil)
	wantInterrupted(t, "Call", err, false, context.Canceled)
	execute(t, c, "after", "{}")
	wantNothingPending(t, c)
}

// The error matches the context's Err and its Cause.
func TestE4ErrorTellsWhyTheContextEnded(t *testing.T) {
	t.Parallel()
	why := errors.New("the user canceled")
	tests := []struct {
		name  string
		ctx   func(context.Context) (context.Context, func())
		match []error
		text  string
	}{
		{"cancel", func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, []error{context.Canceled}, "context canceled"},
		{"cancel with a cause", func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(why) })
			return ctx, func() { cancel(nil) }
		}, []error{context.Canceled, why}, "context canceled: the user canceled"},
		{"deadline", func(ctx context.Context) (context.Context, func()) {
			return context.WithTimeout(ctx, time.Second)
		}, []error{context.DeadlineExceeded}, "context deadline exceeded"},
		{"deadline with a cause", func(ctx context.Context) (context.Context, func()) {
			return context.WithTimeoutCause(ctx, time.Second, why)
		}, []error{context.DeadlineExceeded, why}, "context deadline exceeded: the user canceled"},
		{"a time limit of the packages above", func(ctx context.Context) (context.Context, func()) {
			return context.WithTimeoutCause(ctx, time.Second, &async.TimeoutError{Op: "slow", Limit: time.Second})
		}, []error{context.DeadlineExceeded, os.ErrDeadlineExceeded}, "slow: time limit of 1s reached"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				c := dial(t, memory(t, connected("", qmptest.Stall())...), nil)
				ctx, cancel := tt.ctx(t.Context())
				defer cancel()
				_, err := c.Execute(ctx, "slow", nil)
				wantInterrupted(t, "slow", err, true, append(tt.match, ctx.Err(), context.Cause(ctx))...)
				wantText(t, "slow", err, tt.text)
			})
		})
	}
	var timeout interface{ Timeout() bool }
	if !errors.As(&async.TimeoutError{}, &timeout) || !timeout.Timeout() {
		t.Error("a TimeoutError has no Timeout method as net.Error has, or it returns false")
	}
}

// The context was canceled without a cause of its own. The error holds
// context.Canceled itself, and does not wrap it.
func TestE4PlainContextErrorStaysBare(t *testing.T) {
	t.Parallel()
	c := dial(t, memory(t, connected("", qmptest.Stall())...), nil)
	ctx, cancel := context.WithCancel(t.Context())
	call := start(ctx, c, async.Command{Name: "slow"})
	cancel()
	if e := wantAs[*async.ExecInterruptedError](t, "slow", (<-call).err); e.Err != context.Canceled {
		t.Errorf("got cause %#v, want context.Canceled itself", e.Err)
	}
}

// The connection ends just after the first byte was written, before the engine
// knows that it was. Sent in the error is still true.
func TestE4SentIsSettledWhenTheConnectionEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		send bool
	}{{"sent", true}, {"not sent", false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				client, server := qmptest.Pipe()
				defer server.Close()
				c := newClient(t, &async.Options{SkipGreeting: true, SkipNegotiation: true})
				wantNil(t, "Attach", c.Attach(t.Context(), client))
				async.RigSender(c, async.RiggedSender{Try: nothing, Send: func(b []byte, _ []*os.File) (n int, err error) {
					if tt.send {
						n, err = client.Write(b)
					} else {
						err = net.ErrClosed
					}
					server.CloseWrite()
					synctest.Wait() // until the engine has reacted to that
					return n, err
				}})
				_, err := c.Execute(t.Context(), "x", nil)
				wantInterrupted(t, "x", err, tt.send, io.EOF)
			})
		})
	}
}

// A call gives up and interrupts its write. If the write failed by itself
// before that, Disconnect still returns the error of the write.
func TestE4WithdrawalDoesNotHideAFailure(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		client, server := qmptest.Pipe()
		defer server.Close()
		c := newClient(t, &async.Options{SkipGreeting: true, SkipNegotiation: true})
		wantNil(t, "Attach", c.Attach(t.Context(), client))
		ctx, cancel := context.WithCancel(t.Context())
		async.RigSender(c, async.RiggedSender{Try: nothing, Send: func([]byte, []*os.File) (int, error) {
			cancel()
			synctest.Wait() // until the call has tried to withdraw
			return 0, syscall.ECONNRESET
		}})
		_, err := c.Execute(ctx, "x", nil)
		wantInterrupted(t, "x", err, false, context.Canceled)
		time.Sleep(time.Minute)
		wantIs(t, "Disconnect", c.Disconnect(t.Context()), syscall.ECONNRESET)
	})
}

// A call gives up too late to be withdrawn. The message is finished, and the
// next write has no deadline.
func TestE4WithdrawalThatComesTooLate(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("", qmptest.Expect("first"), qmptest.Expect("second"), qmptest.Return(`2`))...)
		var conn net.Conn
		c := dial(t, p, &async.Options{Dialer: rig(p, func(made net.Conn) net.Conn { conn = made; return made })})
		ctx, cancel := context.WithCancel(t.Context())
		async.RigSender(c, async.RiggedSender{Try: nothing, Send: func(b []byte, _ []*os.File) (int, error) {
			n, err := conn.Write(b[:min(5, len(b))])
			cancel()
			synctest.Wait() // until the call has tried to withdraw
			return n, err
		}})
		_, err := c.Execute(ctx, "first", nil)
		wantInterrupted(t, "first", err, true, context.Canceled)
		execute(t, c, "second", "2")
	})
}

// A reply that has come counts, even if the context or the connection has ended
// too when the caller looks.
func TestE4ReplyThatCameCounts(t *testing.T) {
	t.Parallel()
	for _, ended := range []string{"context", "connection"} {
		for range 30 { // a select takes any case of those that are ready
			bubble(t, func(t *testing.T) {
				p := memory(t, connected("", qmptest.Expect("x"), qmptest.Return(`1`), qmptest.AwaitMark("end"), qmptest.HangUp())...)
				var conn net.Conn
				c := dial(t, p, &async.Options{Dialer: rig(p, func(made net.Conn) net.Conn {
					conn = made
					return made
				})})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				async.RigSender(c, async.RiggedSender{Try: func(b []byte, _ []*os.File) (int, error) {
					n, err := conn.Write(b)
					synctest.Wait() // until the reply is there
					if ended == "context" {
						cancel()
					} else {
						p.Mark("end")
						synctest.Wait()
					}
					return n, err
				}})
				v, err := c.Execute(ctx, "x", nil)
				wantValue(t, "x, whose "+ended+" ended, too", v, err, "1")
				p.Mark("end")
			})
		}
	}
}

// The context ends just after the engine has looked at it for the first time.
// Nothing is sent.
func TestE4ContextThatEndsBehindTheFirstLook(t *testing.T) {
	t.Parallel()
	for range 30 {
		bubble(t, func(t *testing.T) {
			c := dial(t, memory(t, connected("", qmptest.Expect("after"), qmptest.Return(`{}`))...), nil)
			inner, cancel := context.WithCancel(t.Context())
			_, err := c.Execute(&firstLook{Context: inner, then: cancel}, "victim", nil)
			wantInterrupted(t, "victim", err, false, context.Canceled)
			execute(t, c, "after", "{}")
		})
	}
}
