//go:build linux

package qmptest

import (
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func openFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A client that sends descriptors without a command does not use up those of the test. (Not
// parallel: it counts the descriptors of the whole process.)
func TestDescriptorsNobodyTakes(t *testing.T) {
	s := Start(t, nil)
	conn, err := dialAddr(t.Context(), s.Addr())
	p := newPeer(t, conn, err)
	before := openFDs(t)
	most := 0
	for range 40 {
		p.sendFDs(" ", 100)
		most = max(most, openFDs(t)-before)
	}
	p.send(`{"execute":"qmp_capabilities"}`)
	if _, err := s.AwaitReceived(t.Context(), func(m []Message) bool { return len(m) == 1 }); err != nil {
		t.Fatal(err)
	}
	if most = max(most, openFDs(t)-before); most > 400 {
		t.Errorf("%d descriptors were open when 4,000 were sent", most)
	}
	p.Close()
}

// White space fills no memory, however much of it a client sends. (Not parallel: it counts
// what the whole process has allocated.)
func TestBlanksTakeNoMemory(t *testing.T) {
	const size = 32 << 20
	s := Start(t, nil)
	conn, err := dialAddr(t.Context(), s.Addr())
	p := newPeer(t, conn, err)
	var before, after runtime.MemStats
	blanks := strings.Repeat(" ", 64<<10)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range size / len(blanks) {
		if _, err := io.WriteString(p.Conn, blanks); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := int64(after.HeapAlloc) - int64(before.HeapAlloc); n > size/8 {
		t.Errorf("%d bytes of white space fill %d bytes of memory", size, n)
	}
	p.send(`{"execute":"qmp_capabilities"}`)
	if _, err := s.AwaitReceived(t.Context(), func(m []Message) bool { return len(m) == 1 }); err != nil {
		t.Fatal(err)
	}
	p.Close()
}

// A client that does not read loses its connection before it has filled the memory.
func TestRepliesNobodyReads(t *testing.T) {
	t.Parallel()
	s := Start(t, &Options{Network: Memory})
	conn, err := s.Dial(t.Context())
	p := newPeer(t, conn, err)
	p.send(`{"execute":"qmp_capabilities"}`)
	if _, err := s.AwaitReceived(t.Context(), func(m []Message) bool { return len(m) == 1 }); err != nil {
		t.Fatal(err)
	}
	p.Conn.SetDeadline(time.Now().Add(time.Minute))
	s.mu.Lock()
	c := s.clients[0]
	s.mu.Unlock()
	if err := s.Emit("READ", nil); err != nil { // below the limit: the client gets it
		t.Fatal(err)
	}
	if _, err := io.ReadAtLeast(p.Conn, make([]byte, 4096), 100); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock() // throughout, so that the writer takes nothing meanwhile
	c.out = append(c.out, make([]byte, mostUnread+1)...)
	c.append([]byte(`{"event": "UNREAD"}`))
	c.mu.Unlock()
	select {
	case <-c.ctx.Done():
	case <-time.After(time.Minute):
		t.Fatal("the connection has not ended")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) > 0 {
		t.Errorf("the server keeps %d bytes", len(c.out))
	}
}
