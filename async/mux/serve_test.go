package mux

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/goqmp/qmp/async"
)

// A fakeListener has functions for its methods.
type fakeListener struct {
	net.Listener
	accept func() (net.Conn, error)
	close  func() error
}

func (l fakeListener) Accept() (net.Conn, error) { return l.accept() }
func (l fakeListener) Close() error              { return l.close() }

func newMux(greeting func() *async.Greeting) *Mux {
	return New(Upstream{Caller: &async.Client{}, Greeting: greeting}, nil)
}

// Serve closes its listener also if Accept fails for the moment just when the Mux ends, and it
// does not close it with a lock held.
func TestServeClosesListener(t *testing.T) {
	m := newMux(func() *async.Greeting { return nil })
	defer m.Close()
	why := errors.New("the end")
	closed := 0
	ln := fakeListener{
		accept: func() (net.Conn, error) {
			m.mu.Lock()
			m.why = why
			m.mu.Unlock()
			return nil, syscall.EMFILE
		},
		close: func() error {
			if !m.mu.TryLock() {
				t.Error("Close is called with a lock held")
			} else {
				m.mu.Unlock()
			}
			closed++
			return nil
		},
	}
	if err := m.Serve(t.Context(), ln, nil); err != why || closed == 0 {
		t.Errorf("Serve: %v, closed %d times", err, closed)
	}
	closed = 0
	if err := m.Serve(t.Context(), ln, nil); !errors.Is(err, why) || closed == 0 {
		t.Errorf("Serve after the end: %v, closed %d times", err, closed)
	}
	m.mu.Lock()
	m.why = nil
	m.mu.Unlock()
}

// The greeting is read with the lock held under which users are told of an end, so that no user
// is greeted by a server that has gone, and misses the notice.
func TestGreetingIsOfTheMoment(t *testing.T) {
	var m *Mux
	calls := 0
	m = newMux(func() *async.Greeting {
		calls++
		if m.mu.TryLock() {
			m.mu.Unlock()
			t.Error("the notice of an end may come between Greeting and the user")
		}
		return nil
	})
	defer m.Close()
	near, far := net.Pipe()
	defer near.Close()
	if err := m.ServeConn(t.Context(), far, nil); err == nil || calls != 1 {
		t.Errorf("ServeConn: %v, %d calls", err, calls)
	}
}
