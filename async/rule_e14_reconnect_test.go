// Tests of rule E14 (reconnecting): what a client with Options.Reconnect does when its
// connection hangsUp, in each phase.
// The code that they hold: reconnect.go and series.go.
package async_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// again returns a script of several connections: each has steps of its own, after the
// handshake.
func again(connections ...[]qmptest.Step) (steps []qmptest.Step) {
	for i, c := range connections {
		if i > 0 {
			steps = append(steps, qmptest.Accept())
		}
		steps = append(steps, connected("", c...)...)
	}
	return steps
}

// answered returns steps in which the server answers a command, so that the connection is
// useful.
func answered(name string) []qmptest.Step {
	return []qmptest.Step{qmptest.Expect(name), qmptest.Return(`{}`)}
}

var hangsUp = []qmptest.Step{qmptest.Expect("end"), qmptest.HangUp()}

// end executes the command end of hangsUp.
func end(t testing.TB, c *async.Client) {
	t.Helper()
	_, err := c.Execute(t.Context(), "end", nil)
	wantInterrupted(t, "end", err, true, io.EOF)
}

// wantCauses checks the states and the causes of all transitions. A word of want is a
// state, and "!" after it says that the transition to it has a cause.
func wantCauses(t testing.TB, w *async.RunstateWatcher, want string) {
	t.Helper()
	w.Close()
	got := []string{async.Idle.String()}
	for {
		tr, err := w.Next(context.Background())
		if err != nil {
			break
		}
		state := tr.To.String()
		if tr.Cause != nil {
			state += "!"
		}
		got = append(got, state)
	}
	if !slices.Equal(got, strings.Fields(want)) {
		t.Errorf("transitions:\n got %v\nwant %v", got, want)
	}
}

// The whole story: a connection ends while a command is pending and an event is
// unread, the client waits and connects again, and goes on.
func TestE14ConnectsAgain(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, again(
			[]qmptest.Step{qmptest.Expect("end"), qmptest.Event("LAST", ""), qmptest.HangUp()},
			[]qmptest.Step{qmptest.Event("FIRST", ""), qmptest.Expect("after"), qmptest.Return(`{}`)})...)
		c := newClient(t, &async.Options{
			Dialer: dialling(p, nil, errNoSocket, errNoServer, nil), Backoff: async.Every(time.Second), Reconnect: &async.Reconnect{},
		})
		w, l := c.WatchRunstate(), c.NewListener(nil)
		connect(t, c)
		if n := c.Session(); n != 1 {
			t.Errorf("Session: got %d, want 1", n)
		}
		done := c.Done()
		begin := time.Now()
		_, err := c.Execute(t.Context(), "end", nil)
		if e := wantInterrupted(t, "end", err, true, io.EOF); e.Session != 1 {
			t.Errorf("end: got session %d, want 1", e.Session)
		}

		// In the gap.
		wantState(t, c, async.Connecting)
		_, err = c.Execute(t.Context(), "gap", nil)
		if e := wantAs[*async.StateError](t, "gap", err); e.Cause != io.EOF || e.State != async.Connecting || !async.HungUp(err) {
			t.Errorf("gap: got %+v, want the state CONNECTING and the cause io.EOF", e)
		}
		wantText(t, "gap", err, "EOF", "connecting again")
		wantAs[*async.StateError](t, "Connect in the gap", c.Connect(t.Context(), ""))
		wantInstant(t, "all calls in the gap", begin)

		// Reading goes on across it.
		next := func() (async.Event, error) { return l.Next(t.Context()) }
		if ev, err := next(); err != nil || ev.Name != "LAST" || ev.Session != 1 {
			t.Errorf("first read: got %+v, %v", ev, err)
		}
		_, err = next()
		if e := wantAs[*async.ExecInterruptedError](t, "second read", err); e.Session != 1 || e.Err != io.EOF {
			t.Errorf("second read: got %+v, want the notice that session 1 ended", e)
		}
		ev, err := next()
		if err != nil || ev.Name != "FIRST" || ev.Session != 2 {
			t.Errorf("third read: got %+v, %v", ev, err)
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("the third attempt came after %v, want 3s", took)
		}
		synctest.Wait()
		execute(t, c, "after", "{}")
		select {
		case <-done:
			t.Error("Done is closed")
		default:
		}
		wantNil(t, "Err", c.Err())
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		<-done
		wantIs(t, "Err", c.Err(), async.ErrClosed)
		wantCauses(t, w, "IDLE CONNECTING RUNNING CONNECTING! RUNNING DISCONNECTING IDLE")
		wantWire(t, p, "qmp_capabilities end", "qmp_capabilities after")
	})
}

// onConnectFails returns an OnConnect that fails as errs say, one call after another,
// and then succeeds.
func onConnectFails(errs ...error) func(context.Context, async.Caller) error {
	return func(context.Context, async.Caller) error {
		if len(errs) == 0 {
			return nil
		}
		err := errs[0]
		errs = errs[1:]
		return err
	}
}

// An attempt to connect again may fail in each phase and in each way. The next attempt
// succeeds.
func TestE14EndInEachPhase(t *testing.T) {
	t.Parallel()
	connections := func(second ...qmptest.Step) []qmptest.Step {
		return slices.Concat(connected("", hangsUp...), []qmptest.Step{qmptest.Accept()}, second, []qmptest.Step{qmptest.Accept()}, connected("", answered("after")...))
	}
	greet, negotiate := qmptest.Greet(), qmptest.Expect("qmp_capabilities")
	ok := qmptest.Return(`{}`)
	const attempt, greeting = 20 * time.Second, 5 * time.Second
	tests := []struct {
		name   string
		dials  []error        // after the first one
		second []qmptest.Step // of the second connection; nil if there is none
		errs   []error        // of OnConnect, after the first call
		block  bool           // the second call of OnConnect returns when its context ends
		took   time.Duration  // from the end of the first connection to the third
	}{
		{name: "the first attempt succeeds", took: time.Second},
		{name: "no server", dials: []error{errNoServer}, took: 2 * time.Second},
		{name: "no permission", dials: []error{errNoRights}, took: 2 * time.Second},
		{name: "a dialer's own error", dials: []error{errors.New("the tunnel is down")}, took: 2 * time.Second},
		{name: "no connection", dials: []error{errNothing}, took: 2 * time.Second},
		{name: "a dialer that blocks", dials: []error{errBlocks}, took: 2*time.Second + attempt},
		{name: "end before the greeting", second: []qmptest.Step{qmptest.HangUp()}, took: 2 * time.Second},
		{name: "reset before the greeting", second: []qmptest.Step{qmptest.Reset()}, took: 2 * time.Second},
		{name: "no greeting", second: []qmptest.Step{qmptest.Stall()}, took: 2*time.Second + greeting},
		{name: "another protocol", second: []qmptest.Step{qmptest.Send("HTTP/1.1 400 Bad Request\r\n"), qmptest.Stall()}, took: 2 * time.Second},
		{name: "end before the reply", second: []qmptest.Step{greet, negotiate, qmptest.HangUp()}, took: 2 * time.Second},
		{name: "reset before the reply", second: []qmptest.Step{greet, negotiate, qmptest.Reset()}, took: 2 * time.Second},
		{name: "no reply", second: []qmptest.Step{greet, negotiate, qmptest.Stall()}, took: 2*time.Second + attempt},
		{name: "negotiation refused", second: []qmptest.Step{greet, negotiate, qmptest.ReturnError("CommandNotFound", "no"), qmptest.ExpectEOF()}, took: 2 * time.Second},
		{name: "OnConnect fails", second: []qmptest.Step{greet, negotiate, ok, qmptest.ExpectEOF()}, errs: []error{io.ErrNoProgress}, took: 2 * time.Second},
		{name: "OnConnect blocks", second: []qmptest.Step{greet, negotiate, ok, qmptest.ExpectEOF()}, block: true, took: 2*time.Second + attempt},
		{name: "end during OnConnect", second: []qmptest.Step{greet, negotiate, ok, qmptest.Pause(3 * time.Second), qmptest.HangUp()}, block: true, took: 5 * time.Second},
		{name: "end directly after the handshake", second: []qmptest.Step{greet, negotiate, ok, qmptest.HangUp()}, took: 2 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				steps := connections(tt.second...)
				if tt.second == nil {
					steps = again(hangsUp, answered("after"))
				}
				p := memory(t, steps...)
				fails := onConnectFails(append([]error{nil}, tt.errs...)...)
				calls := 0
				c := newClient(t, &async.Options{
					Dialer: dialling(p, slices.Concat([]error{nil}, tt.dials, []error{nil})...), Backoff: async.Every(time.Second),
					Reconnect: &async.Reconnect{
						AttemptTimeout: attempt, GreetingTimeout: greeting,
						OnConnect: func(ctx context.Context, c async.Caller) error {
							if calls++; calls == 2 && tt.block {
								<-ctx.Done()
								return ctx.Err()
							}
							return fails(ctx, c)
						},
					},
				})
				l := c.NewListener(nil)
				connect(t, c)
				begin := time.Now()
				end(t, c)
				w := c.WatchRunstate()
				for c.Session() == 1 || c.Runstate() != async.Running {
					_, err := w.Next(t.Context())
					wantNil(t, "watcher", err)
					synctest.Wait()
				}
				if took := time.Since(begin); took != tt.took {
					t.Errorf("connected again after %v, want %v", took, tt.took)
				}
				execute(t, c, "after", "{}")
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
				_, err := l.Drain()
				wantAs[*async.ExecInterruptedError](t, "listener", err)
			})
		})
	}
}

// What dialling does in place of returning these errors.
var (
	errBlocks  = errors.New("waits until the context ends")
	errNothing = errors.New("returns neither a connection nor an error")
)

// When the client gives up, everything says so at once, and why.
func TestE14GivesUp(t *testing.T) {
	t.Parallel()
	refuse := errors.New("not this machine")
	tests := []struct {
		name     string
		policy   func() async.Backoff
		opts     async.Reconnect
		dials    []error // after the first one; none if each makes a connection
		second   bool    // the second dial makes a connection
		took     time.Duration
		attempts int
		text     string
		errs     []error
	}{
		{
			name: "policy", policy: func() async.Backoff { return backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Second), 3) },
			dials: []error{errNoServer}, took: 3 * time.Second, attempts: 3, text: "async.Options.Backoff", errs: []error{io.EOF, syscall.ECONNREFUSED},
		},
		{
			name: "MaxAttempts", opts: async.Reconnect{MaxAttempts: 2},
			dials: []error{errNoSocket, errNoServer}, took: 2 * time.Second, attempts: 2, text: "MaxAttempts", errs: []error{io.EOF, syscall.ENOENT, syscall.ECONNREFUSED},
		},
		{
			name: "MaxTime", opts: async.Reconnect{MaxTime: 3500 * time.Millisecond},
			dials: []error{errNoServer}, took: 3 * time.Second, attempts: 3, text: "MaxTime", errs: []error{io.EOF, syscall.ECONNREFUSED},
		},
		{
			name: "MaxTime during an attempt", opts: async.Reconnect{MaxTime: 3500 * time.Millisecond},
			dials: []error{errNoServer, errBlocks}, took: 3500 * time.Millisecond, attempts: 2, text: "MaxTime", errs: []error{io.EOF, context.DeadlineExceeded},
		},
		{
			name: "the Dialer's error is permanent", dials: []error{errNoServer, backoff.Permanent(refuse)},
			took: 2 * time.Second, attempts: 2, text: "permanent", errs: []error{io.EOF, refuse, syscall.ECONNREFUSED},
		},
		{
			name: "OnConnect's error is permanent", opts: async.Reconnect{OnConnect: onConnectFails(nil, backoff.Permanent(refuse))}, second: true,
			took: time.Second, attempts: 1, text: "permanent", errs: []error{io.EOF, refuse},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				steps := connected("", hangsUp...)
				if tt.second {
					steps = again(hangsUp, []qmptest.Step{qmptest.ExpectEOF()})
				}
				p := memory(t, steps...)
				policy := tt.policy
				if policy == nil {
					policy = async.Every(time.Second)
				}
				dials := append([]error{nil}, tt.dials...) // the last one is repeated
				c := newClient(t, &async.Options{Nickname: "vm1", Backoff: policy, Reconnect: &tt.opts, Dialer: dialling(p, dials...)})
				w, l := c.WatchRunstate(), c.NewListener(nil)
				connect(t, c)
				begin := time.Now()
				end(t, c)
				_, err := l.Next(t.Context())
				wantAs[*async.ExecInterruptedError](t, "the notice", err)
				_, err = l.Next(t.Context()) // waits until the client gives up
				state := wantAs[*async.StateError](t, "the wait", err)
				gaveUp := wantAs[*async.GaveUpError](t, "the wait", state.Cause)
				if took := time.Since(begin); took != tt.took || gaveUp.Took != took {
					t.Errorf("gave up after %v, which the error says is %v, want %v", took, gaveUp.Took, tt.took)
				}
				if gaveUp.Attempts != tt.attempts {
					t.Errorf("gave up after %d attempts, want %d", gaveUp.Attempts, tt.attempts)
				}
				<-c.Done()
				wantState(t, c, async.Disconnecting)
				_, err = c.Execute(t.Context(), "x", nil)
				if e := wantAs[*async.StateError](t, "a call", err); e.Cause != error(gaveUp) {
					t.Errorf("a call: got the cause %v, want %v", e.Cause, gaveUp)
				}
				for what, err := range map[string]error{"Err": c.Err(), "Disconnect": c.Disconnect(t.Context())} {
					wantIs(t, what, err, tt.errs...)
					wantText(t, what, err, "vm1", "gave up connecting again", tt.text)
					wantAs[*async.GaveUpError](t, what, err)
				}
				wantCauses(t, w, "IDLE CONNECTING RUNNING CONNECTING! DISCONNECTING! IDLE!")
				wantNil(t, "second Disconnect", c.Disconnect(t.Context()))
			})
		})
	}
}

// Disconnect and Close end it in each phase, at once, and nothing is left.
func TestE14DisconnectInEachPhase(t *testing.T) {
	t.Parallel()
	phases := map[string]struct {
		second []qmptest.Step // of the second connection; nil if there is none
		dial   error
		wait   time.Duration // after the end of the first connection
	}{
		"waiting":     {wait: time.Second / 2},
		"dialing":     {dial: errBlocks, wait: 2 * time.Second},
		"greeting":    {second: []qmptest.Step{qmptest.ExpectEOF()}, wait: 2 * time.Second},
		"negotiation": {second: []qmptest.Step{qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.ExpectEOF()}, wait: 2 * time.Second},
		"OnConnect":   {second: connected("", qmptest.ExpectEOF()), wait: 2 * time.Second},
		"deaf":        {second: connected("", qmptest.ExpectEOF()), wait: 2 * time.Second}, // an OnConnect that ignores its context
	}
	for name, phase := range phases {
		for _, way := range []string{"Disconnect", "Close"} {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					steps := connected("", hangsUp...)
					if phase.second != nil {
						steps = slices.Concat(steps, []qmptest.Step{qmptest.Accept()}, phase.second)
					}
					calls, deaf := 0, make(chan struct{})
					c := newClient(t, &async.Options{
						Dialer: dialling(memory(t, steps...), nil, phase.dial), Backoff: async.Every(time.Second),
						Reconnect: &async.Reconnect{OnConnect: func(ctx context.Context, _ async.Caller) error {
							if calls++; calls == 1 {
								return nil
							}
							if name == "deaf" {
								<-deaf
								return nil
							}
							<-ctx.Done()
							wantIs(t, "OnConnect's context", context.Cause(ctx), async.ErrClosed)
							return ctx.Err()
						}},
					})
					w, l := c.WatchRunstate(), c.NewListener(nil)
					connect(t, c)
					end(t, c)
					_, err := l.Next(t.Context())
					wantAs[*async.ExecInterruptedError](t, "the notice", err)
					waiting := do(func() error { _, err := l.Next(context.Background()); return err })
					time.Sleep(phase.wait)
					synctest.Wait()
					wantState(t, c, async.Connecting)
					begin := time.Now()
					if way == "Close" {
						err = c.Close()
					} else {
						err = c.Disconnect(t.Context())
					}
					wantIs(t, way, err, io.EOF)
					wantIs(t, "the wait for an event", <-waiting, async.ErrClosed)
					wantInstant(t, way, begin)
					wantState(t, c, async.Idle)
					<-c.Done()
					wantIs(t, "Err", c.Err(), io.EOF)
					wantCauses(t, w, "IDLE CONNECTING RUNNING CONNECTING! DISCONNECTING IDLE!")
					close(deaf)
					time.Sleep(time.Hour)
					wantState(t, c, async.Idle)
				})
			})
		}
	}
}

// A server that greets and hangs up, again and again: the policy's waits grow, since no
// connection was useful. A useful connection resets the policy.
func TestE14UsefulConnections(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		steps []qmptest.Step // of each connection but the first
		lasts time.Duration
		waits []time.Duration // after these connections, in seconds
	}{
		{"hangs up at once", []qmptest.Step{qmptest.HangUp()}, 0, []time.Duration{2, 4, 8, 8}},
		{"hangs up after a little while", []qmptest.Step{qmptest.Pause(time.Second - 1), qmptest.HangUp()}, time.Second - 1, []time.Duration{2, 4, 8, 8}},
		{"lasts for a second", []qmptest.Step{qmptest.Pause(time.Second), qmptest.HangUp()}, time.Second, []time.Duration{1, 1, 1, 1}},
		{"answers a command", append(answered("use"), qmptest.HangUp()), 0, []time.Duration{1, 1, 1, 1}},
		{"answers only OnConnect", append(answered("set-up"), qmptest.HangUp()), 0, []time.Duration{2, 4, 8, 8}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				connections := [][]qmptest.Step{hangsUp}
				if tt.name == "answers only OnConnect" {
					connections[0] = append(answered("set-up"), hangsUp...)
				}
				for range tt.waits {
					connections = append(connections, tt.steps)
				}
				p := memory(t, again(connections...)...)
				enough := make(chan struct{})
				var dials []time.Time
				c := newClient(t, &async.Options{
					Backoff: func() async.Backoff { return doubling() },
					Dialer: func(ctx context.Context) (net.Conn, error) {
						if dials = append(dials, time.Now()); len(dials) == len(connections)+1 {
							close(enough)
							<-ctx.Done()
							return nil, ctx.Err()
						}
						return p.Dial(ctx)
					},
					Reconnect: &async.Reconnect{OnConnect: func(ctx context.Context, c async.Caller) error {
						if tt.name != "answers only OnConnect" {
							return nil
						}
						_, err := async.Call[struct{}](ctx, c, "set-up", nil)
						return err
					}},
				})
				connect(t, c)
				end(t, c)
				lost := time.Now()
				w := c.WatchRunstate()
				using := do(func() error {
					for tr := range w.All(context.Background()) {
						if tr.To == async.Running && tt.name == "answers a command" {
							execute(t, c, "use", "{}")
						}
					}
					return nil
				})
				<-enough
				w.Close()
				<-using
				var waits []time.Duration
				for _, at := range dials[1:] {
					waits = append(waits, at.Sub(lost)/time.Second)
					lost = at.Add(tt.lasts)
				}
				if !slices.Equal(waits, append([]time.Duration{1}, tt.waits...)) {
					t.Errorf("waits: got %v, want 1 and %v", waits, tt.waits)
				}
				c.Close()
			})
		})
	}
}

// Whatever a policy returns, the client is not busy: at most a hundred attempts a
// second.
func TestE14PoliciesThatReturnNonsense(t *testing.T) {
	t.Parallel()
	nan := 0.0
	nan /= nan
	tests := []struct {
		name  string
		wait  time.Duration
		dials int // in a minute, after the first one
	}{
		{"nothing", 0, 60*100 - 1},
		{"a nanosecond", 1, 60*100 - 1},
		{"for ever", 1<<63 - 1, 0},
		{"Stop", backoff.Stop, 0},
		{"negative", -time.Hour, 0},
		{"not a number", time.Duration(nan), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				dials := 0
				dial := dialling(memory(t, connected("", hangsUp...)...), nil, errNoServer)
				c := newClient(t, &async.Options{
					Backoff: func() async.Backoff { return backoff.NewConstantBackOff(tt.wait) }, Reconnect: &async.Reconnect{},
					Dialer: func(ctx context.Context) (net.Conn, error) { dials++; return dial(ctx) },
				})
				connect(t, c)
				end(t, c)
				time.Sleep(time.Minute - 1)
				wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
				if dials--; dials != tt.dials {
					t.Errorf("got %d dials in a minute, want %d", dials, tt.dials)
				}
			})
		})
	}
}
