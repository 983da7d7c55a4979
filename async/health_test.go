// Tests of Health and Keepalive.
// The code that they hold: health.go and keepalive.go.
package async_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// changes records what OnChange is told.
type changes struct {
	begin time.Time
	mu    sync.Mutex
	list  []string
	last  async.Health
}

func newChanges() *changes { return &changes{begin: time.Now()} }

func (c *changes) note(from async.Verdict, now async.Health) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, fmt.Sprintf("%v %s>%s", time.Since(c.begin).Round(time.Millisecond), from, now.Verdict))
	c.last = now
}

func (c *changes) want(t *testing.T, want ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.list, want) {
		t.Errorf("changes:\n got %q\nwant %q", c.list, want)
	}
}

func wantVerdict(t *testing.T, c *async.Client, want async.Verdict) async.Health {
	t.Helper()
	h := c.Health()
	if h.Verdict != want {
		t.Errorf("Health: got %v, want %v", h, want)
	}
	return h
}

// Without a keepalive, Health looks at the commands that callers have sent and at what
// came back. It sends nothing.
func TestHealthObserves(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("oob",
			qmptest.Expect("slow"), qmptest.Pause(15*time.Second), qmptest.Event("E", ""), qmptest.Pause(15*time.Second), qmptest.Return(`1`),
			qmptest.ExpectOOB("now"), qmptest.Pause(12*time.Second), qmptest.Return(`2`), qmptest.HangUp())...)
		c := newClient(t, &async.Options{Dialer: p.Dial})
		if h := wantVerdict(t, c, async.Gone); h.Err != nil || h.State != async.Idle {
			t.Errorf("before the first connection: %+v", h)
		}
		connect(t, c)
		time.Sleep(30 * time.Minute)
		h := wantVerdict(t, c, async.Healthy)
		if h.Time.Sub(h.LastReceived).Round(time.Second) != 30*time.Minute || h.State != async.Running || h.Unanswered != 0 || h.Oldest != "" {
			t.Errorf("idle: %+v", h)
		}
		slow := start(t.Context(), c, async.Command{Name: "slow"})
		for _, want := range []struct {
			after   time.Duration // since the last look
			verdict async.Verdict
			age     time.Duration
			text    string
		}{
			{9 * time.Second, async.Healthy, 9 * time.Second, "healthy: 1 commands unanswered, the oldest (slow) for 9s; last byte received 30m9s ago"},
			{time.Second, async.Silent, 10 * time.Second, "silent: 1 commands"},
			{5 * time.Second, async.Busy, 15 * time.Second, "last byte received 0s ago"},
			{9 * time.Second, async.Busy, 24 * time.Second, ""},
			{time.Second, async.Silent, 25 * time.Second, ""},
		} {
			time.Sleep(want.after)
			synctest.Wait()
			h := wantVerdict(t, c, want.verdict)
			if h.Unanswered != 1 || h.Oldest != "slow" || h.OldestAge != want.age || h.Probe != (async.Probe{}) {
				t.Errorf("got %+v, want slow for %v", h, want.age)
			}
			if !strings.Contains(h.String(), want.text) {
				t.Errorf("String: got %q, want %q in it", h, want.text)
			}
		}
		wantNil(t, "slow", (<-slow).err)
		wantVerdict(t, c, async.Healthy)
		now := start(t.Context(), c, async.Command{Name: "now", OOB: true})
		time.Sleep(11 * time.Second)
		wantVerdict(t, c, async.Silent)
		wantNil(t, "now", (<-now).err)
		synctest.Wait()
		h = wantVerdict(t, c, async.Gone)
		wantIs(t, "Err", h.Err, io.EOF)
		if h.State != async.Disconnecting || !strings.Contains(h.String(), "gone (DISCONNECTING): EOF") {
			t.Errorf("after the end: %v", h)
		}
		wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
		wantIs(t, "Err", wantVerdict(t, c, async.Gone).Err, io.EOF)
	})
}

// A command whose caller gave up is still unanswered.
func TestHealthOfCommandsThatWereGivenUp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		capability string
		verdict    async.Verdict // after the reply to the oldest
		oldest     string
	}{
		{"", async.Healthy, "c"}, // it is not known whether b is answered; c is not late yet
		{"oob", async.Busy, "b"},
	} {
		bubble(t, func(t *testing.T) {
			p := memory(t, connected(tt.capability,
				qmptest.Expect("a"), qmptest.Expect("b"), qmptest.Expect("c"), qmptest.AwaitMark("reply"),
				qmptest.Reply(`{"return":{},"id":2}`), qmptest.Mark("one"), qmptest.AwaitMark("more"),
				qmptest.Reply(`{"return":{},"id":3}`), qmptest.Reply(`{"return":{},"id":4}`), qmptest.Mark("all"))...)
			c := dial(t, p, nil)
			for _, name := range []string{"a", "b", "c"} {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_, err := c.Execute(ctx, name, nil)
				wantInterrupted(t, name, err, true, context.DeadlineExceeded)
				cancel()
			}
			time.Sleep(8 * time.Second)
			if h := wantVerdict(t, c, async.Silent); h.Unanswered != 3 || h.Oldest != "a" || h.OldestAge != 11*time.Second {
				t.Errorf("got %v, want a for 11s and 3 unanswered", h)
			}
			p.Mark("reply")
			p.AwaitMark("one")
			synctest.Wait()
			if h := wantVerdict(t, c, tt.verdict); h.Oldest != tt.oldest {
				t.Errorf("after one reply: %v, want %s as the oldest", h, tt.oldest)
			}
			p.Mark("more")
			p.AwaitMark("all")
			synctest.Wait()
			if h := wantVerdict(t, c, async.Healthy); h.Unanswered != 0 {
				t.Errorf("after all replies: %v", h)
			}
		})
	}
}

// Out-of-band commands are answered while the main loop is busy. The verdict is Busy only
// after the probe has shown that.
func TestKeepaliveFindsABusyServer(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("oob",
			qmptest.Expect("slow"), qmptest.ExpectOOB("query-yank"), qmptest.Pause(time.Second), qmptest.Return(`[]`),
			qmptest.ExpectOOB("query-yank"), qmptest.ReturnError("CommandNotFound", "what?"), qmptest.Mark("busy"),
			qmptest.AwaitMark("go"), qmptest.Reply(`{"return":{},"id":2}`),
			qmptest.ExpectOOB("query-yank"), qmptest.Return(`[]`), qmptest.ExpectEOF())...)
		seen := newChanges()
		c := dial(t, p, &async.Options{Keepalive: &async.Keepalive{OnChange: seen.note}})
		slow := start(t.Context(), c, async.Command{Name: "slow"})
		time.Sleep(12 * time.Second)
		h := wantVerdict(t, c, async.Busy)
		if want := (async.Probe{Command: "query-yank", OOB: true, Time: seen.begin.Add(10 * time.Second), Sent: true, Answered: true, RoundTrip: time.Second}); h.Probe != want {
			t.Errorf("the probe: got %+v, want %+v", h.Probe, want)
		}
		if !strings.Contains(h.String(), "last probe answered after 1s") {
			t.Errorf("String: got %q", h)
		}
		p.AwaitMark("busy")
		synctest.Wait()
		wantVerdict(t, c, async.Busy)
		p.Mark("go")
		wantNil(t, "slow", (<-slow).err)
		time.Sleep(20 * time.Second)
		wantVerdict(t, c, async.Healthy)
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		seen.want(t, "0s gone>healthy", "11s healthy>busy", "26s busy>healthy", "46s healthy>gone")
	})
}

// A server that says nothing any more is asked once, and never again before its answer.
func TestKeepaliveFindsASilentServer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ capability, expect string }{{"oob", "query-yank"}, {"", "query-version"}} {
		bubble(t, func(t *testing.T) {
			expect := qmptest.Expect(tt.expect)
			if tt.capability == "oob" {
				expect = qmptest.ExpectOOB(tt.expect)
			}
			p := memory(t, connected(tt.capability, expect, qmptest.AwaitMark("wake"), qmptest.Return(`{}`), expect, qmptest.ExpectEOF())...)
			seen := newChanges()
			c := dial(t, p, &async.Options{Keepalive: &async.Keepalive{Interval: 30 * time.Second, Timeout: 5 * time.Second, OnChange: seen.note}})
			time.Sleep(30 * time.Minute)
			h := wantVerdict(t, c, async.Silent)
			if h.Unanswered != 0 || h.Probe.Answered || !strings.Contains(h.String(), "probe ("+tt.expect+") unanswered for 29m30s") {
				t.Errorf("Health: %v", h)
			}
			p.Mark("wake")
			synctest.Wait()
			wantVerdict(t, c, async.Healthy)
			time.Sleep(31 * time.Second)
			wantNil(t, "Disconnect", c.Disconnect(t.Context())) // with a probe that is unanswered
			seen.want(t, "0s gone>healthy", "35s healthy>silent", "30m0s silent>healthy", "30m31s healthy>gone")
		})
	}
}

// The guest agent is asked with a command of its own.
func TestKeepaliveOfTheGuestAgent(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, qmptest.Expect("guest-ping"), qmptest.Return(`{}`), qmptest.Expect("guest-ping"), qmptest.Return(`{}`), qmptest.ExpectEOF())
		c := dial(t, p, &async.Options{SkipGreeting: true, SkipNegotiation: true, Keepalive: &async.Keepalive{}})
		if h := c.Health(); !h.LastReceived.IsZero() || strings.Contains(h.String(), "last byte") {
			t.Errorf("before the first byte: %+v", h)
		}
		time.Sleep(31 * time.Second)
		if h := wantVerdict(t, c, async.Healthy); h.Probe.OOB || !h.Probe.Answered {
			t.Errorf("Health: %v", h)
		}
	})
}

// A server that is never silent for an interval is not probed. In band, a command that is
// unanswered takes the place of a probe.
func TestKeepaliveSendsNoNeedlessProbes(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var steps []qmptest.Step
		for range 100 {
			steps = append(steps, qmptest.Pause(14*time.Second), qmptest.Event("E", ""))
		}
		steps = append(steps, qmptest.Expect("slow"), qmptest.Pause(20*time.Minute), qmptest.Return(`{}`))
		seen := newChanges()
		c := dial(t, memory(t, connected("", steps...)...), &async.Options{Keepalive: &async.Keepalive{OnChange: seen.note}})
		time.Sleep(100 * 14 * time.Second)
		synctest.Wait()
		execute(t, c, "slow", "{}")
		synctest.Wait()
		wantVerdict(t, c, async.Healthy)
		if h := c.Health(); h.Probe != (async.Probe{}) {
			t.Errorf("a probe was sent: %+v", h.Probe)
		}
		seen.want(t, "0s gone>healthy", "23m30s healthy>silent", "43m20s silent>healthy")
	})
}

// A probe takes no place among the eight commands, and does not make an error without
// an id ambiguous.
// Holds E7, E8.
func TestKeepaliveDisturbsNobody(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		steps := append(expectN("c", 0, window), qmptest.ExpectOOB("query-yank"), qmptest.Return(`[]`), qmptest.AwaitMark("go"))
		for i := range window {
			steps = append(steps, qmptest.Reply(fmt.Sprintf(`{"return":%d,"id":%d}`, i, i+2)))
		}
		steps = append(steps, qmptest.Expect("c8"), qmptest.Return(`8`))
		p := memory(t, connected("oob", steps...)...)
		c := dial(t, p, &async.Options{Keepalive: &async.Keepalive{}})
		calls := startN(t.Context(), c, "c", 0, window+1)
		time.Sleep(11 * time.Second)
		if counts, _ := async.ReadCounts(c); counts.Pending != window || counts.Waiting != 1 {
			t.Errorf("got %+v, want %d commands and one that waits", counts, window)
		}
		wantVerdict(t, c, async.Busy)
		p.Mark("go")
		for i, call := range calls {
			r := <-call
			wantValue(t, fmt.Sprint("c", i), r.value, r.err, fmt.Sprint(i))
		}
		wantNothingPending(t, c)
	})
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("oob", qmptest.ExpectOOB("query-yank"), qmptest.Expect("bad"),
			qmptest.Send(`{"error":{"class":"GenericError","desc":"JSON parse error"}}`), qmptest.Reply(`{"return":[],"id":$prev_id}`),
			qmptest.Expect("x"), qmptest.Return(`{}`))...)
		c := dial(t, p, &async.Options{Keepalive: &async.Keepalive{}})
		time.Sleep(16 * time.Second)
		_, err := c.Do(t.Context(), async.Command{Name: "bad", TakesErrorWithoutID: true})
		wantNil(t, "bad", err)
		execute(t, c, "x", "{}")
		if !c.Health().Probe.Answered {
			t.Errorf("the probe's reply was not recognized: %v", c.Health())
		}
	})
}

// CloseWhenSilent ends the connection, and the error says why. Without it nothing ends.
func TestKeepaliveClosesWhenSilent(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("oob", qmptest.Expect("x"), qmptest.Stall())...)
		seen := newChanges()
		c := dial(t, p, &async.Options{Keepalive: &async.Keepalive{OnChange: seen.note, CloseWhenSilent: true}})
		_, err := c.Execute(t.Context(), "x", nil)
		e := wantAs[*async.SilentError](t, "x", wantInterrupted(t, "x", err, true))
		if h := e.Health; h.Verdict != async.Silent || h.Oldest != "x" || async.HungUp(err) {
			t.Errorf("got %v, want evidence; HungUp %v", h, async.HungUp(err))
		}
		wantText(t, "x", err, "the server was silent", "CloseWhenSilent", "the oldest (x) for 20s")
		synctest.Wait()
		wantAs[*async.SilentError](t, "Health", wantVerdict(t, c, async.Gone).Err)
		wantAs[*async.SilentError](t, "Disconnect", c.Disconnect(t.Context()))
		seen.want(t, "0s gone>healthy", "20s healthy>silent", "20s silent>gone")
	})
}

// A server that reads slowly is not silent, however long a message takes. One that reads
// nothing is. The probe waits until the message is written.
// Holds E4, E11.
func TestKeepaliveWhileAMessageIsWritten(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		seen := newChanges()
		go1 := make(chan struct{}, 1000)
		near, far := qmptest.PipeSize(64)
		go func() { // the server reads 64 bytes when it is told to
			io.WriteString(far, `{"QMP":{"version":{},"capabilities":["oob"]}}`)
			readCommand(far)
			io.WriteString(far, `{"return":{},"id":1}`)
			for range go1 {
				if _, err := far.Read(make([]byte, 64)); err != nil {
					return
				}
			}
		}()
		defer far.Close()
		defer close(go1)
		c := newClient(t, &async.Options{Keepalive: &async.Keepalive{OnChange: seen.note}})
		wantNil(t, "Attach", c.Attach(t.Context(), near))
		async.RigSender(c, async.RiggedSender{Try: nothing, Send: func(b []byte, _ []*os.File) (int, error) {
			return near.Write(b[:min(len(b), 64)]) // as a socket does
		}})
		big := start(t.Context(), c, async.Command{Name: "big", Args: map[string]any{"x": strings.Repeat("x", 6400)}})
		for range 20 {
			time.Sleep(3 * time.Second)
			go1 <- struct{}{}
		}
		synctest.Wait()
		if h := wantVerdict(t, c, async.Busy); h.Probe.Sent || h.Probe.Command == "" {
			t.Errorf("while a message is written: %v", h)
		}
		time.Sleep(time.Minute)
		wantVerdict(t, c, async.Silent)
		wantNil(t, "Close", c.Close())
		<-big
		seen.want(t, "0s gone>healthy", "20s healthy>busy", "1m10s busy>silent", "2m0s silent>gone")
	})
}

// Disconnect returns after OnChange has, and nothing is left then.
// Holds E2.
func TestKeepaliveNothingIsLeft(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		p := memory(t, connected("oob", qmptest.ExpectOOB("query-yank"), qmptest.Stall())...)
		told := 0
		var c *async.Client
		opts := &async.Options{Keepalive: &async.Keepalive{OnChange: func(_ async.Verdict, now async.Health) {
			told++
			if now.Verdict == async.Silent {
				_, err := c.Execute(t.Context(), "x", nil) // it may call any method but Disconnect and Close
				wantInterrupted(t, "x", err, true, async.ErrClosed)
				<-release
			}
		}}, Dialer: p.Dial}
		c = newClient(t, opts)
		opts.Keepalive.OnChange = nil // the client has a copy
		connect(t, c)
		time.Sleep(time.Minute)
		done := do(func() error { return c.Disconnect(t.Context()) })
		synctest.Wait()
		select {
		case <-done:
			t.Error("Disconnect returned before OnChange")
		default:
		}
		close(release)
		wantNil(t, "Disconnect", <-done)
		if told != 3 {
			t.Errorf("OnChange was called %d times, want 3", told)
		}
	})
}

// If no probe can be sent, that is not evidence against the server.
func TestKeepaliveProbeThatCannotBeSent(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("oob", qmptest.ExpectEOF())...)
		c := dial(t, p, &async.Options{Keepalive: &async.Keepalive{}, OnSend: func(m json.RawMessage) json.RawMessage {
			if strings.Contains(string(m), "query-yank") {
				return json.RawMessage(`not JSON`)
			}
			return nil
		}})
		time.Sleep(30 * time.Minute)
		if h := wantVerdict(t, c, async.Healthy); h.Probe != (async.Probe{}) {
			t.Errorf("Health: %v", h)
		}
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	})
	bubble(t, func(t *testing.T) {
		p := memory(t, qmptest.Send(`{"QMP":0}`), qmptest.ExpectEOF())
		c := dial(t, p, &async.Options{Keepalive: &async.Keepalive{}, SkipGreeting: true, MaxMessage: 20, SkipNegotiation: true})
		time.Sleep(30 * time.Minute)
		wantVerdict(t, c, async.Healthy)
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	})
}

// The verdict changes, the connection ends and begins, and callers come and go, all at
// the same time.
func TestKeepaliveEverythingAtOnce(t *testing.T) {
	t.Parallel()
	s := qmptest.Start(t, nil)
	var mu sync.Mutex
	last := async.Gone
	c := newClient(t, &async.Options{Keepalive: &async.Keepalive{
		Interval: 50 * time.Microsecond, Timeout: 20 * time.Microsecond,
		OnChange: func(from async.Verdict, now async.Health) {
			mu.Lock()
			defer mu.Unlock()
			if from != last || from == now.Verdict {
				t.Errorf("told of a change from %v to %v; the last verdict was %v", from, now.Verdict, last)
			}
			last = now.Verdict
		},
	}})
	for range 30 {
		if err := c.Connect(t.Context(), s.Addr()); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					_ = c.Health().String()
					if _, err := c.Execute(t.Context(), "query-status", nil); err != nil {
						return
					}
				}
			})
		}
		time.Sleep(2 * time.Millisecond)
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		if mu.Lock(); last != async.Gone {
			t.Errorf("after Disconnect OnChange was told %v last", last)
		}
		mu.Unlock()
		wg.Wait()
	}
}

// Between the probes a connection has its reader and no other goroutine. (Not parallel:
// it counts what the whole process has.)
func TestE2KeepaliveHasNoGoroutine(t *testing.T) {
	const n = 20
	s := qmptest.Start(t, &qmptest.Options{ManyClients: true})
	var told sync.WaitGroup
	told.Add(n)
	for range n {
		c := newClient(t, &async.Options{Keepalive: &async.Keepalive{OnChange: func(from async.Verdict, _ async.Health) {
			if from == async.Gone {
				told.Done()
			}
		}}})
		if err := c.Connect(t.Context(), s.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	told.Wait()
	if got := len(engineGoroutines()); got != n {
		t.Errorf("%d connections: got %d goroutines, want one each", n, got)
	}
}

// A client that connects again: the verdict is Gone meanwhile, with the reason, and each
// connection is watched. A server that is silent is left, if that is asked for, and the
// client connects again.
// Holds E14.
func TestHealthAcrossReconnects(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, slices.Concat(
			connected("oob", qmptest.AwaitMark("end"), qmptest.HangUp(), qmptest.Accept()),
			connected("oob", qmptest.ExpectOOB("query-yank"), qmptest.ExpectEOF(), qmptest.Accept()),
			connected("oob", qmptest.Expect("x"), qmptest.Return(`{}`), qmptest.ExpectEOF()))...)
		seen := newChanges()
		c := dial(t, p, &async.Options{
			Backoff: async.Every(3 * time.Second), Reconnect: &async.Reconnect{},
			Keepalive: &async.Keepalive{OnChange: seen.note, CloseWhenSilent: true},
		})
		synctest.Wait() // until OnChange was told that the connection is there
		p.Mark("end")
		time.Sleep(time.Second)
		h := wantVerdict(t, c, async.Gone)
		wantIs(t, "Health during the gap", h.Err, io.EOF)
		if h.State != async.Connecting {
			t.Errorf("during the gap: %v, want it to be connecting", h)
		}
		time.Sleep(3 * time.Second)
		wantVerdict(t, c, async.Healthy)
		time.Sleep(25 * time.Second) // the probe, and its timeout
		wantAs[*async.SilentError](t, "Health during the second gap", wantVerdict(t, c, async.Gone).Err)
		time.Sleep(4 * time.Second)
		execute(t, c, "x", "{}")
		wantVerdict(t, c, async.Healthy)
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		wantIs(t, "Err", wantVerdict(t, c, async.Gone).Err, async.ErrClosed)
		seen.want(t, "0s gone>healthy", "0s healthy>gone", "3s gone>healthy",
			"28s healthy>silent", "28s silent>gone", "31s gone>healthy", "33s healthy>gone")
	})
}
