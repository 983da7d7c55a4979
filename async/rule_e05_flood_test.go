// Tests of rule E5 (nobody waits for a listener that is not read) at full size: a flood
// of events.
// The code that they hold: listener.go.
package async_test

import (
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/goqmp/qmp/async"
)

// Events that nobody reads do not disturb the commands that come after them. A
// bounded listener takes no more memory than its limit needs, and says exactly
// how many events it lost. The same holds for a listener that several
// goroutines read now and then. (Not parallel: it measures the memory of the
// whole process.)
func TestE5FloodPastABoundedListener(t *testing.T) {
	const (
		phases, burst = 10, 1000
		limit         = 1000
		most          = 2 << 20 // bytes: more than the events of one limit need, and a hundredth of what all events need
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
				t.Errorf("event %d came after event %d, and no read said that events were lost", number(t, events[i]), number(t, events[0]))
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
	// All events came before the last reply, so they are in the queues.
	for range 2 { // the OverflowError, and what comes after it
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
		t.Fatalf("after the OverflowError: got %d events and error %v, want %d", len(events), err, limit)
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

// A listener without a limit keeps all events, in order. It releases the memory
// when they have been read. (Not parallel: it measures the memory of the whole
// process.)
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
		t.Errorf("after the last event: got %v and error %v", ok, err)
	}
	empty := memoryInUse() - before
	t.Logf("%d events take %d bytes each; %d bytes are left when they have been read", commands*burst, full/(commands*burst), empty)
	if empty > most {
		t.Errorf("%d bytes are held when all has been read, want at most %d", empty, most)
	}
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	<-server.done
}
