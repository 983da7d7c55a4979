// Tests of rule E5 (nobody waits for a listener that is not read).
// The code that they hold: listener.go.
package async_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// events is a step that sends n events, E0 and so on.
func events(n int) qmptest.Step {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"event":"E%d"}`+"\r\n", i)
	}
	return qmptest.Send(b.String())
}

func eventNames(from, to int) string {
	var list []string
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf("E%d", i))
	}
	return strings.Join(list, " ")
}

// A listener that nobody reads slows nothing down, and loses nothing while it
// has no limit.
func TestE5UnreadListenerHoldsNothingUp(t *testing.T) {
	t.Parallel()
	const burst, rounds = 200, 20
	var steps []qmptest.Step
	for range rounds {
		steps = append(steps, qmptest.Expect("x"), events(burst), qmptest.Return(`{}`))
	}
	c := dial(t, memory(t, connected("", steps...)...), nil)
	unread, bounded := c.NewListener(nil), c.NewListener(&async.ListenerOptions{Limit: 1})
	for range rounds {
		execute(t, c, "x", "{}")
	}
	if got := unread.Len(); got != rounds*burst {
		t.Errorf("unbounded listener: got %d unread events, want %d", got, rounds*burst)
	}
	if got := bounded.Len(); got != 1 {
		t.Errorf("bounded listener: got %d unread events, want 1", got)
	}
}

// Over the limit the oldest events go, and the next read says once how many.
func TestE5Overflow(t *testing.T) {
	t.Parallel()
	type next func(l *async.EventListener) (string, error)
	for name, read := range map[string]next{
		"Next": func(l *async.EventListener) (string, error) {
			ev, err := l.Next(t.Context())
			return ev.Name, err
		},
		"TryNext": func(l *async.EventListener) (string, error) {
			ev, ok, err := l.TryNext()
			if ok != (err == nil) {
				t.Errorf("TryNext: got ok %v with error %v", ok, err)
			}
			return ev.Name, err
		},
		"All": func(l *async.EventListener) (string, error) {
			for ev, err := range l.All(t.Context()) {
				return ev.Name, err
			}
			return "", nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := memory(t, connected("",
				qmptest.Expect("x"), events(10), qmptest.Return(`{}`),
				qmptest.Expect("x"), events(4), qmptest.Return(`{}`),
				qmptest.Expect("x"), events(3), qmptest.Return(`{}`))...)
			c := dial(t, p, nil)
			l := c.NewListener(&async.ListenerOptions{Limit: 3})
			reads := func(want string) {
				t.Helper()
				for _, want := range strings.Fields(want) {
					if got, err := read(l); got != want || err != nil {
						t.Errorf("got %q and error %v, want %s", got, err, want)
					}
				}
			}
			loses := func(want int) {
				t.Helper()
				_, err := read(l)
				if e := wantAs[*async.OverflowError](t, "over the limit", err); e.Lost != want {
					t.Errorf("over the limit: got %d lost, want %d", e.Lost, want)
				}
				wantText(t, "over the limit", err, fmt.Sprintf("the %d oldest events were dropped", want))
			}
			execute(t, c, "x", "{}")
			loses(7)
			reads("E7 E8")
			execute(t, c, "x", "{}") // one unread, four more
			loses(2)
			reads("E1 E2 E3")
			execute(t, c, "x", "{}") // just at the limit
			reads("E0 E1 E2")
		})
	}
}

func TestE5DrainStopsAtANotice(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, slices.Concat(
			connected("", qmptest.Expect("x"), events(2), qmptest.HangUp(), qmptest.Accept()),
			connected("", qmptest.Expect("x"), events(1), qmptest.HangUp(), qmptest.Accept()),
			connected("", qmptest.Expect("x"), events(3), qmptest.Return(`{}`)))...)
		c := newClient(t, &async.Options{Dialer: p.Dial})
		l := c.NewListener(&async.ListenerOptions{Limit: 5})
		for range 2 {
			connect(t, c)
			c.Execute(t.Context(), "x", nil)
			wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
		}
		connect(t, c)
		execute(t, c, "x", "{}") // the sixth event: the first one goes

		_, err := l.Drain()
		wantAs[*async.OverflowError](t, "first Drain", err)
		wantNames(t, "second Drain", drained(t, l), "E1")
		_, err = l.Drain()
		wantAs[*async.ExecInterruptedError](t, "third Drain", err)
		wantNames(t, "fourth Drain", drained(t, l), "E0")
		_, err = l.Drain()
		wantAs[*async.ExecInterruptedError](t, "fifth Drain", err)
		wantNames(t, "sixth Drain", drained(t, l), "E0 E1 E2")
		wantNames(t, "last Drain", drained(t, l), "")
	})
}

// An unasked-for end is an entry in its place, once, and the listener goes on
// with the next connection.
func TestE5UnaskedEndIsAnEntryInItsPlace(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 10} {
		bubble(t, func(t *testing.T) {
			p := memory(t, slices.Concat(
				connected("", qmptest.Expect("x"), events(2), qmptest.HangUp(), qmptest.Accept()),
				connected("", qmptest.Expect("x"), qmptest.Reset(), qmptest.Accept()),
				connected("", qmptest.Expect("x"), events(2), qmptest.Return(`{}`)))...)
			c := newClient(t, &async.Options{Nickname: "vm7", Dialer: p.Dial})
			l, others := c.NewListener(&async.ListenerOptions{Limit: limit}), c.NewListener(nil, "other")
			for range 2 {
				connect(t, c)
				c.Execute(t.Context(), "x", nil)
				synctest.Wait()
				if c.Disconnect(t.Context()) == nil {
					t.Error("Disconnect behind an unasked-for end: got no error")
				}
			}
			connect(t, c)
			execute(t, c, "x", "{}")
			wantNil(t, "Disconnect", c.Disconnect(t.Context()))

			for _, l := range []*async.EventListener{l, others} {
				var got []string
				for ev, err := range l.All(t.Context()) {
					if err == nil {
						got = append(got, ev.Name)
						continue
					}
					var ended *async.ExecInterruptedError
					switch {
					case !errors.As(err, &ended):
						got = append(got, fmt.Sprintf("%T", err))
					case ended.Command != "" || ended.Client != "vm7":
						t.Errorf("the entry: got %+v, want no Command and Client vm7", *ended)
					default:
						got = append(got, ended.Err.Error())
					}
				}
				want := []string{"E0", "E1", "EOF", "read pipe pipe->pipe: connection reset by peer", "E0", "E1", "*async.StateError"}
				if l == others {
					want = slices.DeleteFunc(want, func(s string) bool { return s[0] == 'E' && s != "EOF" })
				}
				if !slices.Equal(got, want) {
					t.Errorf("got  %q\nwant %q", got, want)
				}
			}
		})
	}
}

// The entry is one connection's: it says why, as Disconnect does.
func TestE5EntryMatchesTheCause(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("", qmptest.Expect("x"), qmptest.Send("\x00"), qmptest.ExpectEOF())...)
	c := dial(t, p, nil)
	l := c.NewListener(nil)
	c.Execute(t.Context(), "x", nil)
	_, err := l.Next(t.Context())
	wantAs[*async.ExecInterruptedError](t, "Next", err)
	wantAs[*async.MessageError](t, "Next", err)
	wantIs(t, "Next", err, c.Disconnect(t.Context()))
	wantText(t, "Next", err, "qmp: the connection has ended: ", "not JSON")
}

// A bounded listener stays bounded however often a connection ends.
func TestE5EndsAreBoundedToo(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		const rounds = 5
		var steps []qmptest.Step
		for i := range rounds {
			if i > 0 {
				steps = append(steps, qmptest.Accept())
			}
			steps = append(steps, connected("", qmptest.Pause(time.Second), qmptest.HangUp())...)
		}
		c := newClient(t, &async.Options{Dialer: memory(t, steps...).Dial})
		l := c.NewListener(&async.ListenerOptions{Limit: 2})
		for range rounds {
			connect(t, c)
			time.Sleep(time.Minute)
			wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
		}
		got := 0
		for {
			if _, _, err := l.TryNext(); err == nil {
				break
			}
			got++
		}
		if got != 2 {
			t.Errorf("a listener with limit 2 has %d ends in it, want 2", got)
		}
	})
}

// Without a connection and without one under way, an empty queue is an error at
// once; while one is under way, it waits.
func TestE5WaitingInEachState(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, qmptest.Pause(time.Minute), qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`),
			qmptest.Event("E", ""), qmptest.Pause(time.Minute), qmptest.HangUp())
		c := newClient(t, &async.Options{Nickname: "vm7", Dialer: p.Dial})
		l := c.NewListener(nil)
		atOnce := func(want async.Runstate) {
			t.Helper()
			begin := time.Now()
			_, err := l.Next(t.Context())
			e := wantAs[*async.StateError](t, "Next", err)
			if e.State != want || e.Required != async.Running || e.Client != "vm7" || time.Since(begin) != 0 {
				t.Errorf("Next: got %+v after %v, want State %v, Required RUNNING, Client vm7 at once", *e, time.Since(begin), want)
			}
		}
		atOnce(async.Idle)

		connecting := do(func() error { return c.Connect(t.Context(), "") })
		synctest.Wait()
		wantState(t, c, async.Connecting)
		if ev, err := l.Next(t.Context()); err != nil || ev.Name != "E" { // waits for the connection, and then
			t.Errorf("Next while connecting: got %q and error %v, want E", ev.Name, err)
		}
		wantNil(t, "Connect", <-connecting)

		_, err := l.Next(t.Context())
		wantIs(t, "Next when the connection ends", wantAs[*async.ExecInterruptedError](t, "Next", err), io.EOF)
		atOnce(async.Disconnecting)
		wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
		atOnce(async.Idle)
	})
}

// A wait whose context ends says what was waited for, and matches both errors of
// the context.
func TestE5EndedWaitNamesItsEvents(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := newClient(t, &async.Options{Nickname: "vm7", Dialer: memory(t, connected("", qmptest.ExpectEOF())...).Dial})
		connect(t, c)
		why := errors.New("the operator gave up")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		for want, l := range map[string]*async.EventListener{
			"qmp vm7: no A or B came: ": c.NewListener(nil, "B", "A"),
			"qmp vm7: no event came: ":  c.NewListener(nil),
		} {
			_, err := l.Next(ctx)
			wantAs[*async.EventWaitError](t, want, err)
			wantIs(t, want, err, why, context.DeadlineExceeded)
			wantText(t, want, err, want, why.Error())
		}
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	})
}

// While the client listens, too, Next waits.
func TestE5WaitingWhileListening(t *testing.T) {
	t.Parallel()
	addr := socketPath(t)
	c := async.New(nil)
	wantNil(t, "Listen", c.Listen(t.Context(), addr))
	l := c.NewListener(nil)
	got := make(chan string, 1)
	go func() {
		ev, err := l.Next(context.Background())
		got <- fmt.Sprint(ev.Name, err)
	}()
	play(t, qmptest.ScriptOptions{DialTo: addr}, connected("", qmptest.Event("E", ""))...)
	t.Cleanup(func() { c.Close() })
	wantNil(t, "Accept", c.Accept(t.Context()))
	if got := <-got; got != "E<nil>" {
		t.Errorf("Next: got %s, want E", got)
	}
}

// An orderly disconnect leaves no entry; those who wait get ErrClosed, and what
// is unread can still be read.
func TestE5OrderlyDisconnect(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*async.Client) error{
		"Disconnect": func(c *async.Client) error { return c.Disconnect(context.Background()) },
		"Close":      (*async.Client).Close,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, slices.Concat(
					connected("", qmptest.Expect("x"), events(1), qmptest.Return(`{}`), qmptest.ExpectEOF(), qmptest.Accept()),
					connected("", qmptest.Expect("x"), events(1), qmptest.Return(`{}`)))...)
				c := newClient(t, &async.Options{Dialer: p.Dial})
				connect(t, c)
				unread, waiting := c.NewListener(nil, "E0"), c.NewListener(nil, "other")
				wait := func() error { _, err := waiting.Next(t.Context()); return err }
				iterate := func() error {
					for _, err := range waiting.All(t.Context()) {
						return err
					}
					return nil
				}
				first, second, third := do(wait), do(wait), do(iterate)
				execute(t, c, "x", "{}")
				synctest.Wait()
				wantNil(t, name, end(c))
				for _, done := range []<-chan error{first, second, third} {
					if err := <-done; err != async.ErrClosed {
						t.Errorf("waiting: got error %v, want ErrClosed", err)
					}
				}
				wantNames(t, "unread", drained(t, unread), "E0")
				_, err := unread.Next(t.Context())
				wantAs[*async.StateError](t, "Next behind that", err)

				// It goes on with the next connection as if nothing had been.
				connect(t, c)
				execute(t, c, "x", "{}")
				wantNames(t, "the next connection", drained(t, unread), "E0")
			})
		})
	}
}

// Also where it is a connection under way that is called off.
func TestE5DisconnectWhileConnecting(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := newClient(t, &async.Options{Dialer: memory(t, qmptest.Stall()).Dial})
		l := c.NewListener(nil)
		failed := do(func() error { return c.Connect(t.Context(), "") })
		synctest.Wait()
		waiting := do(func() error { _, err := l.Next(t.Context()); return err })
		synctest.Wait()
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		if err := <-waiting; err != async.ErrClosed {
			t.Errorf("Next: got error %v, want ErrClosed", err)
		}
		<-failed
	})
}

// A connection that does not come about ends the wait.
func TestE5FailedConnectEndsTheWait(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := newClient(t, &async.Options{Dialer: memory(t, qmptest.Pause(time.Second), qmptest.HangUp()).Dial})
		l := c.NewListener(nil)
		failed := do(func() error { return c.Connect(t.Context(), "") })
		synctest.Wait()
		_, err := l.Next(t.Context())
		wantAs[*async.StateError](t, "Next", err)
		wantIs(t, "Connect", <-failed, io.EOF)
	})
}

// Of several readers of one listener, one gets the entry; the others are not
// left waiting.
func TestE5EveryReaderWakes(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("", qmptest.Pause(time.Minute), events(1), qmptest.Pause(time.Minute), qmptest.HangUp())...)
		c := dial(t, p, nil)
		l := c.NewListener(nil)
		results := make(chan error, 4)
		for range 4 {
			go func() {
				_, err := l.Next(t.Context())
				results <- err
			}()
		}
		var events, entries, states int
		for range 4 {
			switch err := <-results; err.(type) {
			case nil:
				events++
			case *async.ExecInterruptedError:
				entries++
			case *async.StateError:
				states++
			default:
				t.Errorf("Next: got error %v", err)
			}
		}
		if events != 1 || entries != 1 || states != 2 {
			t.Errorf("got %d events, %d entries, %d StateErrors, want 1, 1, 2", events, entries, states)
		}
	})
}

func TestE5NextEndsWithItsContext(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := dial(t, memory(t, connected("")...), nil)
		l := c.NewListener(nil)
		why := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		_, err := l.Next(ctx)
		wantIs(t, "Next", err, context.DeadlineExceeded, why)
		var got []error
		for _, err := range l.All(ctx) {
			got = append(got, err)
		}
		if len(got) != 1 {
			t.Errorf("All: got %v, want the context's error and then the end", got)
		} else {
			wantIs(t, "All", got[0], context.DeadlineExceeded, why)
		}
	})
}

func TestE5Close(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("", qmptest.Expect("x"), events(2), qmptest.Return(`{}`), qmptest.Expect("x"), events(1), qmptest.Return(`{}`))...)
		c := dial(t, p, nil)
		l, other := c.NewListener(nil), c.NewListener(nil)
		execute(t, c, "x", "{}")
		l.Close()
		l.Close()
		execute(t, c, "x", "{}")
		wantNames(t, "a closed listener keeps what it has", drained(t, l), "E0 E1")
		if _, err := l.Next(t.Context()); err != async.ErrClosed {
			t.Errorf("Next of a closed listener: got error %v, want ErrClosed", err)
		}
		wantNames(t, "the other one goes on", drained(t, other), "E0 E1 E0")
		waiting := do(func() error { _, err := other.Next(t.Context()); return err })
		synctest.Wait()
		other.Close()
		if err := <-waiting; err != async.ErrClosed {
			t.Errorf("Next when the listener is closed: got error %v, want ErrClosed", err)
		}
	})
}

// A history has a limit of its own, is off by default, and does not care what
// has been read or has gone over the other limit.
func TestE5History(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("", qmptest.Expect("x"), events(10), qmptest.Return(`{}`))...)
	c := dial(t, p, nil)
	off, on := c.NewListener(nil), c.NewListener(&async.ListenerOptions{Limit: 2, History: 4})
	few := c.NewListener(&async.ListenerOptions{History: 100}, "E1", "E2")
	execute(t, c, "x", "{}")
	wantNames(t, "off by default", names(off.History()), "")
	wantNames(t, "limit of its own", names(on.History()), eventNames(6, 10))
	_, err := on.Drain()
	wantAs[*async.OverflowError](t, "Drain", err)
	drained(t, on)
	wantNames(t, "read or not", names(on.History()), eventNames(6, 10))
	wantNames(t, "only what was queued", names(few.History()), "E1 E2")
}

func TestE5NamesAndFilter(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("", qmptest.Expect("x"), events(6), qmptest.Send(`{"event":7}`), qmptest.Return(`{}`))...)
	c := dial(t, p, nil)
	filter := &async.ListenerOptions{Filter: func(ev async.Event) bool { return ev.Name > "E2" }}
	all, named := c.NewListener(nil), c.NewListener(nil, "E1", "E4", "E9")
	filtered, both := c.NewListener(filter), c.NewListener(filter, "E1", "E4")
	negative := c.NewListener(&async.ListenerOptions{Limit: -1, History: -1})
	execute(t, c, "x", "{}")
	late := c.NewListener(nil)
	want := append(strings.Fields(eventNames(0, 6)), "") // a name that is no string is none
	if got := drained(t, all); !slices.Equal(got, want) {
		t.Errorf("all: got %q, want %q", got, want)
	}
	if got := drained(t, negative); !slices.Equal(got, want) {
		t.Errorf("negative limits: got %q, want %q", got, want)
	}
	wantNames(t, "names", drained(t, named), "E1 E4")
	wantNames(t, "filter", drained(t, filtered), "E3 E4 E5")
	wantNames(t, "names and filter", drained(t, both), "E4")
	wantNames(t, "made late", drained(t, late), "")
}

func TestE5EventsCarryEverything(t *testing.T) {
	t.Parallel()
	const raw = `{"timestamp": {"seconds": 1700000000, "microseconds": 250000}, "event": "BLOCK_JOB_READY", "data": {"device": "d0", "len": 9007199254740993}}`
	p := memory(t, connected("", qmptest.Expect("x"),
		qmptest.Send(raw+"\r\n"+`{"event":"BARE","timestamp":{"seconds":-1,"microseconds":-1}}`), qmptest.Return(`{}`))...)
	c := dial(t, p, nil)
	l := c.NewListener(nil)
	execute(t, c, "x", "{}")
	events, err := l.Drain()
	if err != nil || len(events) != 2 {
		t.Fatalf("got %v and error %v, want two events", names(events), err)
	}
	ev := events[0]
	if ev.Name != "BLOCK_JOB_READY" || string(ev.Raw()) != raw || !ev.Timestamp.Equal(time.Unix(1700000000, 250e6)) {
		t.Errorf("got %q, %v, %s", ev.Name, ev.Timestamp, ev.Raw())
	}
	var data struct {
		Device string `json:"device"`
		Len    int64  `json:"len"`
	}
	if err := ev.Decode(&data); err != nil || data.Device != "d0" || data.Len != 9007199254740993 {
		t.Errorf("Decode: got %+v and error %v", data, err)
	}
	bare := events[1]
	if bare.Data != nil || !bare.Timestamp.IsZero() {
		t.Errorf("without data and time: got %s, %v", bare.Data, bare.Timestamp)
	}
	if err := bare.Decode(&data); err != nil || data.Device != "d0" {
		t.Errorf("Decode of no data: got %+v and error %v, want it untouched", data, err)
	}
}

// An iteration can be left and taken up again; it goes on behind notices, and
// with the next connection.
func TestE5IteratorGoesOnWithTheNextConnection(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, slices.Concat(
			connected("", qmptest.Expect("x"), events(3), qmptest.HangUp(), qmptest.Accept()),
			connected("", qmptest.Expect("x"), events(1), qmptest.Return(`{}`)))...)
		c := dial(t, p, nil)
		l := c.NewListener(&async.ListenerOptions{Limit: 2})
		c.Execute(t.Context(), "x", nil)
		var got []string
		for ev, err := range l.All(t.Context()) {
			switch err.(type) {
			case nil:
				got = append(got, ev.Name)
			case *async.OverflowError:
				got = append(got, "overflow")
			case *async.ExecInterruptedError:
				got = append(got, "end")
				// The loop's body brings the connection back.
				wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
				connect(t, c)
				execute(t, c, "x", "{}")
			default:
				t.Errorf("got error %v", err)
			}
			if len(got) == 5 {
				break
			}
		}
		if want := "overflow E1 E2 end E0"; strings.Join(got, " ") != want {
			t.Errorf("got %v, want %s", got, want)
		}
	})
}
