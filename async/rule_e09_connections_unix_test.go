//go:build unix

// Tests of rule E9 (bounds): the memory of many connections, and of connections
// that have been used.
// The code that they hold: options.go, command.go and session.go.
package async_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
)

// A bareServer is the server's end of a connection, as a descriptor of the
// system. It has no goroutine and takes no memory in the heap.
type bareServer int

// newBareServer returns a server and the client's end of the connection. The
// server has already sent its greeting and the reply to qmp_capabilities: a
// server may answer before it is asked.
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

// hear reads until what the client sent ends in end.
func (s bareServer) hear(t testing.TB, end string) {
	t.Helper()
	s.hearUntil(t, end, func(heard []byte) bool { return bytes.HasSuffix(heard, []byte(end)) })
}

// hearUntil reads until enough says that the client has sent enough.
func (s bareServer) hearUntil(t testing.TB, what string, enough func(heard []byte) bool) {
	t.Helper()
	var heard []byte
	buf := make([]byte, 4096)
	for !enough(heard) {
		n, err := syscall.Read(int(s), buf)
		if err == syscall.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			t.Fatalf("the server read %q, and then %d bytes and error %v, want %s", heard, n, err, what)
		}
		heard = append(heard, buf[:n]...)
	}
}

// A thousand connections take one goroutine and some kilobytes each, whether
// they are new or have been used. When they are closed they take nothing. (Not
// parallel: it measures the memory of the whole process.)
func TestE9ThousandConnections(t *testing.T) {
	perConnection := 16 << 10
	if raceEnabled {
		perConnection = 24 << 10 // the race detector's own memory counts, too
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
	measure("new")

	for i, c := range clients {
		call := start(t.Context(), c, async.Command{Name: "x", Args: map[string]any{"i": i}})
		servers[i].hear(t, `"id":2}`)
		servers[i].say(t, fmt.Sprintf(`{"event":"E","data":%d}{"return":%d,"id":2}`, i, i))
		got := <-call
		wantValue(t, "x", got.value, got.err, fmt.Sprint(i))
		if ev, ok, err := listeners[i].TryNext(); !ok || err != nil || string(ev.Data) != fmt.Sprint(i) {
			t.Errorf("connection %d: got event %s, %v and error %v", i, ev.Raw(), ok, err)
		}
	}
	measure("used")

	for _, c := range clients {
		wantNil(t, "Close", c.Close())
	}
	// A goroutine that has returned may be counted for a moment.
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, were %d before", runtime.NumGoroutine(), goroutines)
		}
	}
	for i, s := range servers { // the client's end is closed, and no copy of its descriptor is open
		if n, err := syscall.Read(int(s), make([]byte, 1)); n != 0 || err != nil {
			t.Errorf("connection %d after Close: the server read %d bytes and error %v, want an end of file", i, n, err)
		}
	}
}

// An idle connection is small again, whatever it has carried: large messages
// and smaller ones, many pending commands, commands that waited, and commands
// that were given up. (Not parallel: it measures the heap of the whole process.
// Stacks do not count here, since those of the callers leave gaps. The stack of
// the connection counts in the two tests above.)
func TestE9IdleConnectionIsSmallAgain(t *testing.T) {
	const n = 10
	most := 32 << 10
	if raceEnabled {
		most = 48 << 10 // the race detector's own memory counts, too
	}
	filler := func(size int) map[string]any { return map[string]any{"x": strings.Repeat("x", size)} }
	carries := func(sent, received int) func(*testing.T, *async.Client, bareServer) {
		return func(t *testing.T, c *async.Client, s bareServer) {
			call := start(t.Context(), c, async.Command{Name: "x", Args: filler(sent)})
			s.hear(t, `"id":2}`)
			s.say(t, `{"return":"`+strings.Repeat("x", received)+`","id":2}`)
			wantNil(t, "x", (<-call).err)
		}
	}
	for name, tt := range map[string]struct {
		oob   bool
		drive func(t *testing.T, c *async.Client, s bareServer)
	}{
		"4,000 bytes each way":  {drive: carries(4_000, 4_000)},
		"8,100 bytes each way":  {drive: carries(8_100, 8_100)},
		"15,000 bytes each way": {drive: carries(15_000, 15_000)},
		"60,000 bytes each way": {drive: carries(60_000, 60_000)},
		"1,000 pending commands": {drive: func(t *testing.T, c *async.Client, s bareServer) {
			const commands = 1000
			var wg sync.WaitGroup
			for range commands {
				wg.Go(func() {
					_, err := c.Execute(t.Context(), "x", nil)
					wantNil(t, "x", err)
				})
			}
			s.hearUntil(t, "1,000 commands", func(heard []byte) bool { return bytes.Count(heard, []byte("}")) == commands })
			replies := ""
			for i := range commands {
				replies += fmt.Sprintf(`{"return":{},"id":%d}`, i+2)
			}
			s.say(t, replies)
			wg.Wait()
		}},
		"a large command in the queue": {oob: true, drive: func(t *testing.T, c *async.Client, s bareServer) {
			var calls []<-chan result
			for i := range 8 {
				calls = append(calls, start(t.Context(), c, async.Command{Name: "x"}))
				s.hear(t, fmt.Sprintf(`"id":%d}`, i+2))
			}
			calls = append(calls, start(t.Context(), c, async.Command{Name: "x", Args: filler(1 << 20)}))
			for b, _ := async.ReadCounts(c); b.Waiting == 0; b, _ = async.ReadCounts(c) {
				runtime.Gosched()
			}
			for i := range 8 {
				s.say(t, fmt.Sprintf(`{"return":{},"id":%d}`, i+2))
			}
			s.hear(t, `"id":10}`)
			s.say(t, `{"return":{},"id":10}`)
			for _, call := range calls {
				wantNil(t, "x", (<-call).err)
			}
		}},
		"large commands that were given up": {drive: func(t *testing.T, c *async.Client, s bareServer) {
			for _, id := range []string{"a", "b", "c"} {
				ctx, cancel := context.WithCancel(t.Context())
				call := start(ctx, c, async.Command{Name: "x", ID: id, Args: filler(1 << 20)})
				s.hear(t, `"id":"`+id+`"}`)
				cancel()
				wantInterrupted(t, id, (<-call).err, true, context.Canceled)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			driven := func() *async.Client {
				conn, server := newBareServer(t)
				c := newClient(t, &async.Options{NoOOB: !tt.oob})
				wantNil(t, "Attach", c.Attach(t.Context(), conn))
				server.hear(t, `"id":1}`)
				tt.drive(t, c, server)
				return c
			}
			// The first run is not measured: the process keeps some memory, such as goroutines for reuse.
			wantNil(t, "Close", driven().Close())
			var clients []*async.Client
			before := heapInUse()
			for range n {
				clients = append(clients, driven())
			}
			if used := (heapInUse() - before) / n; used > most {
				t.Errorf("an idle connection takes %d bytes after %s, want at most %d", used, name, most)
			} else {
				t.Logf("an idle connection takes %d bytes after %s", used, name)
			}
			for _, c := range clients {
				wantNil(t, "Close", c.Close())
			}
		})
	}
}
