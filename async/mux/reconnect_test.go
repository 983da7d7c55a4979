package mux_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/mux"
	"github.com/goqmp/qmp/async/qmptest"
)

// restartable is a setup whose client connects again to the server that s.now is then.
func restartable(t testing.TB, opts *mux.Options) *setup {
	t.Helper()
	s := &setup{t: t, now: new(atomic.Pointer[qmptest.Server])}
	s.Server = qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory, Name: "old"})
	s.now.Store(s.Server)
	s.client = async.New(&async.Options{
		Dialer:    func(ctx context.Context) (net.Conn, error) { return s.now.Load().Dial(ctx) },
		Backoff:   async.Every(time.Second),
		Reconnect: &async.Reconnect{},
	})
	if err := s.client.Connect(t.Context(), "machine"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.client.Close() })
	s.mux = mux.New(mux.Over(s.client), opts)
	t.Cleanup(func() { s.mux.Close() })
	return s
}

// restart ends the server. The next one starts when the returned function is called.
func (s *setup) restart() (start func()) {
	s.t.Helper()
	next := qmptest.Start(s.t, &qmptest.Options{Network: qmptest.Memory, Name: "new"})
	s.Server.Close()
	synctest.Wait()
	return func() {
		s.now.Store(next)
		time.Sleep(5 * time.Second)
	}
}

// When the client connects again, users have been disconnected, and new ones come in.
func TestReconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := restartable(t, nil)
		u := s.enter(nil, false)
		begin := s.restart()
		u.want("!EOF")
		if err := <-u.ended; !async.HungUp(err) {
			t.Errorf("ServeConn: %v", err)
		}
		between := s.connect(nil) // must not be greeted by the server that has gone
		between.want("!EOF")
		if err := <-between.ended; err == nil {
			t.Error("ServeConn returned nil")
		}
		begin()
		u = s.enter(nil, false)
		u.send(`{"execute":"query-name","id":2}`)
		u.want(`{"return": {"name": "new"}, "id": 2}`)
	})
}

// With KeepUsers they stay, and are told.
func TestKeepUsers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := restartable(t, &mux.Options{KeepUsers: true})
		s.slow()
		u := s.enter(nil, false)
		u.send(`{"execute":"slow","id":1}`)
		synctest.Wait()
		begin := s.restart()
		u.want(`{"timestamp": {"seconds": 946684800, "microseconds": 0}, "event": "`+mux.ConnectionLost+`", "data": {"reason": "qmp: the connection has ended: EOF"}}`,
			`{"id": 1, "error": {"class": "GenericError", "desc": "The server has not answered the command, which may have been executed: EOF"}}`)
		u.send(`{"execute":"query-name","id":2}`)
		u.want(`{"id": 2, "error": {"class": "GenericError", "desc": "The command was not sent: ...`)
		begin()
		u.send(`{"execute":"stop","id":3}`)
		u.want(`..."STOP"...`, `{"return": {}, "id": 3}`)
	})
}

// A fakeQueue returns what is in it.
type fakeQueue struct {
	mu      sync.Mutex
	entries []any // async.Event or error
	closed  bool
}

func (q *fakeQueue) TryNext() (async.Event, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries) == 0 {
		return async.Event{}, false, nil
	}
	first := q.entries[0]
	q.entries = q.entries[1:]
	if err, ok := first.(error); ok {
		return async.Event{}, false, err
	}
	return first.(async.Event), true, nil
}

func (q *fakeQueue) Close() { q.closed = true }

// Events that the queue has lost are told to users.
func TestEventsLostUpstream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		ev, err := async.ParseEvent([]byte(`{"event": "E", "timestamp": {"seconds": -1, "microseconds": -1}}`))
		if err != nil {
			t.Fatal(err)
		}
		q := &fakeQueue{}
		var changed func()
		m := mux.New(mux.Upstream{
			Caller: s.client, Greeting: s.client.Greeting,
			Events: func(c func()) mux.EventQueue { changed = c; return q },
		}, nil)
		u := (&setup{Server: s.Server, t: t, client: s.client, mux: m}).enter(nil, false)
		q.mu.Lock()
		q.entries = []any{ev, &async.OverflowError{Lost: 7}, ev}
		q.mu.Unlock()
		changed()
		changed()
		const plain = `{"event": "E", "timestamp": {"seconds": -1, "microseconds": -1}}`
		u.want(plain)
		if line := u.line(); lostIn(t, line) != 7 {
			t.Errorf("got %s", line)
		}
		u.want(plain)
		m.Close()
		if !q.closed {
			t.Error("the queue is not closed")
		}
	})
}

// A user who is slow and has Door.DropEvents is told how many events were lost, whoever has lost
// them. That the connection has ended it is told in any case.
func TestNoticesAmongDroppedEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		ev, err := async.ParseEvent([]byte(`{"event": "E", "timestamp": {"seconds": -1, "microseconds": -1}}`))
		if err != nil {
			t.Fatal(err)
		}
		q := &fakeQueue{}
		var changed func()
		m := mux.New(mux.Upstream{
			Caller: s.client, Greeting: s.client.Greeting,
			Events: func(c func()) mux.EventQueue { changed = c; return q },
		}, &mux.Options{KeepUsers: true})
		defer m.Close()
		u := (&setup{Server: s.Server, t: t, client: s.client, mux: m}).enter(&mux.Door{MaxUnread: 2000, DropEvents: true}, false)
		const events = 4000
		var entries []any
		for range events / 2 {
			entries = append(entries, ev)
		}
		entries = append(entries, &async.OverflowError{Lost: 1_000_000}, &async.ExecInterruptedError{Err: io.EOF})
		for range events / 2 {
			entries = append(entries, ev)
		}
		q.mu.Lock()
		q.entries = entries
		q.mu.Unlock()
		changed()
		synctest.Wait()
		u.send(`{"execute":"query-name","id":1}`)
		got, lost, gaps := 0, 0, 0
		for line := u.line(); !strings.Contains(line, `"id": 1`); line = u.line() {
			n := lostIn(t, line)
			switch lost += n; {
			case n > 0:
			case strings.Contains(line, mux.ConnectionLost):
				gaps++
			case strings.Contains(line, `"event": "E"`):
				got++
			default:
				t.Fatal(line)
			}
		}
		if got+lost != events+1_000_000 || got == events || gaps != 1 {
			t.Errorf("%d events, %d lost and %d ends, want %d together and 1", got, lost, gaps, events+1_000_000)
		}

		// Ends that are not read have the same limit.
		for range 2000 {
			entries = append(entries, &async.ExecInterruptedError{Err: io.EOF})
		}
		q.mu.Lock()
		q.entries = entries
		q.mu.Unlock()
		changed()
		err = <-u.ended
		if _, ok := errors.AsType[*mux.SlowUserError](err); !ok {
			t.Errorf("ServeConn: %v", err)
		}
	})
}

// A Mux needs neither events nor an end.
func TestBareCaller(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		m := mux.New(mux.Upstream{Caller: s.client, Greeting: s.client.Greeting}, nil)
		defer m.Close()
		u := (&setup{Server: s.Server, t: t, client: s.client, mux: m}).enter(nil, false)
		u.send(`{"execute":"stop","id":1}`)
		u.want(`{"return": {}, "id": 1}`)

		for _, up := range []mux.Upstream{{Caller: s.client}, {Greeting: s.client.Greeting}} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("New has taken %+v", up)
					}
				}()
				mux.New(up, nil)
			}()
		}
	})
}

// While there is no greeting, users are disconnected.
func TestNoGreetingYet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		m := mux.New(mux.Upstream{Caller: s.client, Greeting: func() *async.Greeting { return nil }}, nil)
		defer m.Close()
		u := (&setup{Server: s.Server, t: t, client: s.client, mux: m}).connect(nil)
		u.want("!EOF")
		if err := <-u.ended; err == nil {
			t.Error("ServeConn returned nil")
		}
	})
}
