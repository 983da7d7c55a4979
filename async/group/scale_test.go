package group_test

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/group"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// The long form of the tests in this file: go test -run Scale -v ./async/group -machines=1000 -events=200 -rounds=5 -qemus=20
var (
	machines = flag.Int("machines", 50, "how many simulated machines TestScale has")
	events   = flag.Int("events", 40, "how many events each machine of TestScale sends in a round")
	rounds   = flag.Int("rounds", 1, "how often TestScale measures events")
	qemus    = flag.Int("qemus", 5, "how many QEMUs TestScale_QEMU has")
)

// Many machines in one group: what a listener costs, how fast commands and events are,
// and, beside that, how fast events are with a goroutine for each machine.
func TestScale(t *testing.T) {
	g, servers := new(clients), make([]*qmptest.Server, *machines)
	for i := range servers {
		servers[i] = qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory, NoRecord: true})
		c := async.New(&async.Options{Dialer: servers[i].Dial})
		t.Cleanup(func() { c.Close() })
		if err := c.Connect(t.Context(), "machine"); err != nil {
			t.Fatal(err)
		}
		add(t, g, fmt.Sprintf("vm%04d", i), c)
	}

	goroutines, memory := goroutinesNow(), memoryNow()
	l := g.NewListener(&group.ListenerOptions{Limit: -1}, "E")
	perMember := (memoryNow() - memory) / *machines
	more := goroutinesNow() - goroutines
	t.Logf("%d machines: a listener takes %d bytes for each, and %d goroutines", *machines, perMember, more)
	if more > 0 {
		t.Errorf("a listener has %d goroutines, want none", more)
	}
	if !raceEnabled && perMember > 1500 {
		t.Errorf("a listener takes %d bytes for each machine, want at most 1500", perMember)
	}
	l.Close()

	began := time.Now()
	names, err := group.Call[any](t.Context(), g, nil, "query-status", nil)
	if err != nil || len(names) != *machines {
		t.Fatalf("query-status: %d results, %v", len(names), err)
	}
	t.Logf("a command to all: %v, %d commands a second", took(began), perSecond(*machines, began))

	// One stream.
	merged := func() time.Duration {
		l := g.NewListener(&group.ListenerOptions{Limit: -1}, "E")
		defer l.Close()
		began := time.Now()
		flood(t, servers, *events)
		for range *events * *machines {
			if _, err := l.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(began)
	}
	// The same by hand: a listener and a goroutine for each machine, and one channel.
	byHand := func() time.Duration {
		ctx, cancel := context.WithCancel(t.Context())
		all := make(chan group.Event, 64)
		var readers sync.WaitGroup
		for name, c := range g.All() {
			own := c.NewListener(nil, "E")
			readers.Go(func() {
				defer own.Close()
				for ev, err := range own.All(ctx) {
					if err != nil {
						return
					}
					select {
					case all <- group.Event{Member: name, Event: ev}:
					case <-ctx.Done():
					}
				}
			})
		}
		began := time.Now()
		flood(t, servers, *events)
		for range *events * *machines {
			<-all
		}
		d := time.Since(began)
		cancel()
		readers.Wait()
		return d
	}
	for round := range *rounds {
		one, hand := merged(), byHand()
		total := *events * *machines
		t.Logf("round %d: %d events in one stream: %.0f a second; by hand, with %d goroutines: %.0f a second",
			round+1, total, float64(total)/one.Seconds(), *machines, float64(total)/hand.Seconds())
	}
}

// flood makes each machine send n events.
func flood(t *testing.T, servers []*qmptest.Server, n int) {
	var all sync.WaitGroup
	for _, s := range servers {
		all.Go(func() {
			for i := range n {
				if err := s.Emit("E", map[string]int{"n": i}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// Several QEMUs: a command to all, their events, and the death of one of them.
func TestScale_QEMU(t *testing.T) {
	t.Parallel()
	qemutest.Find(t, qemutest.QEMU)
	ctx := qemutest.Context(t)
	var g clients
	var starts sync.WaitGroup
	began := time.Now()
	addrs := make([]string, *qemus)
	for i := range addrs {
		addrs[i] = qemutest.Monitor(t)
	}
	for i, addr := range addrs {
		starts.Go(func() {
			c, err := async.Dial(ctx, addr, nil)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { c.Close() })
			if err := g.Add(fmt.Sprintf("vm%02d", i), c); err != nil {
				t.Error(err)
			}
		})
	}
	if starts.Wait(); t.Failed() {
		return
	}
	t.Logf("%d QEMUs have started and are connected after %v", *qemus, took(began))
	goroutines, memory := goroutinesNow(), memoryNow()
	l := g.NewListener(nil)
	defer l.Close()
	t.Logf("the listener takes %d bytes for each, and %d goroutines", (memoryNow()-memory) / *qemus, goroutinesNow()-goroutines)

	const stops = 20 // of each machine
	began = time.Now()
	for range stops {
		for _, cmd := range []string{"stop", "cont"} {
			if _, err := group.Call[any](ctx, &g, nil, cmd, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	count := make(map[string]int)
	for range 2 * stops * *qemus {
		ev, ok, err := l.TryNext() // they came before the replies
		if !ok || err != nil {
			t.Fatalf("after %v: %v, want an event", count, err)
		}
		want := []string{"STOP", "RESUME"}[count[ev.Member]%2]
		if ev.Name != want {
			t.Errorf("%s: %s is event %d, want %s", ev.Member, ev.Name, count[ev.Member], want)
		}
		count[ev.Member]++
	}
	t.Logf("%d commands and as many events in %v", 2*stops**qemus, took(began))

	first, _ := g.Get("vm00")
	if err := first.Quit(ctx); err != nil {
		t.Error(err)
	}
	var got []string
	for !strings.Contains(strings.Join(got, " "), "SHUTDOWN") {
		ev, err := l.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ev.Member+" "+ev.Name)
	}
	status, err := group.Call[any](ctx, &g, nil, "query-status", nil)
	if len(status) != *qemus-1 || len(group.Errors(err)) != 1 || group.Errors(err)["vm00"] == nil {
		t.Errorf("after the end of vm00: %d results, error %v", len(status), err)
	}
}

func took(began time.Time) time.Duration { return time.Since(began).Round(10 * time.Microsecond) }

func perSecond(n int, began time.Time) int { return int(float64(n) / time.Since(began).Seconds()) }

func goroutinesNow() int { return runtime.NumGoroutine() }

// memoryNow returns how many bytes are in use.
func memoryNow() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
