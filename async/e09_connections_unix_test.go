//go:build unix

package async_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
)

// A bareServer is the other end of a socket as the system has it: no goroutine,
// and nothing in the heap but its number.
type bareServer int

// newBareServer returns it with the client's end, behind a greeting and the reply
// to qmp_capabilities. That one is given ahead, as a server may.
func newBareServer(t testing.TB) (net.Conn, bareServer) {
	t.Helper()
	fds := socketPairFDs(t)
	t.Cleanup(func() { syscall.Close(fds[1]) })
	f := os.NewFile(uintptr(fds[0]), "socketpair")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	server := bareServer(fds[1])
	server.say(t, `{"QMP":{"version":{"qemu":{"major":9,"minor":0,"micro":0}},"capabilities":["oob"]}}`+`{"return":{},"id":1}`)
	return conn, server
}

func (s bareServer) say(t testing.TB, text string) {
	t.Helper()
	if n, err := syscall.Write(int(s), []byte(text)); n != len(text) || err != nil {
		t.Fatalf("the server wrote %d bytes of %d: %v", n, len(text), err)
	}
}

// hear reads until the client has said end.
func (s bareServer) hear(t testing.TB, end string) {
	t.Helper()
	var heard []byte
	buf := make([]byte, 4096)
	for !bytes.HasSuffix(heard, []byte(end)) {
		n, err := syscall.Read(int(s), buf)
		if err == syscall.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			t.Fatalf("the server read %q, and then %d bytes and error %v, want %q", heard, n, err, end)
		}
		heard = append(heard, buf[:n]...)
	}
}

// A thousand connections take a goroutine each and some kilobytes, whether they
// have done nothing yet or have been used, and nothing when they are closed. (Not
// parallel: it measures what the whole process takes.)
func TestE9ThousandConnections(t *testing.T) {
	perConnection := 16 << 10
	if raceEnabled {
		perConnection = 24 << 10 // its books are in there
	}
	n := 1000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if open := int(min(limit.Cur, 1<<20)); open < 2*n+200 {
		n = (open - 200) / 2
		t.Logf("%d connections: this process may have %d files open", n, open)
	} else if testing.Short() {
		n = 200
		t.Logf("%d connections: a short run", n)
	}

	conns := make([]net.Conn, n)
	servers := make([]bareServer, n)
	clients := make([]*async.Client, n)
	listeners := make([]*async.EventListener, n)
	for i := range n {
		conns[i], servers[i] = newBareServer(t)
		clients[i] = newClient(t, nil)
		listeners[i] = clients[i].NewListener(&async.ListenerOptions{Limit: 10})
	}
	goroutines, held := runtime.NumGoroutine(), memoryInUse()
	measure := func(when string) {
		t.Helper()
		g, bytes := runtime.NumGoroutine()-goroutines, (memoryInUse()-held)/n
		t.Logf("%s: %.2f goroutines and %d bytes per connection", when, float64(g)/float64(n), bytes)
		if g > 2*n {
			t.Errorf("%s: %d goroutines, want at most 2 per connection", when, g)
		}
		if bytes > perConnection {
			t.Errorf("%s: %d bytes per connection, want at most %d", when, bytes, perConnection)
		}
	}

	for i, c := range clients {
		if err := c.Attach(t.Context(), conns[i]); err != nil {
			t.Fatal(err)
		}
		servers[i].hear(t, `"id":1}`)
	}
	measure("fresh")

	for i, c := range clients {
		call := start(t.Context(), c, async.Command{Name: "x", Args: map[string]any{"i": i}})
		servers[i].hear(t, `"id":2}`)
		servers[i].say(t, fmt.Sprintf(`{"event":"E","data":%d}{"return":%d,"id":2}`, i, i))
		got := <-call
		wantValue(t, "x", got.value, got.err, fmt.Sprint(i))
		if ev, ok, err := listeners[i].TryNext(); !ok || err != nil || string(ev.Data) != fmt.Sprint(i) {
			t.Errorf("connection %d: got event %s, %v and error %v", i, ev.Raw, ok, err)
		}
	}
	measure("used")

	for _, c := range clients {
		wantNil(t, "Close", c.Close())
	}
	// Goroutines that have done their last may take a moment to go.
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, were %d before", runtime.NumGoroutine(), goroutines)
		}
	}
	for i, s := range servers { // the client's end is closed for good: no copy of it is left
		if n, err := syscall.Read(int(s), make([]byte, 1)); n != 0 || err != nil {
			t.Errorf("connection %d behind Close: the server read %d bytes and error %v, want an end of file", i, n, err)
		}
	}
}
