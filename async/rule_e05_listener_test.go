// Tests of rule E5 (a listener outlives connections): the entry for an end that this
// side did not ask for, which events a listener takes, what an event carries, and
// Close.
// The code that they hold: listener.go and event.go.
package async_test

import (
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

// An end that this side did not ask for is an entry in the queue, once, after
// the events that came before it. The listener goes on with the next
// connection.
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
					t.Error("Disconnect after an unexpected end: got no error")
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

// The entry says why its connection ended, as Disconnect does.
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
	want := append(strings.Fields(eventNames(0, 6)), "") // a name that is not a string counts as no name
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

// A loop over All can be left and begun again. It goes on after an
// OverflowError, after the entry of an end, and with the next connection.
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
				// The body of the loop connects again.
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

// A listener that is closed while its filter looks at an event does not take
// that event.
func TestE5CloseBeatsAnEventOnItsWay(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := dial(t, memory(t, connected("", qmptest.Expect("x"), qmptest.Event("E", ""), qmptest.Return(`{}`))...), nil)
		var l *async.EventListener
		l = c.NewListener(&async.ListenerOptions{Filter: func(async.Event) bool {
			<-do(func() error { l.Close(); return nil }) // Close takes a lock, which the engine does not hold while a filter runs
			return true
		}})
		execute(t, c, "x", "{}")
		if n := l.Len(); n != 0 {
			t.Errorf("a closed listener took %d events", n)
		}
	})
}
