// How what the engine does costs more, the more there is of something. Where that must
// not be so, a benchmark becomes a test: growth.Check then fails if the cost grows.
package async_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/growth"
)

// A plainServer answers every command with value, or with nothing if that is empty. It
// finds the end of a command by counting braces.
func plainServer(tb testing.TB, capabilities, value string, opts *async.Options) (*async.Client, net.Conn) {
	tb.Helper()
	near, far := qmptest.Pipe()
	tb.Cleanup(func() { far.Close() })
	go func() {
		fmt.Fprintf(far, `{"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 0}, "package": ""}, "capabilities": [%s]}}`+"\r\n", capabilities)
		answer, depth := "{}", 0
		var msg []byte
		for r := bufio.NewReader(far); ; {
			c, err := r.ReadByte()
			if err != nil {
				return
			}
			msg = append(msg, c)
			switch c {
			case '{':
				depth++
			case '}':
				depth--
			}
			if depth > 0 {
				continue
			}
			_, id, _ := strings.Cut(string(msg), `"id":`)
			msg = msg[:0]
			if answer != "" {
				if _, err := fmt.Fprintf(far, `{"return": %s, "id": %s`+"\r\n", answer, id); err != nil {
					return
				}
			}
			answer = value
		}
	}()
	c := newClient(tb, opts)
	if err := c.Attach(tb.Context(), near); err != nil {
		tb.Fatal(err)
	}
	return c, far
}

// awaitCounts waits until the counts of the connection are as they should be.
func awaitCounts(c *async.Client, done func(async.Counts) bool) {
	for {
		if counts, _ := async.ReadCounts(c); done(counts) {
			return
		}
		runtime.Gosched()
	}
}

// giveUpOn makes the server leave n commands unanswered whose callers have given up.
func giveUpOn(tb testing.TB, c *async.Client, n int, cmd async.Command) {
	tb.Helper()
	for range n {
		ctx, cancel := context.WithCancel(tb.Context())
		before, _ := async.ReadCounts(c)
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.Do(ctx, cmd)
		}()
		awaitCounts(c, func(now async.Counts) bool { return now.Pending > before.Pending && now.Turn })
		cancel()
		<-done
	}
}

// A call waits at the window and gives up, with n out-of-band commands unanswered.
func BenchmarkGrowthGiveUpAtWindow(b *testing.B) {
	growth.Check(b, growth.Case{Sizes: []int{64, 256, 1024, 4096}, Most: 4, Setup: func(tb testing.TB, n int) func() int {
		c, _ := plainServer(tb, `"oob"`, "", nil)
		giveUpOn(tb, c, n, async.Command{Name: "x", OOB: true})
		giveUpOn(tb, c, 8, async.Command{Name: "x"})
		return func() int {
			const calls = 100
			for range calls {
				ctx, cancel := context.WithCancel(tb.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					c.Execute(ctx, "x", nil)
				}()
				awaitCounts(c, func(now async.Counts) bool { return now.Waiting > 0 })
				cancel()
				<-done
			}
			return calls
		}
	}})
}

// n calls wait at the window, and all give up.
func BenchmarkGrowthAllGiveUpAtWindow(b *testing.B) {
	growth.Check(b, growth.Case{Sizes: []int{256, 1024, 4096, 16384}, Most: 4, Setup: func(tb testing.TB, n int) func() int {
		c, _ := plainServer(tb, `"oob"`, "", nil)
		giveUpOn(tb, c, 8, async.Command{Name: "x"})
		ctx, cancel := context.WithCancel(tb.Context())
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() { c.Execute(ctx, "x", nil) })
		}
		awaitCounts(c, func(now async.Counts) bool { return now.Waiting == n })
		return func() int {
			cancel()
			wg.Wait()
			return n
		}
	}})
}

// A listener is made and closed while there are n others.
func BenchmarkGrowthNewListener(b *testing.B) {
	growth.Check(b, growth.Case{Sizes: []int{100, 400, 1600, 6400}, Most: 4, Setup: func(tb testing.TB, n int) func() int {
		c := newClient(tb, nil)
		for range n {
			c.NewListener(nil)
		}
		return func() int {
			const listeners = 500
			for range listeners {
				c.NewListener(nil).Close()
			}
			return listeners
		}
	}})
}

// Events come while n listeners are there for other names.
func BenchmarkGrowthOtherNames(b *testing.B) {
	growth.Check(b, growth.Case{Sizes: []int{10, 100, 1000, 5000}, Most: 4, Setup: func(tb testing.TB, n int) func() int {
		c, far := plainServer(tb, "", "{}", nil)
		for i := range n {
			c.NewListener(nil, fmt.Sprint("OTHER", i))
		}
		l := c.NewListener(nil, "WANTED")
		return func() int { return sendEvents(tb, far, l, "WANTED", 2000) }
	}})
}

// sendEvents sends n events, one block after the other, and reads them from l.
func sendEvents(tb testing.TB, far net.Conn, l *async.EventListener, name string, n int) int {
	const block = 100
	text := strings.Repeat(fmt.Sprintf(`{"event": %q, "timestamp": {"seconds": 1, "microseconds": 2}, "data": {"n": 1}}`+"\r\n", name), block)
	for range n / block {
		if _, err := io.WriteString(far, text); err != nil {
			tb.Fatal(err)
		}
		for range block {
			if _, err := l.Next(tb.Context()); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return n / block * block
}

// n readers wait at one listener, and one event comes after the other.
func BenchmarkGrowthReaders(b *testing.B) {
	growth.Check(b, growth.Case{Sizes: []int{1, 16, 256, 2048}, Most: 10, Setup: func(tb testing.TB, n int) func() int {
		c, far := plainServer(tb, "", "{}", nil)
		l := c.NewListener(nil)
		read := make(chan struct{})
		for range n {
			go func() {
				for {
					if _, err := l.Next(tb.Context()); err != nil {
						return
					}
					read <- struct{}{}
				}
			}()
		}
		return func() int {
			const events = 200
			for range events {
				if _, err := io.WriteString(far, `{"event": "E", "timestamp": {"seconds": 1, "microseconds": 2}}`); err != nil {
					tb.Fatal(err)
				}
				<-read
				for range 4 {
					runtime.Gosched() // so that the readers wait again
				}
			}
			return events
		}
	}})
}

// Drain takes n events out of a listener's queue, while the reader has to wait.
func BenchmarkGrowthDrain(b *testing.B) {
	growth.Check(b, growth.Case{Sizes: []int{1 << 10, 1 << 12, 1 << 14, 1 << 16}, Most: 4, Setup: func(tb testing.TB, n int) func() int {
		c, far := plainServer(tb, "", "{}", nil)
		l, last := c.NewListener(nil), c.NewListener(nil, "LAST")
		go func() {
			text := strings.Repeat(`{"event": "E", "timestamp": {"seconds": 1, "microseconds": 2}}`+"\r\n", n)
			io.WriteString(far, text+`{"event": "LAST", "timestamp": {"seconds": 1, "microseconds": 2}}`)
		}()
		if _, err := last.Next(tb.Context()); err != nil {
			tb.Fatal(err)
		}
		return func() int {
			if got, err := l.Drain(); err != nil || len(got) != n+1 {
				tb.Fatalf("got %d events and %v, want %d", len(got), err, n+1)
			}
			return 1
		}
	}})
}

// A reply of n bytes: what it allocates for each byte.
func BenchmarkGrowthReplyMemory(b *testing.B) {
	growth.Check(b, growth.Case{Cost: growth.Allocated, Sizes: []int{7900, 8100, 8200, 8300, 16500}, Most: 3, Setup: func(tb testing.TB, n int) func() int {
		c, _ := plainServer(tb, "", `"`+strings.Repeat("x", n)+`"`, nil)
		run := func() {
			if _, err := c.Execute(tb.Context(), "x", nil); err != nil {
				tb.Fatal(err)
			}
		}
		run()
		return func() int {
			for range 100 {
				run()
			}
			return 100
		}
	}})
}

// n callers execute commands at the same time without oob: what a command allocates.
func BenchmarkGrowthCallersMemory(b *testing.B) {
	growth.Check(b, growth.Case{Cost: growth.Allocated, Sizes: []int{8, 32, 128, 512}, Most: 1.5, Setup: func(tb testing.TB, n int) func() int {
		c, _ := plainServer(tb, "", "{}", &async.Options{NoOOB: true})
		together := func(each int) {
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					for range each {
						if _, err := c.Execute(tb.Context(), "x", nil); err != nil {
							tb.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		}
		together(1)
		return func() int {
			each := max(4, 4096/n)
			together(each)
			return n * each
		}
	}})
}

// What a call takes that waits for its reply: the memory of its goroutine.
func BenchmarkBlockedCall(b *testing.B) {
	const calls = 2000
	c, _ := plainServer(b, "", "", nil)
	ctx, cancel := context.WithCancel(b.Context())
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() { c.Execute(ctx, "x", nil) })
	}
	awaitCounts(c, func(now async.Counts) bool { return now.Pending == calls })
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(after.StackInuse-before.StackInuse)/calls, "stack-B/call")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/calls, "heap-B/call")
	cancel()
	wg.Wait()
}

// A reply is decoded into maps: what that allocates for each byte, by the nesting.
func BenchmarkGrowthMaps(b *testing.B) {
	growth.Check(b, growth.Case{Cost: growth.Allocated, Sizes: []int{1, 10, 100, 900}, Most: 1, Setup: func(tb testing.TB, n int) func() int {
		one := strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n)
		const size = 100_000
		reply, err := async.ParseReply("x", []byte(`{"return": [`+strings.Repeat(one+",", size/len(one))+`1], "id": 1}`))
		if err != nil {
			tb.Fatal(err)
		}
		return func() int {
			if _, err := reply.Object(); err != nil {
				tb.Fatal(err)
			}
			return size
		}
	}})
}
