package mux_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/mux"
	"github.com/goqmp/qmp/async/qmptest"
)

// A user that leaves takes only its own commands along: what the server executes goes on, what
// waits is never sent, and nobody else is disturbed.
func TestUserLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		release := s.slow()
		a, b := s.enter(nil, false), s.enter(nil, false)
		a.send(`{"execute":"slow"}{"execute":"stop"}{"execute":"stop"}`)
		synctest.Wait()
		b.send(`{"execute":"query-name","id":1}`)
		a.Close()
		a.wantEnd(nil)
		close(release)
		b.want(`{"return": {..., "id": 1}`)
		b.send(`{"execute":"query-status","id":2}`)
		b.want(`{"return": {..."running"..., "id": 2}`)
		if got := strings.Join(s.commands(), " "); got != "slow query-name query-status" {
			t.Errorf("the server has received %s", got)
		}
	})
}

// A user with many commands delays another user by one.
func TestUsersTakeTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		release := s.slow()
		var users []*userConn
		for range 20 { // more than the eight that the server is sent at a time
			u := s.enter(nil, false)
			u.send(strings.Repeat(`{"execute":"slow"}`, 10))
			users = append(users, u)
		}
		late := s.enter(nil, false)
		late.send(`{"execute":"query-name","id":"late"}`)
		synctest.Wait()
		for range 20 {
			release <- struct{}{}
		}
		late.want(`{"return": {..., "id": "late"}`)
		for range 20 * 9 {
			release <- struct{}{}
		}
		for _, u := range users {
			for range 10 {
				u.want(`{"return": {}}`)
			}
		}
	})
}

// Out-of-band commands pass what waits, also that of their own user. What the user sends after
// them waits for them.
func TestOutOfBandPasses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		release := s.slow()
		s.HandleOOB("fast", func(context.Context, *qmptest.Command) (any, error) { return nil, nil })
		a, b := s.enter(nil, true), s.enter(nil, false)
		b.send(strings.Repeat(`{"execute":"slow"}`, 20))
		a.send(strings.Repeat(`{"execute":"slow"}`, 20) + `{"exec-oob":"fast","id":1}`)
		a.want(`{"return": {}, "id": 1}`)
		b.send(`{"exec-oob":"fast","id":1}`) // it has not enabled that
		close(release)
		for range 20 {
			b.want(`{"return": {}}`)
		}
		b.want(`{"id": 1, "error": {"class": "GenericError", "desc": "QMP input member 'exec-oob' is unexpected"}}`)
	})
}

// Without out-of-band execution upstream, the greeting does not offer it.
func TestNoOOB(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, &mux.Options{NoOOB: true})
		u := s.connect(nil)
		u.want(`{"QMP": {"version": {...}, "capabilities": []}}`)
		u.send(withOOB + plain)
		u.want(`{"error": {"class": "GenericError", "desc": "Capability oob is not available"}}`, `{"return": {}}`)
	})
}

// If the client has no out-of-band execution, and Options.NoOOB is not set, the user learns it
// from the error.
func TestOOBNotEnabledUpstream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory})
		c := async.New(&async.Options{Dialer: s.Dial, NoOOB: true})
		if err := c.Connect(t.Context(), "machine"); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		m := mux.New(mux.Over(c), nil)
		defer m.Close()
		u := (&setup{Server: s, t: t, client: c, mux: m}).enter(nil, true)
		u.send(`{"exec-oob":"query-yank","id":1}`)
		u.want(`{"id": 1, "error": {"class": "GenericError", "desc": "Out-of-band execution is not enabled on the multiplexer's connection to the server"}}`)
	})
}

// A user that has not negotiated gets no events.
func TestEventsAfterNegotiation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		u := s.connect(nil)
		u.want(`{"QMP": ...`)
		s.emit("EARLY")
		u.send(plain)
		u.want(`{"return": {}}`)
		s.emit("LATE")
		u.want(`..."event": "LATE"...`)
	})
}

// emit makes the server send an event, and waits until every user has it queued.
func (s *setup) emit(name string) {
	s.t.Helper()
	if err := s.Emit(name, nil); err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
}

// A user that does not read its events is disconnected, and nobody else is disturbed.
func TestSlowUser(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		slow, quick := s.enter(&mux.Door{MaxUnread: 1000}, false), s.enter(nil, false)
		const events = 1200 // more than the connection holds
		s.emit("FIRST")
		quick.want(`..."FIRST"}`)
		go func() {
			for i := range events {
				s.Emit(fmt.Sprint("E", i), nil)
			}
		}()
		for i := range events {
			quick.want(fmt.Sprintf(`..."E%d"}`, i))
		}
		err := <-slow.ended
		e, ok := errors.AsType[*mux.SlowUserError](err)
		if !ok || e.Limit != 1000 || e.Unread <= 1000 || !strings.Contains(err.Error(), "the limit is 1000 (mux.Door.MaxUnread)") {
			t.Errorf("ServeConn: %v", err)
		}
		quick.send(`{"execute":"query-name","id":1}`)
		quick.want(`{"return": {..., "id": 1}`)
		slow.want(`..."FIRST"}`) // what was written before can be read
	})
}

// With DropEvents it loses the oldest ones, and is told how many, in their place.
func TestDropEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		u := s.enter(&mux.Door{MaxUnread: 2000, DropEvents: true}, false)
		const events = 1500
		for i := range events {
			if err := s.Emit(fmt.Sprintf("E%04d", i), nil); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		u.send(`{"execute":"query-name","id":1}`)
		synctest.Wait()
		got, lost, next := 0, 0, 0
		for line := u.line(); !strings.Contains(line, `"id": 1`); line = u.line() {
			if n := lostIn(t, line); n > 0 {
				lost += n
				next += n
				continue
			}
			var n int
			_, rest, _ := strings.Cut(line, `"event": "E`)
			if _, err := fmt.Sscanf(rest, "%04d", &n); err != nil || n != next {
				t.Fatalf("%s, want event %d", line, next)
			}
			got++
			next++
		}
		if got+lost != events || lost == 0 {
			t.Errorf("%d events and %d lost, want %d together", got, lost, events)
		}
		s.emit("AFTER")
		u.want(`..."AFTER"...`)
	})
}

// A user that sends commands and does not read the replies is stopped. Nothing is lost.
func TestUnreadReplies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		big := strings.Repeat("x", 64<<10)
		s.Handle("big", func(context.Context, *qmptest.Command) (any, error) { return big, nil })
		u := s.enter(nil, false)
		const commands = 40
		go func() {
			for i := range commands {
				fmt.Fprintf(u, `{"execute":"big","id":%d}`, i)
			}
		}()
		synctest.Wait()
		if n := len(s.commands()); n < 16 || n > 20 {
			t.Errorf("the server has executed %d commands", n)
		}
		for i := range commands {
			u.want(fmt.Sprintf(`{"return": "x...", "id": %d}`, i))
		}
	})
}

// When the server quits, the reply comes before the end. Those who wait for a reply get an
// error.
func TestServerQuits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		s.slow()
		a, b := s.enter(nil, false), s.enter(nil, false)
		b.send(`{"execute":"query-name","id":1}`)
		b.want(`{"return": {..., "id": 1}`)
		a.send(`{"execute":"quit","id":"bye"}`)
		a.want(`..."SHUTDOWN"...`, `{"return": {}, "id": "bye"}`, "!EOF")
		b.want(`..."SHUTDOWN"...`, "!EOF")
		var gone *mux.UpstreamError
		if err := <-a.ended; !errors.As(err, &gone) {
			t.Errorf("ServeConn: %v", err)
		}
		if err := s.mux.Serve(t.Context(), newPipeListener(), nil); !errors.As(err, &gone) {
			t.Errorf("Serve: %v", err)
		}
	})
}

// When the connection to the server ends, pending commands get an error that says whether they
// were sent.
func TestServerDies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		s.slow()
		u := s.enter(nil, false)
		u.send(`{"execute":"slow","id":1}{"execute":"query-name","id":2}`)
		synctest.Wait()
		s.Close()
		u.want(`{"id": 1, "error": {"class": "GenericError", "desc": "The server has not answered the command, which may have been executed: ...`,
			`{"id": 2, "error": {"class": "GenericError", "desc": "The command was not sent: ...`, "!EOF")
		if err := <-u.ended; !async.HungUp(err) {
			t.Errorf("ServeConn: %v", err)
		}
	})
}

// Close disconnects users, after what waits for them was written, and leaves nothing.
func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		s.slow()
		u, idle := s.enter(nil, false), s.connect(nil)
		u.send(`{"execute":"slow","id":1}`)
		synctest.Wait()
		ln := newPipeListener()
		served := make(chan error, 1)
		go func() { served <- s.mux.Serve(context.Background(), ln, nil) }()
		synctest.Wait()
		if err := s.mux.Close(); err != nil {
			t.Error(err)
		}
		u.want(`{"id": 1, "error": {"class": "GenericError", "desc": "The server has not answered the command, which may have been executed: closed by this side"}}`, "!EOF")
		u.wantEnd(async.ErrClosed)
		idle.want(`{"QMP": ...`, "!EOF")
		idle.wantEnd(async.ErrClosed)
		if err := <-served; err != async.ErrClosed {
			t.Errorf("Serve: %v", err)
		}
		if err := s.mux.Close(); err != nil {
			t.Error(err)
		}
		late := s.connect(nil)
		late.want("!EOF")
		late.wantEnd(async.ErrClosed)
	})
}

// A user that does not read is given a second at the end, and no longer.
func TestCloseDoesNotWaitForUsers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		s.Handle("big", func(context.Context, *qmptest.Command) (any, error) { return strings.Repeat("x", 200<<10), nil })
		u := s.enter(nil, false)
		u.send(`{"execute":"big"}`)
		synctest.Wait()
		begun := time.Now()
		s.mux.Close()
		if took := time.Since(begun); took != time.Second {
			t.Errorf("Close took %v", took)
		}
		u.wantEnd(async.ErrClosed)
	})
}

// Serve goes on when there are too few descriptors for the moment, and ends when its listener
// fails.
func TestServeAcceptErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		ln := newPipeListener()
		ln.errs <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
		ln.errs <- &net.OpError{Op: "accept", Err: syscall.ECONNABORTED}
		served := make(chan error, 1)
		go func() { served <- s.mux.Serve(context.Background(), ln, nil) }()
		u := newUserConn(t, ln.dial())
		u.want(`{"QMP": ...`)
		broken := errors.New("broken")
		ln.errs <- broken
		ln.dial().Close()
		if err := <-served; !errors.Is(err, broken) {
			t.Errorf("Serve: %v", err)
		}
		u.want("!EOF")
	})
}

// lostIn returns how many events were lost if line is the event EventsLost, or else 0.
func lostIn(t testing.TB, line string) (n int) {
	t.Helper()
	if _, rest, ok := strings.Cut(line, mux.EventsLost+`", "data": {"events": `); ok {
		if _, err := fmt.Sscanf(rest, "%d", &n); err != nil || n == 0 {
			t.Fatalf("%s", line)
		}
	}
	return n
}
