// Tests of rules E5 and E9 at full size: a flood of events, the largest and the
// deepest messages.
package async_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/proto"
)

// A flood is a server that sends burst events, numbered from 0 on, ahead of each
// reply, which is the command's name.
type flood struct {
	conn  net.Conn
	burst int
	done  chan struct{} // closed when serve has returned
	err   error         // why it has
}

// flooded connects a client to a flood, whose listeners are ready before it comes.
func flooded(t *testing.T, burst int) (*async.Client, *flood) {
	t.Helper()
	client, server := qmptest.Pipe()
	s := &flood{conn: server, burst: burst, done: make(chan struct{})}
	go s.serve()
	c := newClient(t, nil)
	wantNil(t, "Attach", c.Attach(t.Context(), client))
	return c, s
}

func (s *flood) serve() {
	defer close(s.done)
	defer s.conn.Close()
	out := []byte(`{"QMP":{"version":{"qemu":{"major":9,"minor":0,"micro":0}},"capabilities":[]}}`)
	framer := proto.NewFramer(s.conn, 0, nil)
	for n := 0; ; {
		if _, s.err = s.conn.Write(out); s.err != nil {
			return
		}
		var msg []byte
		if msg, s.err = framer.Next(); s.err != nil {
			return
		}
		cmd := proto.ParseCommand(msg)
		out = out[:0]
		if cmd.Name != "qmp_capabilities" {
			for range s.burst {
				out = append(out, `{"event":"E","data":`...) // short: under the race detector each byte counts
				out = append(strconv.AppendInt(out, int64(n), 10), "}\r\n"...)
				n++
			}
		}
		out = proto.AppendReturn(out, proto.AppendText(nil, cmd.Name), cmd.RawID)
	}
}

// ask has callers execute n commands between them, requires each to get the reply
// to its own, and calls behind, unless nil, behind each.
func ask(t *testing.T, c *async.Client, n int, behind func()) {
	t.Helper()
	const callers = 10
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for k := range n / callers {
				name := fmt.Sprintf("x-%d-%d", i, k)
				execute(t, c, name, strconv.Quote(name))
				if behind != nil {
					behind()
				}
			}
		})
	}
	wg.Wait()
}

// number returns the number of an event of a flood.
func number(t *testing.T, ev async.Event) int {
	t.Helper()
	n, err := strconv.Atoi(string(ev.Data))
	if err != nil {
		t.Errorf("got event %s, which was not sent", ev.Raw())
	}
	return n
}

// A flood that nobody reads is no matter for the commands behind it. A bounded
// listener takes no more memory than its limit wants, and says exactly how many
// it has lost; so does one that several read now and then. (Not parallel: it
// measures what the whole process takes.)
func TestE5FloodPastABoundedListener(t *testing.T) {
	const (
		phases, burst = 10, 1000
		limit         = 1000
		most          = 2 << 20 // bytes; the limit's events and a queue that grows need a part of that, all events a hundred times as much
	)
	commands := 1000
	if testing.Short() {
		commands = 100
		t.Logf("%d events in place of a million: a short run", commands*burst)
	}
	total := commands * burst
	c, server := flooded(t, burst)
	unread := c.NewListener(&async.ListenerOptions{Limit: limit})
	shared := c.NewListener(&async.ListenerOptions{Limit: limit / 2})
	var mu sync.Mutex // guards these
	var read, lost int
	drain := func() {
		events, err := shared.Drain()
		for i := range events {
			if number(t, events[i]) != number(t, events[0])+i {
				t.Errorf("event %d behind event %d, of which none was said to be lost", number(t, events[i]), number(t, events[0]))
				break
			}
		}
		mu.Lock()
		defer mu.Unlock()
		read += len(events)
		if overflow, ok := errors.AsType[*async.OverflowError](err); ok {
			lost += overflow.Lost
		} else if err != nil {
			t.Errorf("Drain: got error %v", err)
		}
	}

	before := memoryInUse()
	var took int
	for range phases {
		ask(t, c, commands/phases, drain)
		took = max(took, memoryInUse()-before)
	}
	if took > most {
		t.Errorf("%d events past a listener of %d: %d bytes are held, want at most %d", total, limit, took, most)
	}
	// All events came before the last reply, and so are in the queues.
	for range 2 { // the notice, and what is behind it
		drain()
	}
	if read+lost != total || read == 0 || lost == 0 {
		t.Errorf("the listener that is read: got %d events and %d lost, want some of both, and %d together", read, lost, total)
	}
	t.Logf("%d events, %d commands: at most %d bytes held; a listener of %d that was read lost %d", total, commands, took, limit/2, lost)

	_, err := unread.Drain()
	if e := wantAs[*async.OverflowError](t, "Drain", err); e.Lost != total-limit {
		t.Errorf("the unread listener lost %d, want %d", e.Lost, total-limit)
	}
	events, err := unread.Drain()
	if err != nil || len(events) != limit {
		t.Fatalf("behind the notice: got %d events and error %v, want %d", len(events), err, limit)
	}
	for i := range events {
		if want := total - limit + i; number(t, events[i]) != want {
			t.Fatalf("event %d: got number %d, want %d", i, number(t, events[i]), want)
		}
	}
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	<-server.done
	wantIs(t, "the server", server.err, io.EOF)
}

// A listener without a limit holds them all, in order, and its memory goes when
// they have been read. (Not parallel, as above.)
func TestE5FloodIntoAnUnboundedListener(t *testing.T) {
	const burst, most = 1000, 2 << 20
	commands := 100
	if testing.Short() {
		commands = 10
		t.Logf("%d events: a short run", commands*burst)
	}
	c, server := flooded(t, burst)
	l := c.NewListener(nil)
	before := memoryInUse()
	ask(t, c, commands, nil)
	full := memoryInUse() - before
	if got := l.Len(); got != commands*burst {
		t.Errorf("got %d unread events, want %d", got, commands*burst)
	}
	for i := range commands * burst {
		ev, ok, err := l.TryNext()
		if !ok || err != nil || number(t, ev) != i {
			t.Fatalf("event %d: got %s, %v and error %v", i, ev.Raw(), ok, err)
		}
	}
	if _, ok, err := l.TryNext(); ok || err != nil {
		t.Errorf("behind the last event: got %v and error %v", ok, err)
	}
	empty := memoryInUse() - before
	t.Logf("%d events take %d bytes each, and leave %d bytes behind when they have been read", commands*burst, full/(commands*burst), empty)
	if empty > most {
		t.Errorf("%d bytes are held when all has been read, want at most %d", empty, most)
	}
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	<-server.done
}

// The largest message that QEMU reads is sent, and a byte more is refused, for
// that call only. (For all that a message can be made of, see
// TestE9SentBounds.)
func TestE9SentAtFullSize(t *testing.T) {
	t.Parallel()
	most := 64<<20 - 1 // what QEMU reads; see Options.MaxMessage
	if testing.Short() {
		t.Log("1 MiB in place of 64: a short run")
		most = 1<<20 - 1
	}
	client, server := qmptest.Pipe()
	sent := 0
	opts := &async.Options{SkipGreeting: true, SkipNegotiation: true}
	if testing.Short() {
		opts.MaxMessage = most
	}
	c := newClient(t, opts)
	wantNil(t, "Attach", c.Attach(t.Context(), &rigged{Conn: client, write: func(p []byte) (int, error) {
		// A pipe that held it would be dear under the race detector.
		if sent += len(p); sent < most {
			return len(p), nil
		}
		_, err := io.WriteString(server, `{"return":"big","id":2}`)
		return len(p), err
	}}))
	const frame = `{"execute":"big","arguments":{"a":""},"id":1}`
	args := []byte(`{"a":"` + strings.Repeat("x", most+1-len(frame)) + `"}`)
	_, err := c.Execute(t.Context(), "big", json.RawMessage(args))
	if e := wantAs[*async.MessageError](t, "a byte more", err); e.Reason != async.TooLarge || e.Limit != most || e.Command != "big" {
		t.Errorf("a byte more: got Reason %q, Limit %d, Command %q, want %q, %d, big", e.Reason, e.Limit, e.Command, async.TooLarge, most)
	}
	wantText(t, "a byte more", err, "not sent", strconv.Itoa(most), "Options.MaxMessage")
	if len(err.Error()) > 500 {
		t.Errorf("the error takes %d bytes to say it", len(err.Error()))
	}
	wantState(t, c, async.Running)
	wantIdleBooks(t, c)
	if sent != 0 {
		t.Errorf("%d bytes were sent of what was refused", sent)
	}

	args = append(args[:len(args)-3], `"}`...) // the same without one x
	value, err := c.Execute(t.Context(), "big", json.RawMessage(args))
	wantValue(t, "the largest", value, err, `"big"`)
	if sent != most {
		t.Errorf("%d bytes were sent, want %d", sent, most)
	}
}

// Events are bounded like replies, and so is what stands in front of a greeting.
func TestE9DepthOfEvents(t *testing.T) {
	t.Parallel()
	for _, levels := range []int{10_000, 10_001} {
		event := `{"event":"E","data":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + `}`
		for when, steps := range map[string][]qmptest.Step{
			"before the greeting": append([]qmptest.Step{qmptest.Send(event)}, connected("")...),
			"later":               connected("", qmptest.Expect("x"), qmptest.Send(event), qmptest.Return(`{}`)),
		} {
			t.Run(fmt.Sprintf("%d levels, %s", levels, when), func(t *testing.T) {
				t.Parallel()
				if levels > 10_000 && when == "before the greeting" {
					steps = []qmptest.Step{qmptest.Send(event), qmptest.ExpectEOF()}
				} else if levels > 10_000 {
					steps = connected("", qmptest.Expect("x"), qmptest.Send(event), qmptest.ExpectEOF())
				}
				c := newClient(t, &async.Options{Dialer: memory(t, steps...).Dial})
				l := c.NewListener(nil)
				err := c.Connect(t.Context(), "")
				if err == nil && when == "later" {
					_, err = c.Execute(t.Context(), "x", nil)
				}
				if levels <= 10_000 {
					wantNil(t, when, err)
					ev, ok, err := l.TryNext()
					if !ok || err != nil || string(ev.Raw()) != event {
						t.Errorf("got an event of %d bytes, %v and error %v, want it as it was sent", len(ev.Raw()), ok, err)
					}
					return
				}
				if e := wantAs[*async.MessageError](t, when, err); e.Reason != async.TooDeep || e.Limit != 10_000 {
					t.Errorf("got Reason %q, Limit %d, want %q, 10000", e.Reason, e.Limit, async.TooDeep)
				}
			})
		}
	}
}
