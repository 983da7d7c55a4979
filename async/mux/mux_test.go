package mux_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
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

// A setup is a simulated machine, a client of it, and a Mux over the client.
type setup struct {
	*qmptest.Server
	t      testing.TB
	client *async.Client
	mux    *mux.Mux
	now    *atomic.Pointer[qmptest.Server] // of restartable
}

// start makes a setup in a bubble.
func start(t testing.TB, opts *mux.Options) *setup {
	t.Helper()
	s := &setup{Server: qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory}), t: t}
	s.client = async.New(&async.Options{Dialer: s.Dial})
	if err := s.client.Connect(t.Context(), "machine"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.client.Close() })
	s.mux = mux.New(mux.Over(s.client), opts)
	t.Cleanup(func() { s.mux.Close() })
	return s
}

// A userConn is one user's end of a connection.
type userConn struct {
	net.Conn
	t     testing.TB
	lines *bufio.Reader
	ended chan error // gets what ServeConn returns
}

// connect makes a user, who has not read the greeting yet.
func (s *setup) connect(door *mux.Door) *userConn {
	s.t.Helper()
	near, far := qmptest.Pipe()
	u := newUserConn(s.t, near)
	go func() { u.ended <- s.mux.ServeConn(context.Background(), far, door) }()
	return u
}

// newUserConn returns the user whose end of a connection conn is.
func newUserConn(t testing.TB, conn net.Conn) *userConn {
	t.Cleanup(func() { conn.Close() })
	return &userConn{Conn: conn, t: t, lines: bufio.NewReader(conn), ended: make(chan error, 1)}
}

// slow adds a command slow, which ends when the channel has a value or is closed.
func (s *setup) slow() chan struct{} {
	release := make(chan struct{})
	s.Handle("slow", func(ctx context.Context, _ *qmptest.Command) (any, error) {
		select {
		case <-release:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	return release
}

// A pipeListener is a listener in memory.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	errs   chan error // what Accept returns next
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{}), errs: make(chan error, 10)}
}

// dial connects.
func (l *pipeListener) dial() net.Conn {
	near, far := qmptest.Pipe()
	select {
	case l.conns <- far:
	case <-l.closed:
		far.Close()
	}
	return near
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case err := <-l.errs:
		return nil, err
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return nil }

// enter makes a user who has negotiated, with or without out-of-band execution.
func (s *setup) enter(door *mux.Door, oob bool) *userConn {
	s.t.Helper()
	u := s.connect(door)
	if line := u.line(); !strings.HasPrefix(line, `{"QMP": `) {
		s.t.Fatalf("greeting %s", line)
	}
	if oob {
		u.send(`{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}`)
	} else {
		u.send(`{"execute":"qmp_capabilities"}`)
	}
	u.want(`{"return": {}}`)
	return u
}

func (u *userConn) send(text string) {
	u.t.Helper()
	if _, err := u.Write([]byte(text)); err != nil {
		u.t.Fatalf("write: %v", err)
	}
}

// line returns the next line, or what reading ended with after a "!".
func (u *userConn) line() string {
	line, err := u.lines.ReadString('\n')
	if err != nil {
		return fmt.Sprintf("%s!%v", line, err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// want requires the next lines. What is between "..." may be anything.
func (u *userConn) want(lines ...string) {
	u.t.Helper()
	for _, want := range lines {
		got := u.line()
		rest, ok := got, true
		for i, part := range strings.Split(want, "...") {
			at := strings.Index(rest, part)
			if at < 0 || i == 0 && at > 0 {
				ok = false
				break
			}
			rest = rest[at+len(part):]
		}
		if !ok || rest != "" && !strings.HasSuffix(want, "...") {
			u.t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

// wantEnd requires that ServeConn returns an error that matches target; nil means none.
func (u *userConn) wantEnd(target error) {
	u.t.Helper()
	if err := <-u.ended; !errors.Is(err, target) {
		u.t.Errorf("ServeConn: %v, want %v", err, target)
	}
}

// bubble runs a test with a clock of its own.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// Two users have ids of their own, and both get every event.
func TestTwoUsers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := start(t, nil)
		a, b := s.enter(nil, false), s.enter(nil, true)
		a.send(`{"execute":"query-status","id":{"mine":[1,"x"]}}`)
		b.send(`{"execute":"query-name","id":"1"}`)
		a.want(`{"return": {..."running"..., "id": {"mine": [1, "x"]}}`)
		b.want(`{"return": {..., "id": "1"}`)
		a.send(`{"execute":"stop"}`)
		a.want(`{"timestamp": ..."event": "STOP"...`, `{"return": {}}`)
		b.want(`{"timestamp": ..."event": "STOP"...`)
		a.Close()
		a.wantEnd(nil)
		b.send(`{"execute":"nope","id":7}`)
		b.want(`{"id": 7, "error": {"class": "CommandNotFound", "desc": "The command nope has not been found"}}`)
	})
}

// Serve disconnects its users when its context ends, and leaves nothing.
func TestServe(t *testing.T) {
	t.Parallel()
	s := qmptest.Start(t, nil)
	c, err := async.Dial(t.Context(), s.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := mux.New(mux.Over(c), nil)
	defer m.Close()
	path := t.TempDir() + "/door"
	ln, err := mux.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx, ln, nil) }()
	u, err := async.Dial(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := u.Execute(t.Context(), "query-status", nil); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-served; !errors.Is(err, context.Canceled) {
		t.Errorf("Serve: %v", err)
	}
	select {
	case <-u.Done():
	case <-time.After(10 * time.Second):
		t.Error("the user is still connected")
	}
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("the door is still open")
	}
}
