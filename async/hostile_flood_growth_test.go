// Tests that many small messages cost memory and time in proportion to their bytes, and
// that a listener with a limit keeps no more than that, however many events come.
// The code that they hold: receive.go, dropped.go, hearing.go, listener.go and
// internal/proto.
package async_test

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/growth"
)

// tiny are the small messages of a hostile server.
var tiny = map[string]string{
	"empty":          `{}`,
	"unknown ids":    `{"return":{},"id":9}`,
	"errors":         `{"error":{},"id":9}`,
	"events":         shortEvent,
	"unnamed":        unnamed,
	"events by time": `{"event":"E","timestamp":{"seconds":1,"microseconds":2},"data":{}}` + "\r\n",
}

// floodSizes are the sizes of floods, in bytes. Those of the short form are smaller than
// hostileSizes, since a flood has many messages.
func floodSizes() []int {
	if *hostileSize > 0 {
		return hostileSizes()
	}
	largest := 256 << 10
	if raceEnabled {
		largest = 64 << 10
	}
	return []int{largest / 8, largest / 4, largest / 2, largest}
}

// A flooder is a client, and the server's end of its connection. The server sends so
// many bytes as flood says, and nothing else.
type flooder struct {
	client *async.Client
	last   *async.EventListener // for the event LAST
	server net.Conn
	block  []byte // whole messages
}

func newFlooder(tb testing.TB, message string) *flooder {
	tb.Helper()
	client, server := qmptest.Pipe()
	c := newClient(tb, &async.Options{SkipGreeting: true, SkipNegotiation: true})
	if err := c.Attach(tb.Context(), client); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { server.Close() })
	const size = 8 << 10
	return &flooder{c, c.NewListener(nil, "LAST"), server, bytes.Repeat([]byte(message), size/len(message))}
}

// flood sends n bytes or a little more. When it returns, the client has handled all of
// them. It returns how many bytes it has sent.
func (f *flooder) flood(tb testing.TB, n int) (sent int) {
	tb.Helper()
	for ; sent < n; sent += len(f.block) {
		if _, err := f.server.Write(f.block); err != nil {
			tb.Fatal(err)
		}
	}
	if _, err := io.WriteString(f.server, `{"event":"LAST"}`); err != nil {
		tb.Fatal(err)
	}
	if _, err := f.last.Next(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return sent
}

// Reading many small messages costs memory and CPU time in proportion to their bytes, and
// nothing is kept of those that nobody wants. growth counts an operation as a byte.
// Holds E9.
func TestGrowthOfTinyMessages(t *testing.T) {
	for name, message := range tiny {
		for _, cost := range []growth.Cost{growth.Allocated, growth.CPU} {
			t.Run(name, func(t *testing.T) {
				growth.Check(t, growth.Case{Cost: cost, Sizes: floodSizes(), Most: most(cost), Setup: func(tb testing.TB, n int) func() int {
					f := newFlooder(tb, message)
					f.flood(tb, 1) // the first messages are logged, and buffers are made
					return func() int { return f.flood(tb, n) }
				}})
			})
		}
		t.Run(name, func(t *testing.T) {
			f := newFlooder(t, message)
			f.flood(t, 1)
			keepsAtMost(t, f, 64<<10)
		})
	}
}

// most is how many times as much a byte may cost in the largest flood as in the smallest.
func most(cost growth.Cost) float64 {
	if cost == growth.CPU {
		return 5 // a quadratic cost grows to 8 times, or to 32 times in the long form
	}
	return 3
}

// keepsAtMost requires that at most so many bytes are kept of the largest flood.
func keepsAtMost(t *testing.T, f *flooder, most int) {
	t.Helper()
	sizes := floodSizes()
	before := heapInUse()
	sent := f.flood(t, sizes[len(sizes)-1])
	kept := heapInUse() - before
	if t.Logf("of %d bytes, %d are kept", sent, kept); kept > most {
		t.Errorf("of %d bytes, %d are kept, want at most %d", sent, kept, most)
	}
	runtime.KeepAlive(f)
}

const (
	shortEvent = `{"event":"E"}`
	unnamed    = `{"event":0}`
)

var longEvent = `{"event":"E","data":"` + strings.Repeat("x", 600) + `"}`

// Without a limit, the events that nobody reads take memory in proportion to their bytes:
// at most 16 times as much, if they are the shortest. They cost CPU time in proportion.
// growth counts an operation as a byte.
// Holds E9.
func TestGrowthOfEventsThatNobodyReads(t *testing.T) {
	for name, message := range map[string]string{"short": shortEvent, "unnamed": unnamed, "long": longEvent} {
		t.Run(name, func(t *testing.T) { checkUnread(t, growth.Kept, message, nil) })
		if name != "long" { // too fast to be measured
			t.Run(name, func(t *testing.T) { checkUnread(t, growth.CPU, message, nil) })
		}
		t.Run(name, func(t *testing.T) {
			f := newFlooder(t, message)
			f.flood(t, 1)
			l := f.client.NewListener(nil)
			sizes := floodSizes()
			keepsAtMost(t, f, 16*sizes[len(sizes)-1])
			runtime.KeepAlive(l)
		})
	}
}

// With a limit, a listener that nobody reads keeps about as many events as the limit says,
// however many bytes come. That holds with a filter too, for which events are kept that
// came far from each other, and with a history.
// Holds E5, E9.
func TestGrowthOfEventsThatALimitDrops(t *testing.T) {
	const limit = 100
	i := 0
	for name, tt := range map[string]struct {
		message string
		opts    async.ListenerOptions
		most    int // bytes
	}{
		"short":      {shortEvent, async.ListenerOptions{Limit: limit}, 256 << 10},
		"unnamed":    {unnamed, async.ListenerOptions{Limit: limit}, 256 << 10},
		"long":       {longEvent, async.ListenerOptions{Limit: limit}, 256 << 10},
		"history":    {shortEvent, async.ListenerOptions{Limit: limit, History: limit}, 512 << 10},
		"few wanted": {shortEvent, async.ListenerOptions{Limit: limit, Filter: func(async.Event) bool { i++; return i%50 == 0 }}, 512 << 10},
	} {
		if name != "long" {
			t.Run(name, func(t *testing.T) { checkUnread(t, growth.CPU, tt.message, &tt.opts) })
		}
		t.Run(name, func(t *testing.T) {
			f := newFlooder(t, tt.message)
			f.flood(t, 1)
			l := f.client.NewListener(&tt.opts)
			keepsAtMost(t, f, tt.most)
			if n := l.Len(); n != limit {
				t.Errorf("the listener has %d events, want %d", n, limit)
			}
		})
	}
}

// checkUnread checks how the cost of a flood grows that goes to a listener that nobody
// reads.
func checkUnread(t *testing.T, cost growth.Cost, message string, opts *async.ListenerOptions) {
	t.Helper()
	f := newFlooder(t, message)
	f.flood(t, 1)
	var l *async.EventListener
	growth.Check(t, growth.Case{Cost: cost, Sizes: floodSizes(), Most: most(cost), Setup: func(tb testing.TB, n int) func() int {
		if l != nil {
			l.Close() // so that its events are garbage
		}
		l = f.client.NewListener(opts)
		return func() int {
			sent := f.flood(tb, n)
			if l.Len() == 0 {
				tb.Fatal("the listener has no events")
			}
			return sent
		}
	}})
}
