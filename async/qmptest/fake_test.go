package qmptest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Helpers of several test files: a fake testing.TB, and a client.

// A fakeTB records the failures of a test.
type fakeTB struct {
	testing.TB // nil: it stands for the unexported methods of the interface

	mu       sync.Mutex // guards errors
	errors   []string
	cleanups []func() // the test's goroutine only
}

func (f *fakeTB) Helper()  {}
func (f *fakeTB) FailNow() { runtime.Goexit() }

func (f *fakeTB) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

// run calls test in a goroutine of its own, which Fatalf may end, and waits for
// it.
func (f *fakeTB) run(test func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		test()
	}()
	<-done
}

func (f *fakeTB) Failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.errors) > 0
}

func (f *fakeTB) Cleanup(cleanup func()) { f.cleanups = append(f.cleanups, cleanup) }

// end runs the cleanups, as package testing does after a test, and returns the
// failures.
func (f *fakeTB) end() string {
	for i := len(f.cleanups) - 1; i >= 0; i-- {
		f.cleanups[i]()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.errors, "\n")
}

// A peer is a client that the test drives: it writes text, and reads lines.
type peer struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func newPeer(t testing.TB, conn net.Conn, err error) *peer {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &peer{t: t, Conn: conn, r: bufio.NewReader(conn)}
}

func (p *peer) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.Conn, text); err != nil {
		p.t.Errorf("sending %s: %v", text, err)
	}
}

// line returns the next line without its line end. If the read fails, it returns
// what came, '!', and the error's text.
func (p *peer) line() string {
	line, err := p.r.ReadString('\n')
	if err != nil {
		return line + "!" + err.Error()
	}
	return strings.TrimRight(line, "\r\n")
}

// rest reads until the end of file. If the read fails, it returns what came, '!',
// and the error's text.
func (p *peer) rest() string {
	b, err := io.ReadAll(p.r)
	if err != nil {
		return string(b) + "!" + err.Error()
	}
	return string(b)
}

// want requires the next line to be text.
func (p *peer) want(text string) {
	p.t.Helper()
	if got := p.line(); got != text {
		p.t.Errorf("got %s, want %s", got, text)
	}
}
