package legacy_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/anybytes"
	"github.com/goqmp/qmp/legacy"
	qmpsync "github.com/goqmp/qmp/sync"
)

// sends returns steps in which the server answers a command x with events of these
// names and then with the reply.
func sends(names ...string) []qmptest.Step {
	steps := []qmptest.Step{qmptest.Expect("x")}
	for _, name := range names {
		steps = append(steps, qmptest.Send(`{"event": "`+name+`"}`))
	}
	return append(steps, qmptest.Return(`{}`))
}

// wantGet requires GetEvents to return the events of these names.
func wantGet(t *testing.T, q *legacy.QEMUMonitorProtocol, wait legacy.Wait, names ...string) {
	t.Helper()
	want := []map[string]any{}
	for _, name := range names {
		want = append(want, object{"event": name})
	}
	got, err := q.GetEvents(wait)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("GetEvents: error %v, (-want +got) %s", err, diff)
	}
}

func TestEventsInOrder(t *testing.T) {
	q := connected(t, append(sends("A", "B", "C", "D", "E"), sends("F")...)...)
	wantPull(t, q, legacy.NoWait, "")
	wantGet(t, q, legacy.NoWait)
	execute(t, q, "x")
	wantPull(t, q, legacy.NoWait, "A")
	wantPull(t, q, legacy.Forever, "B")
	wantPull(t, q, legacy.For(time.Nanosecond), "C")
	wantGet(t, q, legacy.Forever, "D", "E")
	wantGet(t, q, legacy.NoWait)
	execute(t, q, "x")
	q.ClearEvents()
	wantPull(t, q, legacy.NoWait, "")
}

// PullEvent and GetEvents return an event whole, whatever is in it.
func TestEventsAreNotChecked(t *testing.T) {
	q := connected(t, qmptest.Expect("x"), qmptest.Send(`{"event": null} {"x": [1], "event": {"a": 1}}`),
		qmptest.Send(`{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "A", "data": {"n": 18446744073709551615}, "id": 3}`),
		qmptest.Send(`{"event": "B", "error": {}, "id": 4}{"event": "C", "return": 1, "id": 5}{"event": "D", "error": {}, "id": "x"}`), qmptest.Return(`{}`))
	execute(t, q, "x")
	got, err := q.GetEvents(legacy.NoWait)
	wantNoError(t, err)
	want := []map[string]any{
		{"event": nil},
		{"x": []any{int64(1)}, "event": object{"a": int64(1)}},
		{"timestamp": object{"seconds": int64(1), "microseconds": int64(2)}, "event": "A", "data": object{"n": uint64(1<<64 - 1)}, "id": int64(3)},
		{"event": "B", "error": object{}}, // the id may be the engine's
		{"event": "C", "return": int64(1)},
		{"event": "D", "error": object{}, "id": "x"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got)", diff)
	}
}

func TestEventsThatCannotBeConverted(t *testing.T) {
	long := qmptest.Send(`{"event": "LONG", "data": 1` + strings.Repeat("0", 5000) + `}`)
	steps := []qmptest.Step{
		qmptest.Expect("x"), long, qmptest.Send(`{"event": "A"}`), qmptest.Return(`{}`),
		qmptest.Expect("x"), long, qmptest.Send(`{"event": "B"}`), long, qmptest.Return(`{}`),
	}
	q := connected(t, steps...)
	execute(t, q, "x")
	_, err := q.PullEvent(legacy.Forever)
	wantError[*async.MessageError](t, err)
	wantPull(t, q, legacy.Forever, "A")
	execute(t, q, "x")
	got, err := q.GetEvents(legacy.NoWait)
	wantError[*async.MessageError](t, err)
	if diff := cmp.Diff([]map[string]any{{"event": "B"}}, got); diff != "" {
		t.Error("(-want +got)", diff)
	}
}

func TestWaitingForEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := connected(t,
			qmptest.Pause(time.Minute), qmptest.Send(`{"event": "A"}`),
			qmptest.Pause(time.Minute), qmptest.Send(`{"event": "B"} {"event": "C"}`),
			qmptest.Pause(time.Minute), qmptest.Send(`{"event": "D"}`))
		start := time.Now()
		at := func(want time.Duration) {
			t.Helper()
			if got := time.Since(start); got != want {
				t.Errorf("%v since the start, want %v", got, want)
			}
		}
		wantPull(t, q, legacy.NoWait, "")
		wantGet(t, q, legacy.NoWait)
		_, err := q.PullEvent(legacy.For(20 * time.Second))
		wantTimeout(t, err)
		at(20 * time.Second)
		_, err = q.GetEvents(legacy.For(20 * time.Second))
		wantTimeout(t, err)
		at(40 * time.Second)
		wantPull(t, q, legacy.For(21*time.Second), "A")
		at(time.Minute)
		wantPull(t, q, legacy.Forever, "B")
		at(2 * time.Minute)
		wantGet(t, q, legacy.NoWait, "C")
		wantGet(t, q, legacy.Forever, "D")
		at(3 * time.Minute)
	})
}

// A call whose wait has expired fails, and leaves the events in the queue.
func TestExpiredWait(t *testing.T) {
	q := connected(t, sends("A")...)
	execute(t, q, "x")
	for _, wait := range []legacy.Wait{legacy.For(0), legacy.For(-time.Second)} {
		_, err := q.PullEvent(wait)
		wantTimeout(t, err)
		_, err = q.GetEvents(wait)
		wantTimeout(t, err)
	}
	wantPull(t, q, legacy.NoWait, "A")
}

func TestEventsWithoutSession(t *testing.T) {
	q := scripted(t, nil, handshake(sends("A")...)...)
	without := func() {
		t.Helper()
		wantPull(t, q, legacy.NoWait, "")
		wantGet(t, q, legacy.NoWait)
		q.ClearEvents()
		for _, wait := range []legacy.Wait{legacy.Forever, legacy.For(time.Hour)} {
			_, err := q.PullEvent(wait)
			wantState(t, err, async.Idle, async.Running)
			_, err = q.GetEvents(wait)
			wantState(t, err, async.Idle, async.Running)
		}
	}
	without()
	connect(t, q)
	execute(t, q, "x")
	wantNoError(t, q.Close())
	wantPull(t, q, legacy.Forever, "A") // Close has left it in the queue
	without()
}

// The queue keeps its events when the connection ends and when the next one begins.
// After the last event, waiting calls return why the connection ended, until Close.
func TestEventsAndTheEndOfTheConnection(t *testing.T) {
	q := scripted(t, nil, join(handshake(append(sends("A", "B"), qmptest.HangUp())...), handshake(sends("C")...))...)
	connect(t, q)
	execute(t, q, "x")
	wantPull(t, q, legacy.Forever, "A")
	wantPull(t, q, legacy.Forever, "B")
	for range 2 {
		for _, wait := range []legacy.Wait{legacy.Forever, legacy.For(time.Hour)} {
			_, err := q.PullEvent(wait)
			if wantError[*async.ExecInterruptedError](t, err); !errors.Is(err, io.EOF) {
				t.Errorf("error %v, want io.EOF in it", err)
			}
			_, err = q.GetEvents(wait)
			wantError[*async.ExecInterruptedError](t, err)
		}
		wantPull(t, q, legacy.NoWait, "")
	}
	if err := q.Close(); !errors.Is(err, io.EOF) {
		t.Errorf("Close: %v, want io.EOF", err)
	}
	_, err := q.PullEvent(legacy.Forever)
	wantState(t, err, async.Idle, async.Running)
	connect(t, q)
	execute(t, q, "x")
	wantPull(t, q, legacy.Forever, "C")
}

func TestUnreadEventsComeBeforeNewOnes(t *testing.T) {
	q := scripted(t, nil, join(handshake(append(sends("OLD"), qmptest.HangUp())...), handshake(sends("NEW")...))...)
	connect(t, q)
	end := q.Sync().NewListener(nil, "no event")
	defer end.Close()
	execute(t, q, "x")
	if _, err := end.Next(0); !errors.Is(err, io.EOF) { // else Close could come before the server's end
		t.Fatal(err)
	}
	wantNoError(t, q.Close()) // no call of q has seen the end
	connect(t, q)
	execute(t, q, "x")
	wantGet(t, q, legacy.Forever, "OLD", "NEW")
}

// A call that waits for an event returns when the connection ends and when Close is
// called.
func TestTheEndOfAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := scripted(t, nil, join(handshake(qmptest.Pause(time.Minute), qmptest.HangUp()), handshake())...)
		connect(t, q)
		start := time.Now()
		_, err := q.PullEvent(legacy.For(time.Hour))
		if wantError[*async.ExecInterruptedError](t, err); !errors.Is(err, io.EOF) {
			t.Errorf("error %v, want io.EOF in it", err)
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("the wait ended after %v, want a minute", took)
		}
		if err := q.Close(); !errors.Is(err, io.EOF) {
			t.Errorf("Close: %v, want io.EOF", err)
		}

		connect(t, q)
		failed := make(chan error)
		go func() {
			_, err := q.GetEvents(legacy.Forever)
			failed <- err
		}()
		synctest.Wait()
		wantNoError(t, q.Close())
		if err := <-failed; !errors.Is(err, async.ErrClosed) {
			t.Errorf("error %v, want async.ErrClosed", err)
		}
	})
}

// A wrapped client may have a queue with a limit. The object returns the events that
// are left in it, and does not say that others were dropped.
func TestLimitedQueue(t *testing.T) {
	c := qmpsync.New(&qmpsync.Options{EventLimit: 2, Async: async.Options{
		Dialer: qmptest.ScriptMemory(t, handshake(append(sends("A", "B", "C"), sends("D", "E", "F")...)...)...),
	}})
	defer c.Close()
	if err := c.Connect("script"); err != nil {
		t.Fatal(err)
	}
	q := legacy.Wrap(c)
	execute(t, q, "x")
	wantGet(t, q, legacy.NoWait, "B", "C")
	execute(t, q, "x")
	wantPull(t, q, legacy.For(time.Hour), "E")
	wantPull(t, q, legacy.Forever, "F")
}

// Each connection has its own cause, and the caller gets it.
func TestEachConnectionHasItsCause(t *testing.T) {
	q := scripted(t, nil, join(handshake(qmptest.Expect("x"), qmptest.HangUp()), handshake(qmptest.Expect("x"), qmptest.Reset()))...)
	for _, want := range []error{io.EOF, syscall.ECONNRESET} {
		connect(t, q)
		q.Cmd("x", nil)
		_, err := q.PullEvent(legacy.Forever)
		if wantError[*async.ExecInterruptedError](t, err); !errors.Is(err, want) {
			t.Errorf("error %v, want %v in it", err, want)
		}
		if err := q.Close(); !errors.Is(err, want) {
			t.Errorf("Close: %v, want %v", err, want)
		}
	}
}

// The cause that ended one connection is not returned for the next one.
func TestTheCauseIsThisConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := scripted(t, nil, join(
			handshake(qmptest.Pause(time.Second), qmptest.HangUp()),
			handshake(qmptest.StopReading()))...)
		connect(t, q)
		_, err := q.PullEvent(legacy.Forever)
		wantError[*async.ExecInterruptedError](t, err)
		if err := q.Close(); !errors.Is(err, io.EOF) {
			t.Errorf("Close: %v, want io.EOF", err)
		}

		connect(t, q)
		go q.Cmd("x", map[string]any{"x": strings.Repeat("x", 1<<20)}) // Close waits for its message
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- q.Close() }()
		synctest.Wait()
		_, err = q.PullEvent(legacy.Forever)
		wantState(t, err, async.Disconnecting, async.Running)
		<-closed
	})
}

// Until Close, every waiting call returns the cause, even if another reader of the
// queue has read the notice of the end.
func TestTheCauseStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := connected(t, qmptest.Pause(time.Second), qmptest.HangUp())
		_, err := q.Sync().Events().Next(0)
		wantError[*async.ExecInterruptedError](t, err)
		for range 2 {
			_, err := q.PullEvent(legacy.Forever)
			if wantError[*async.ExecInterruptedError](t, err); !errors.Is(err, io.EOF) {
				t.Errorf("error %v, want io.EOF in it", err)
			}
		}
		if err := q.Close(); !errors.Is(err, io.EOF) {
			t.Errorf("Close: %v, want io.EOF", err)
		}
		_, err = q.PullEvent(legacy.Forever)
		wantState(t, err, async.Idle, async.Running)
	})
}

// If other readers take the events, PullEvent still waits for exactly its limit, and
// its error has that limit.
func TestPullEventLimitAmongReaders(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			var steps []qmptest.Step
			for range 6 {
				steps = append(steps, qmptest.Pause(time.Second), qmptest.Send(`{"event":"E"}{"event":"E"}{"event":"E"}`))
			}
			c := qmpsync.New(&qmpsync.Options{EventLimit: 1, Async: async.Options{
				Dialer: qmptest.ScriptMemory(t, handshake(append(steps, qmptest.Stall())...)...),
			}})
			if err := c.Connect("script"); err != nil {
				t.Fatal(err)
			}
			q := legacy.Wrap(c)
			const limit = 10 * time.Second
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() {
					start := time.Now()
					for {
						_, err := q.PullEvent(legacy.For(limit))
						if err == nil {
							start = time.Now()
							continue
						}
						if e := wantError[*async.TimeoutError](t, err); e.Limit != limit || time.Since(start) != limit {
							t.Errorf("after %v: %v, want a limit of %v", time.Since(start), err, limit)
						}
						return
					}
				})
			}
			wg.Wait()
			wantNoError(t, q.Close())
		})
	}
}

// GetEvents and ClearEvents return even if the server never stops sending events.
func TestGetEventsInAFlood(t *testing.T) {
	conn, server := qmptest.PipeSize(1 << 20)
	q, err := legacy.New("", &legacy.Options{Conn: conn, Sync: qmpsync.Options{Async: async.Options{SkipGreeting: true, SkipNegotiation: true}}})
	if err != nil {
		t.Fatal(err)
	}
	connect(t, q)
	batch := []byte(strings.Repeat(`{"event":"E","data":{"list":[`+strings.Repeat("[1,2,3],", 100)+`[]]}}`, 100))
	over := make(chan struct{})
	flooded := make(chan struct{})
	go func() {
		defer close(flooded)
		for {
			select {
			case <-over:
				return
			default:
				server.Write(batch)
			}
		}
	}()
	late := time.AfterFunc(anybytes.Patience, func() { close(over) }) // lets a faulty GetEvents or ClearEvents return
	if _, err := q.PullEvent(legacy.Forever); err != nil {
		t.Error(err)
	}
	for range 3 {
		if events, err := q.GetEvents(legacy.Forever); err != nil || len(events) == 0 {
			t.Errorf("%d events, error %v", len(events), err)
		}
		q.ClearEvents()
	}
	if late.Stop() {
		close(over)
	} else {
		t.Error("GetEvents and ClearEvents returned only after the server had stopped")
	}
	<-flooded
	wantNoError(t, q.Close())
}
