// Tests of rule E5 (waiting where nothing can come is an error at once): what a wait
// for an event returns in each run state, and when the connection ends.
// The code that they hold: listener.go and eventwait.go.
package async_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// Next at an empty queue waits while the client connects or is connected.
// Without a connection it returns an error at once.
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
		if ev, err := l.Next(t.Context()); err != nil || ev.Name != "E" { // waits for the connection, and then for the event
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

// A wait whose context ends returns an error that names the events it waited
// for, and that matches the context's Err and its Cause.
func TestE5EndedWaitNamesItsEvents(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := newClient(t, &async.Options{Nickname: "vm7", Dialer: memory(t, connected("", qmptest.ExpectEOF())...).Dial})
		connect(t, c)
		why := errors.New("the operator canceled")
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

// Next waits while the client listens, too.
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

// An orderly disconnect leaves no entry. Those who wait get ErrClosed, and the
// unread events can still be read.
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
				wantAs[*async.StateError](t, "Next after that", err)

				// The listener gets the events of the next connection.
				connect(t, c)
				execute(t, c, "x", "{}")
				wantNames(t, "the next connection", drained(t, unread), "E0")
			})
		})
	}
}

// Disconnect during Connect ends the wait the same way.
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

// A Connect that fails ends the wait.
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

// Several goroutines read one listener. When the connection ends, one of them
// gets the entry, and the others return a StateError.
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

// A goroutine that waits for an event when the connection ends gets the entry
// of the end, and not a StateError, however many listeners there are. (There
// are so many that a wrong order would show.)
func TestE5EndComesBeforeTheState(t *testing.T) {
	t.Parallel()
	for range 20 {
		p := memory(t, connected("", qmptest.AwaitMark("end"), qmptest.HangUp())...)
		c := dial(t, p, nil)
		first := c.NewListener(nil)
		for range 3000 {
			c.NewListener(nil)
		}
		waits := do(func() error { _, err := first.Next(t.Context()); return err })
		p.Mark("end")
		wantAs[*async.ExecInterruptedError](t, "Next", <-waits)
		wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
	}
}
