// Tests of rule E8 (out-of-band commands are not held up by commands): the
// window of eight in-band commands, and the negotiation of oob.
// The code that they hold: call.go, calls.go and gate.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// The handshake enables oob where the server offers it, unless Options.NoOOB is
// set.
func TestE8Negotiation(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, offered, asks string
		opts                async.Options
		enabled             bool
	}{
		{name: "offered", offered: "oob", asks: `{"enable":["oob"]}`, enabled: true},
		{name: "offered among others", offered: "teleport oob", asks: `{"enable":["oob"]}`, enabled: true},
		{name: "declined", offered: "oob", opts: async.Options{NoOOB: true}, asks: `{}`},
		{name: "not offered", offered: "teleport", asks: `{}`},
		{name: "nothing offered", asks: `{}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			steps := connected(tt.offered)
			steps[1] = qmptest.Expect("qmp_capabilities", tt.asks)
			if tt.enabled {
				steps = append(steps, qmptest.ExpectOOB("now"), qmptest.Return(`1`))
			}
			steps = append(steps, qmptest.Expect("next"), qmptest.Return(`{}`))
			c := dial(t, memory(t, steps...), &tt.opts)
			v, err := c.ExecuteOOB(t.Context(), "now", nil)
			if tt.enabled {
				wantValue(t, "ExecuteOOB", v, err, "1")
			} else {
				// It is refused before it is sent: the script expects another message next.
				wantIs(t, "ExecuteOOB", err, async.ErrNoOOB)
				wantText(t, "ExecuteOOB", err, "qmp: now: ", "Options.NoOOB")
				_, err = c.Do(t.Context(), async.Command{Object: json.RawMessage(`{"exec-oob":"now"}`)})
				wantIs(t, "a whole object", err, async.ErrNoOOB)
			}
			execute(t, c, "next", "{}")
		})
	}
}

// Without the handshake oob is not enabled, whatever the greeting offers.
func TestE8NoNegotiationNoOOB(t *testing.T) {
	t.Parallel()
	p := memory(t, qmptest.Greet("oob"))
	c := dial(t, p, &async.Options{SkipNegotiation: true})
	_, err := c.ExecuteOOB(t.Context(), "now", nil)
	wantIs(t, "ExecuteOOB", err, async.ErrNoOOB)
}

// Eight in-band commands may be unanswered. The others wait, in order, and
// out-of-band commands pass them.
func TestE8WindowOfEight(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		const total = 20
		steps := expectN("x", 0, window)
		steps = append(steps, qmptest.ExpectNothing(time.Second), qmptest.Mark("full"),
			qmptest.ExpectOOB("now"), qmptest.Return(`"now"`), qmptest.ExpectOOB("now"), qmptest.Return(`"now"`),
			qmptest.ExpectNothing(time.Second))
		// Each reply lets the next one pass, in the order in which they came.
		for i := window; i < total; i++ {
			steps = append(steps, qmptest.Return(fmt.Sprint(i-window), qmptest.Oldest()))
			if i == window {
				// The out-of-band commands have been answered: the oldest unanswered one is in-band.
				steps = append(steps, qmptest.Pause(time.Second))
			}
			steps = append(steps, qmptest.Expect(fmt.Sprint("x", i)), qmptest.ExpectNothing(time.Second))
		}
		for i := total - window; i < total; i++ {
			steps = append(steps, qmptest.Return(fmt.Sprint(i), qmptest.Oldest()))
		}
		p := memory(t, connected("oob", steps...)...)
		c := dial(t, p, nil)
		calls := startN(t.Context(), c, "x", 0, total)
		p.AwaitMark("full")
		v, err := c.ExecuteOOB(t.Context(), "now", nil)
		wantValue(t, "ExecuteOOB", v, err, `"now"`)
		reply, err := c.Do(t.Context(), async.Command{Object: json.RawMessage(`{"exec-oob":"now"}`)})
		wantNil(t, "exec-oob as a whole object", err)
		v, err = reply.Value()
		wantValue(t, "exec-oob as a whole object", v, err, `"now"`)
		for i, call := range calls {
			got := <-call
			wantValue(t, "in-band", got.value, got.err, fmt.Sprint(i))
		}
		wantNothingPending(t, c)
	})
}

// Commands that waited are written in the order in which they came, even where
// several places become free at the same time.
func TestE8ThoseWhoWaitedGoInOrder(t *testing.T) {
	t.Parallel()
	for range 50 {
		bubble(t, func(t *testing.T) {
			const total = 3 * window
			steps := append(expectN("x", 0, window), qmptest.Pause(time.Second))
			for i := window; i < total; i += window {
				var replies strings.Builder
				for j := range window {
					fmt.Fprintf(&replies, `{"return":{},"id":%d}`, 2+i-window+j)
				}
				steps = append(steps, qmptest.Send(replies.String()))
				steps = append(steps, expectN("x", i, i+window)...)
			}
			c := dial(t, memory(t, connected("oob", append(steps, qmptest.Stall())...)...), nil)
			calls := startN(t.Context(), c, "x", 0, total)
			for i, call := range calls[:total-window] {
				wantNil(t, fmt.Sprint("x", i), (<-call).err)
			}
			synctest.Wait()
			if b, _ := async.ReadCounts(c); b.Pending != window || b.Waiting != 0 {
				t.Fatalf("got %+v, want the last %d pending", b, window)
			}
		})
	}
}

// Out-of-band commands are sent while the window is full. They take no place in
// it.
func TestE8OOBTakesNoPlace(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		steps := expectN("x", 0, window)
		for range 12 {
			steps = append(steps, qmptest.ExpectOOB("now"))
		}
		p := memory(t, connected("oob", append(steps, qmptest.ExpectEOF())...)...)
		c := dial(t, p, nil)
		calls := startN(t.Context(), c, "x", 0, window)
		for range 12 {
			calls = append(calls, start(t.Context(), c, async.Command{Name: "now", OOB: true}))
			synctest.Wait()
		}
		wantNil(t, "Close", c.Close())
		for _, call := range calls {
			wantInterrupted(t, "the calls", (<-call).err, true, async.ErrClosed)
		}
	})
}

// A canceled command keeps its place in the window until the server has
// answered it.
func TestE8CancelledOnesCount(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		steps := expectN("x", 0, window)
		steps = append(steps, qmptest.ExpectNothing(time.Minute),
			qmptest.Return(`"late"`, qmptest.Oldest()), qmptest.Expect("next"), qmptest.Return(`"next"`))
		p := memory(t, connected("oob", append(steps, qmptest.ExpectEOF())...)...)
		c := dial(t, p, nil)
		ctx, cancel := context.WithCancel(t.Context())
		calls := startN(ctx, c, "x", 0, window)
		cancel()
		for _, call := range calls {
			wantInterrupted(t, "canceled", (<-call).err, true, context.Canceled)
		}
		if b, _ := async.ReadCounts(c); b.Pending != window || b.Window != 0 {
			t.Errorf("after all were canceled: got %+v, want %d pending and no place free", b, window)
		}
		execute(t, c, "next", `"next"`)
		if b, _ := async.ReadCounts(c); b.Pending != window-1 || b.Window != 1 {
			t.Errorf("after the reply to one: got %+v, want %d pending and one place free", b, window-1)
		}
	})
}

// A call gives up while it waits at the window. Its error names the oldest
// unanswered command and its age. The call leaves the queue, and was never
// sent.
func TestE8GivingUpNamesTheOldest(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		steps := expectN("x", 0, window)
		steps = append(steps, qmptest.ExpectNothing(time.Minute), qmptest.Return(`{}`, qmptest.Oldest()), qmptest.Expect("patient"), qmptest.Return(`{}`))
		p := memory(t, connected("oob", append(steps, qmptest.ExpectEOF())...)...)
		c := dial(t, p, nil)
		first := startN(t.Context(), c, "x", 0, 1)
		time.Sleep(1500 * time.Millisecond)
		startN(t.Context(), c, "x", 1, window)

		why := errors.New("no patience")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, why)
		defer cancel()
		impatient := start(ctx, c, async.Command{Name: "impatient"})
		synctest.Wait()
		patient := start(t.Context(), c, async.Command{Name: "patient"})
		err := (<-impatient).err
		e := wantInterrupted(t, "impatient", err, false, context.DeadlineExceeded, why)
		const note = "waiting for earlier commands: 8 unanswered, the oldest (x0) for 3.5s"
		if e.Note != note {
			t.Errorf("got note %q, want %q", e.Note, note)
		}
		wantText(t, "impatient", err, "impatient: interrupted before it was sent ("+note+")")
		if b, _ := async.ReadCounts(c); b.Waiting != 1 {
			t.Errorf("got %d in the queue, want 1", b.Waiting)
		}
		wantNil(t, "the oldest", (<-first[0]).err)
		wantNil(t, "patient", (<-patient).err)
	})
}

// A call gets its place in the window at the moment at which it gives up. The
// place goes to the next call.
func TestE8GrantIsHandedOn(t *testing.T) {
	t.Parallel()
	handedOn := 0
	for range 100 {
		bubble(t, func(t *testing.T) {
			steps := expectN("x", 0, window)
			steps = append(steps, qmptest.AwaitMark("answer"), qmptest.Return(`{}`, qmptest.Oldest()),
				qmptest.ExpectFunc("one of the two", func(qmptest.Message) error { return nil }), qmptest.Stall())
			p := memory(t, connected("oob", steps...)...)
			giveUp := func() {}
			c := dial(t, p, &async.Options{OnReceive: func(json.RawMessage) json.RawMessage {
				giveUp() // in the reader, just before it grants the place
				return nil
			}})
			startN(t.Context(), c, "x", 0, window)
			ctx, cancel := context.WithCancel(t.Context())
			leaving := start(ctx, c, async.Command{Name: "leaving"})
			synctest.Wait()
			staying := start(t.Context(), c, async.Command{Name: "staying"})
			synctest.Wait()
			giveUp = cancel
			p.Mark("answer")
			e := wantAs[*async.ExecInterruptedError](t, "leaving", (<-leaving).err)
			synctest.Wait()
			b, _ := async.ReadCounts(c)
			want := async.Counts{Pending: window, Descriptors: 1, Turn: true}
			if e.Sent {
				want.Waiting = 1
			} else {
				handedOn++
			}
			if b != want {
				t.Fatalf("got %+v, want %+v", b, want)
			}
			c.Close()
			wantInterrupted(t, "staying", (<-staying).err, !e.Sent, async.ErrClosed)
		})
	}
	if handedOn == 0 {
		t.Error("no call gave its place to the next one, so this test has tested nothing")
	}
}

// A command that needs two places has the first, and gives up while it waits
// for the second. It gives the first one back.
func TestE8GivingUpGivesBothPlacesBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		steps := append(expectN("x", 0, window), qmptest.Pause(time.Minute))
		for range window {
			steps = append(steps, qmptest.Return(`{}`, qmptest.Oldest()))
		}
		var conn net.Conn
		p := memory(t, connected("oob", append(steps, qmptest.Expect("after"), qmptest.Return(`{}`))...)...)
		c := dial(t, p, &async.Options{Dialer: rig(p, func(made net.Conn) net.Conn { conn = made; return made })})
		async.RigSender(c, async.RiggedSender{Try: func(b []byte, _ []*os.File) (int, error) { return conn.Write(b) }})
		calls := startN(t.Context(), c, "x", 0, window)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		files := []*os.File{os.Stdin}
		_, err := c.Do(ctx, async.Command{Name: "victim", Files: files})
		wantInterrupted(t, "victim", err, false, context.DeadlineExceeded)
		if b, _ := async.ReadCounts(c); b.Descriptors != 1 || b.Waiting != 0 {
			t.Errorf("got %+v, want the place for descriptors free and no command waiting", b)
		}
		for _, call := range calls {
			wantNil(t, "x", (<-call).err)
		}
		_, err = c.Do(t.Context(), async.Command{Name: "after", Files: files})
		wantNil(t, "after", err)
		wantNothingPending(t, c)
	})
}

// Without oob, commands do not wait for each other. A canceled call leaves the
// table of pending calls at once.
func TestE8PipelinedWithoutOOB(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		offered string
		opts    async.Options
	}{"not offered": {"", async.Options{}}, "declined": {"oob", async.Options{NoOOB: true}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				const n = 100
				steps := append(expectN("x", 0, n), qmptest.Expect("next"), qmptest.Return(`{}`))
				p := memory(t, connected(tt.offered, append(steps, qmptest.ExpectEOF())...)...)
				c := dial(t, p, &tt.opts)
				ctx, cancel := context.WithCancel(t.Context())
				calls := startN(ctx, c, "x", 0, n)
				if b, _ := async.ReadCounts(c); b.Pending != n {
					t.Errorf("got %d pending, want %d", b.Pending, n)
				}
				cancel()
				for _, call := range calls {
					wantInterrupted(t, "canceled", (<-call).err, true, context.Canceled)
				}
				wantNothingPending(t, c)
				execute(t, c, "next", "{}")
			})
		})
	}
}

// Calls that wait at the window end when a Disconnect begins, although
// Disconnect first waits for the message that is being written.
func TestE8DisconnectEndsTheWait(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := play(t, qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: 512},
			connected("oob", append(expectN("x", 0, window-1), qmptest.AwaitMark("read on"), qmptest.Expect("big"), qmptest.ExpectEOF())...)...)
		c := dial(t, p, nil)
		startN(t.Context(), c, "x", 0, window-1)
		start(t.Context(), c, async.Command{Name: "big", Args: map[string]any{"x": strings.Repeat("x", 4096)}})
		synctest.Wait()
		ninth := start(t.Context(), c, async.Command{Name: "ninth"})
		synctest.Wait()
		ended := do(func() error { return c.Disconnect(context.Background()) })
		synctest.Wait()
		select {
		case got := <-ninth:
			wantInterrupted(t, "ninth", got.err, false, async.ErrClosed)
		default:
			t.Error("the ninth still waits, although Disconnect has begun")
		}
		p.Mark("read on")
		wantNil(t, "Disconnect", <-ended)
	})
}

// A call has left the window and waits for its turn to write. Calls that came
// later do not overtake it.
func TestE8NewcomersDoNotOvertake(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		steps := append(expectN("x", 0, window), qmptest.AwaitMark("answer"),
			qmptest.Return(`{}`, qmptest.Oldest()), qmptest.Return(`{}`, qmptest.Oldest()), qmptest.Return(`{}`, qmptest.Oldest()),
			qmptest.ExpectOOB("stuck"))
		steps = append(steps, expectN("x", window, window+3)...)
		var conn net.Conn
		p := memory(t, connected("oob", append(steps, qmptest.ExpectEOF())...)...)
		c := dial(t, p, &async.Options{Dialer: rig(p, func(made net.Conn) net.Conn {
			conn = made
			return made
		})})
		goOn := make(chan struct{})
		async.RigSender(c, async.RiggedSender{
			Try: func(b []byte, _ []*os.File) (int, error) {
				if strings.Contains(string(b), "stuck") {
					return 0, nil
				}
				return conn.Write(b)
			},
			Send: func(b []byte, _ []*os.File) (int, error) {
				<-goOn
				return conn.Write(b)
			},
		})
		startN(t.Context(), c, "x", 0, window)
		startN(t.Context(), c, "x", window, window+2) // they wait at the window
		start(t.Context(), c, async.Command{Name: "stuck", OOB: true})
		synctest.Wait()
		p.Mark("answer")
		synctest.Wait() // the first of them has a place, and waits for its turn to write
		startN(t.Context(), c, "x", window+2, window+3)
		close(goOn)
		synctest.Wait()
		wantNil(t, "Close", c.Close())
	})
}
