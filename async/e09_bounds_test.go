package async_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// One message is bounded in size; an error names the bound and the option. (For
// what is sent, see TestE7RefusedBeforeSending.)
func TestE9ReceivedSize(t *testing.T) {
	t.Parallel()
	// A reply of just n bytes.
	reply := func(n int) qmptest.Step {
		around := len(`{"id":2,"return":""}`)
		return qmptest.Send(`{"id":2,"return":"` + strings.Repeat("x", n-around) + `"}`)
	}
	for _, tt := range []struct {
		name        string
		max, size   int
		tooLarge    bool
		skipInShort bool
	}{
		{name: "at the limit", max: 5000, size: 5000},
		{name: "a byte over the limit", max: 5000, size: 5001, tooLarge: true},
		{name: "over a large limit", max: 1 << 20, size: 1<<20 + 1, tooLarge: true},
		{name: "1 MiB by default", size: 1 << 20},
		{name: "no limit", max: -1, size: 1 << 20},
		{name: "64 MiB by default", size: 64 << 20, skipInShort: true},
		{name: "a byte more", size: 64<<20 + 1, tooLarge: true, skipInShort: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.skipInShort && testing.Short() {
				t.Skip("it takes 64 MiB")
			}
			t.Parallel()
			p := memory(t, connected("", qmptest.Expect("x"), reply(tt.size), qmptest.ExpectEOF())...)
			c := dial(t, p, &async.Options{MaxMessage: tt.max})
			v, err := c.Execute(t.Context(), "x", nil)
			if !tt.tooLarge {
				if err != nil || len(v) != tt.size-len(`{"id":2,"return":}`) {
					t.Errorf("got %d bytes and error %v", len(v), err)
				}
				return
			}
			limit := tt.max
			if limit == 0 {
				limit = 64 << 20
			}
			e := wantAs[*async.MessageError](t, "x", err)
			if e.Reason != async.TooLarge || e.Limit != limit || e.Command != "" {
				t.Errorf("got Reason %q, Limit %d, Command %q, want %q, %d, none", e.Reason, e.Limit, e.Command, async.TooLarge, limit)
			}
			wantText(t, "x", err, fmt.Sprintf("%d bytes", limit), "Options.MaxMessage")
			if len(err.Error()) > 500 {
				t.Errorf("the error takes %d bytes to say it", len(err.Error()))
			}
			wantIs(t, "x", err, c.Disconnect(t.Context()))
		})
	}
}

func TestE9ReceivedDepth(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		levels  int
		tooDeep bool
	}{{10_000, false}, {10_001, true}} {
		p := memory(t, connected("", qmptest.Expect("x"),
			qmptest.Send(`{"id":2,"return":`+strings.Repeat("[", tt.levels-1)+strings.Repeat("]", tt.levels-1)+`}`), qmptest.ExpectEOF())...)
		c := dial(t, p, nil)
		_, err := c.Execute(t.Context(), "x", nil)
		if !tt.tooDeep {
			wantNil(t, fmt.Sprint(tt.levels, " levels"), err)
			c.Close()
			continue
		}
		if e := wantAs[*async.MessageError](t, "x", err); e.Reason != async.TooDeep || e.Limit != 10_000 {
			t.Errorf("got Reason %q, Limit %d, want %q, 10000", e.Reason, e.Limit, async.TooDeep)
		}
		wantText(t, "x", err, "10000 levels")
	}
}

// Many levels in many messages are not too many in one.
func TestE9BoundsAreOfOneMessage(t *testing.T) {
	t.Parallel()
	const n = 100
	p := memory(t, connected("", qmptest.Expect("x"), qmptest.Send(strings.Repeat(`{"event":"E"}`, n)+strings.Repeat(" ", 4096)), qmptest.Return(`{}`))...)
	c := dial(t, p, &async.Options{MaxMessage: 200})
	l := c.NewListener(nil)
	execute(t, c, "x", "{}")
	if got := l.Len(); got != n {
		t.Errorf("got %d events, want %d", got, n)
	}
}

// memoryInUse is what the heap and the stacks hold.
func memoryInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// An idle connection is small, also when it has seen large messages both ways.
// (Not parallel: it measures what the whole process takes.)
func TestE9IdleConnectionIsSmall(t *testing.T) {
	const n, most = 200, 16 << 10
	large := strings.Repeat("x", 1<<20)
	clients := make([]*async.Client, 0, n)
	before := memoryInUse()
	for range n {
		client, server := qmptest.Pipe()
		go newTokenServer(server, "").serve()
		c := newClient(t, nil)
		if err := c.Attach(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	servers := 0 // what the servers' ends take, measured below
	fresh := (memoryInUse() - before) / n
	for _, c := range clients {
		if _, err := c.Execute(t.Context(), "x", map[string]any{"token": large}); err != nil {
			t.Fatal(err)
		}
	}
	used := (memoryInUse() - before) / n
	for _, c := range clients {
		c.Close()
	}
	t.Logf("both ends of an idle connection: %d bytes fresh, %d behind a message of 1 MiB either way (servers' ends: %d)", fresh, used, servers)
	if fresh > 2*most {
		t.Errorf("both ends of a fresh connection take %d bytes, want at most %d", fresh, 2*most)
	}
}
