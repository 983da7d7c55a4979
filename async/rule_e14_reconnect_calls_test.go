// Tests of rule E14 (reconnecting): OnConnect, calls in the gap, and the ways to
// connect.
// The code that they hold: reconnect.go, client.go (ready) and connect.go.
package async_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// connectsAgain returns a client that waits a second before each attempt. It is not
// connected yet.
func connectsAgain(t testing.TB, p *qmptest.Player, r async.Reconnect) *async.Client {
	return newClient(t, &async.Options{Dialer: dialling(p, nil), Backoff: async.Every(time.Second), Reconnect: &r})
}

// OnConnect comes before every other command, on each connection, and only its Caller
// is served meanwhile. Events are delivered.
func TestE14OnConnect(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		setup := []qmptest.Step{qmptest.Event("EARLY", ""), qmptest.Expect("set-up"), qmptest.Pause(time.Minute), qmptest.Return(`{}`)}
		p := memory(t, again(slices.Concat(setup, hangsUp), slices.Concat(setup, answered("after")))...)
		var c *async.Client
		var l *async.EventListener
		var session uint64
		c = newClient(t, &async.Options{Dialer: dialling(p, nil), Backoff: async.Every(time.Second), Reconnect: &async.Reconnect{
			AttemptTimeout: time.Hour,
			OnConnect: func(ctx context.Context, own async.Caller) error {
				session++
				if got := c.Session(); got != session || c.Greeting() == nil {
					t.Errorf("in OnConnect: session %d, greeting %v, want session %d and a greeting", got, c.Greeting(), session)
				}
				setup := do(func() error { _, err := async.Call[struct{}](ctx, own, "set-up", nil); return err })
				synctest.Wait()
				if ev, err := l.Next(t.Context()); err != nil || ev.Name != "EARLY" || ev.Session != session {
					t.Errorf("event during OnConnect: got %+v, %v", ev, err)
				}
				wantState(t, c, async.Connecting)
				_, err := c.Execute(ctx, "another", nil)
				state := wantAs[*async.StateError](t, "another's command", err)
				if again := session > 1; again != (state.Cause == io.EOF) {
					t.Errorf("another's command: got the cause %v in session %d", state.Cause, session)
				}
				return <-setup
			},
		}})
		l = c.NewListener(nil)
		connect(t, c)
		end(t, c)
		_, err := l.Next(t.Context())
		wantAs[*async.ExecInterruptedError](t, "the notice", err)
		time.Sleep(time.Second + time.Minute)
		synctest.Wait()
		execute(t, c, "after", "{}")
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		wantWire(t, p, "qmp_capabilities set-up end", "qmp_capabilities set-up after")
	})
}

// An OnConnect that fails makes Connect fail, which returns its error.
func TestE14OnConnectOfTheFirstConnect(t *testing.T) {
	t.Parallel()
	refuse := errors.New("not this machine")
	for name, on := range map[string]struct {
		f    func(context.Context, async.Caller) error
		want error
	}{
		"fails": {func(context.Context, async.Caller) error { return refuse }, refuse},
		"a refused command": {func(ctx context.Context, c async.Caller) error {
			_, err := c.Do(ctx, async.Command{Name: ""})
			return err
		}, nil},
		"ends its goroutine": {func(context.Context, async.Caller) error {
			runtime.Goexit()
			return nil
		}, nil},
		"blocks":              {func(ctx context.Context, _ async.Caller) error { <-ctx.Done(); return context.Cause(ctx) }, context.DeadlineExceeded},
		"ignores its context": {func(context.Context, async.Caller) error { time.Sleep(time.Hour); return nil }, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				c := connectsAgain(t, memory(t, connected("", qmptest.ExpectEOF())...), async.Reconnect{OnConnect: on.f})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				begin := time.Now()
				err := c.Connect(ctx, "here")
				if e := wantAs[*async.ConnectError](t, "Connect", err); e.Stage != async.StageSession {
					t.Errorf("Connect: got stage %q, want %q", e.Stage, async.StageSession)
				}
				wantText(t, "Connect", err, "OnConnect")
				if on.want != nil {
					wantIs(t, "Connect", err, on.want)
				}
				if took, blocks := time.Since(begin), on.want == context.DeadlineExceeded; blocks != (took == 10*time.Second) {
					t.Errorf("Connect: took %v", took)
				}
				wantState(t, c, async.Idle)
				time.Sleep(time.Hour) // of the bubble's clock: an OnConnect that ignores its context returns
			})
		})
	}
}

// OnConnect may call every method of its client. No call blocks for ever.
func TestE14OnConnectCallsItsClient(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(ctx context.Context, c *async.Client) error{
		"Execute":    func(ctx context.Context, c *async.Client) error { _, err := c.Execute(ctx, "x", nil); return err },
		"Connect":    func(ctx context.Context, c *async.Client) error { return c.Connect(ctx, "") },
		"Disconnect": func(ctx context.Context, c *async.Client) error { return c.Disconnect(ctx) },
		"Close":      func(_ context.Context, c *async.Client) error { return c.Close() },
		"Quit":       func(ctx context.Context, c *async.Client) error { return c.Quit(ctx) },
		"Next": func(ctx context.Context, c *async.Client) error {
			l := c.NewListener(nil)
			defer l.Close()
			_, err := l.Next(ctx)
			return err
		},
	} {
		for _, wait := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/wait=%v", name, wait), func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					p := memory(t, slices.Concat(again(hangsUp), []qmptest.Step{qmptest.Accept()}, connected("", qmptest.ExpectEOF()))...)
					var c *async.Client
					calls, returned := 0, make(chan error, 1)
					c = connectsAgain(t, p, async.Reconnect{Wait: wait, MaxAttempts: 1, OnConnect: func(ctx context.Context, _ async.Caller) error {
						if calls++; calls == 1 {
							return nil
						}
						err := call(ctx, c)
						returned <- err
						return err
					}})
					connect(t, c)
					end(t, c)
					err := <-returned
					switch name {
					case "Disconnect", "Close":
						wantIs(t, name, err, io.EOF) // the connection had ended
						wantState(t, c, async.Idle)
					case "Next":
						wantIs(t, name, err, context.DeadlineExceeded)
					default:
						wantAs[*async.StateError](t, name, err)
					}
					<-c.Done()
				})
			})
		}
	}
}

// With Wait, calls in the gap wait for the new connection, within their contexts, and
// a call that was not sent waits for it, too. Nothing is sent twice.
func TestE14Wait(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		const calls = 1000
		sentOnce := expectN("c", 0, window)
		var serves []qmptest.Step // the others, in their order
		for _, expect := range expectN("c", window, calls) {
			serves = append(serves, expect, qmptest.Return(`{}`))
		}
		serves = append(serves, answered("late")...)
		p := memory(t, slices.Concat(connected("oob", hangsUp...), []qmptest.Step{qmptest.Accept()},
			connected("oob", sentOnce...), []qmptest.Step{qmptest.Pause(time.Minute), qmptest.HangUp(), qmptest.Accept()},
			connected("oob", serves...))...)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		c := connectsAgain(t, p, async.Reconnect{Wait: true})
		connect(t, c)
		end(t, c)
		short, cancel := context.WithTimeout(ctx, time.Second/2)
		defer cancel()
		limited := start(short, c, async.Command{Name: "limited"})
		waiting := startN(ctx, c, "c", 0, calls)
		err := (<-limited).err
		wantInterrupted(t, "a call whose context ends", err, false, context.DeadlineExceeded)
		wantText(t, "a call whose context ends", err, "new connection", "EOF")
		late := start(ctx, c, async.Command{Name: "late"})
		sent := 0
		for i, call := range waiting {
			r := <-call
			if r.err == nil {
				continue
			}
			wantInterrupted(t, fmt.Sprint("call ", i), r.err, true, io.EOF)
			sent++
		}
		if sent != window { // over the connection that ended without an answer
			t.Errorf("%d calls were sent and not answered, want %d", sent, window)
		}
		wantNil(t, "a later call", (<-late).err)
		seen := make(map[string]int)
		for _, m := range p.Received() {
			seen[m.Name]++
		}
		for name, n := range seen {
			if strings.HasPrefix(name, "c") && n != 1 {
				t.Errorf("%s was sent %d times", name, n)
			}
		}
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	})
}

// An out-of-band command that waits for a connection does not wait for the commands
// that were made before it.
func TestE14WaitOutOfBand(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		all := qmptest.Do("eight ordinary commands and the urgent one, in any order", func(p *qmptest.Peer) error {
			seen := make(map[string]bool)
			for range window + 1 {
				m, err := p.Next()
				if err != nil {
					return err
				}
				seen[m.Name] = true
			}
			if !seen["urgent"] {
				return fmt.Errorf("got %v, and not the urgent one", seen)
			}
			return nil
		})
		p := memory(t, slices.Concat(connected("oob", hangsUp...), []qmptest.Step{qmptest.Accept()}, connected("oob", all, qmptest.ExpectEOF()))...)
		c := connectsAgain(t, p, async.Reconnect{Wait: true})
		connect(t, c)
		end(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		waiting := startN(ctx, c, "c", 0, 3*window)
		waiting = append(waiting, start(ctx, c, async.Command{Name: "urgent", OOB: true}))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		wantNil(t, "Disconnect", c.Disconnect(ctx))
		for _, call := range waiting {
			wantIs(t, "a call", (<-call).err, async.ErrClosed)
		}
	})
}

// A call that waits for a connection ends when there will be none.
func TestE14WaitEnds(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(*async.Client){
		"Disconnect": func(c *async.Client) { c.Disconnect(context.Background()) },
		"Close":      func(c *async.Client) { c.Close() },
		"gives up":   func(c *async.Client) { <-c.Done() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				c := newClient(t, &async.Options{
					Dialer: dialling(memory(t, again(hangsUp)...), nil, errNoServer), Backoff: async.Every(time.Second),
					Reconnect: &async.Reconnect{Wait: true, MaxAttempts: 3},
				})
				connect(t, c)
				end(t, c)
				waiting := start(t.Context(), c, async.Command{Name: "x"})
				quitting := do(func() error { return c.Quit(t.Context()) })
				synctest.Wait()
				stop(c)
				for what, err := range map[string]error{"a call": (<-waiting).err, "Quit": <-quitting} {
					wantAs[*async.StateError](t, what, err)
				}
			})
		})
	}
}

// After Client.Quit the client does not connect again, whatever comes of it. After a
// plain quit it does: another QEMU may take the place of the one that ended.
func TestE14Quit(t *testing.T) {
	t.Parallel()
	quits := []qmptest.Step{qmptest.Expect("quit"), qmptest.Return(`{}`), qmptest.Pause(time.Second), qmptest.HangUp()}
	bubble(t, func(t *testing.T) {
		c := connectsAgain(t, memory(t, again(quits)...), async.Reconnect{})
		connect(t, c)
		wantNil(t, "Quit", c.Quit(t.Context()))
		wantState(t, c, async.Idle)
	})
	bubble(t, func(t *testing.T) {
		c := connectsAgain(t, memory(t, again(quits)...), async.Reconnect{})
		connect(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		wantInterrupted(t, "Quit", c.Quit(ctx), true, context.DeadlineExceeded)
		<-c.Done()
		wantState(t, c, async.Disconnecting)
		wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
	})
	bubble(t, func(t *testing.T) { // a refused one has no effect
		c := connectsAgain(t, memory(t, again(slices.Concat([]qmptest.Step{qmptest.Expect("quit"), qmptest.ReturnError("GenericError", "no")}, hangsUp), answered("after"))...), async.Reconnect{})
		connect(t, c)
		wantAs[*async.ExecuteError](t, "Quit", c.Quit(t.Context()))
		end(t, c)
		time.Sleep(time.Second)
		synctest.Wait()
		execute(t, c, "after", "{}")
	})
	bubble(t, func(t *testing.T) {
		c := connectsAgain(t, memory(t, again(quits, answered("after"))...), async.Reconnect{})
		connect(t, c)
		execute(t, c, "quit", "{}")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		execute(t, c, "after", "{}")
	})
}

// After Listen the client goes on listening, and accepts the next server.
func TestE14AcceptsAgain(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	c := newClient(t, &async.Options{Backoff: async.Every(time.Millisecond), Reconnect: &async.Reconnect{}})
	l := c.NewListener(nil)
	wantNil(t, "Listen", c.Listen(t.Context(), path))
	for i := range 3 {
		p := play(t, qmptest.ScriptOptions{DialTo: path}, connected("", append([]qmptest.Step{qmptest.Event("UP", "")}, hangsUp...)...)...)
		if i == 0 {
			wantNil(t, "Accept", c.Accept(t.Context()))
		}
		ev, err := l.Next(t.Context())
		if err != nil || ev.Session != uint64(i+1) {
			t.Errorf("server %d: got %+v, %v", i, ev, err)
		}
		w := c.WatchRunstate()
		if c.Runstate() != async.Running {
			awaitState(t, w, async.Running)
		}
		if c.ListenAddr() == nil {
			t.Error("it does not listen any more")
		}
		end(t, c)
		_, err = l.Next(t.Context())
		wantAs[*async.ExecInterruptedError](t, "notice", err)
		wantNil(t, "script", p.Wait())
	}
	wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
	if c.ListenAddr() != nil {
		t.Error("it still listens")
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		t.Error("the socket is still there")
	}
}

// A connection that is already open cannot be made again, unless there is a Dialer.
func TestE14Attach(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		client, server := qmptest.Pipe()
		defer server.Close()
		c := newClient(t, &async.Options{Reconnect: &async.Reconnect{}})
		err := c.Attach(t.Context(), client)
		wantAs[*async.ConnectError](t, "Attach", err)
		wantText(t, "Attach", err, "Dialer")
		if _, err := client.Write([]byte("x")); err == nil {
			t.Error("the connection is still open")
		}
		err = c.Connect(t.Context(), "fd:1000000")
		wantAs[*async.ConnectError](t, "Connect to a descriptor", err)
		wantText(t, "Connect to a descriptor", err, "Dialer")
	})
	bubble(t, func(t *testing.T) {
		p := play(t, qmptest.ScriptOptions{Network: qmptest.Memory}, again(hangsUp, answered("after"))...)
		c := connectsAgain(t, p, async.Reconnect{})
		conn, err := p.Dial(t.Context())
		wantNil(t, "Dial", err)
		wantNil(t, "Attach", c.Attach(t.Context(), conn))
		end(t, c)
		time.Sleep(time.Second)
		synctest.Wait()
		execute(t, c, "after", "{}")
	})
}

// The same holds for a connection without a handshake: the next one has none either.
func TestE14Unnegotiated(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, slices.Concat(hangsUp, []qmptest.Step{qmptest.Accept()}, answered("after"))...)
		c := connectsAgain(t, p, async.Reconnect{})
		wantNil(t, "Connect", c.ConnectUnnegotiated(t.Context(), ""))
		end(t, c)
		time.Sleep(time.Second)
		synctest.Wait()
		execute(t, c, "after", "{}")
		wantWire(t, p, "end", "after")
	})
}
