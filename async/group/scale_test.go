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
	"github.com/goqmp/qmp/internal/testing/usage"
)

// The long form of the tests in this file: go test -run Scale -v ./async/group -machines=1000 -events=200 -rounds=5 -qemus=20
var (
	machines = flag.Int("machines", 50, "how many simulated machines TestScale has")
	events   = flag.Int("events", 40, "how many events each machine of TestScale sends in a round")
	rounds   = flag.Int("rounds", 1, "how often TestScale measures events")
	qemus    = flag.Int("qemus", 5, "how many QEMUs TestScale_QEMU has")
)

// Many machines in one group: what a listener costs, how fast commands and events are,
// and, in the same run, how fast events are with a goroutine for each machine. A machine
// is a script that sends the events of a round in one piece, so that nearly all of the
// time is that of this side.
func TestScale(t *testing.T) {
	var burst strings.Builder
	for i := range *events {
		fmt.Fprintf(&burst, `{"timestamp": {"seconds": 1700000000, "microseconds": %d}, "event": "E", "data": {"n": %d}}`+"\r\n", i, i)
	}
	steps := []qmptest.Step{
		qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`),
		qmptest.Expect("query-status"), qmptest.Return(`{}`),
	}
	for round := range 2 * *rounds {
		steps = append(steps, qmptest.AwaitMark(fmt.Sprint(round)), qmptest.Send(burst.String()))
	}
	g, players := new(clients), make([]*qmptest.Player, *machines)
	for i := range players {
		players[i] = qmptest.Play(t, &qmptest.ScriptOptions{Network: qmptest.Memory, Limit: 10 * time.Minute}, steps...)
		c := async.New(&async.Options{Dialer: players[i].Dial, NoOOB: true})
		t.Cleanup(func() { c.Close() })
		if err := c.Connect(t.Context(), "machine"); err != nil {
			t.Fatal(err)
		}
		add(t, g, fmt.Sprintf("vm%04d", i), c)
	}

	goroutines, memory := runtime.NumGoroutine(), memoryNow()
	l := g.NewListener(nil)
	perMember := (memoryNow() - memory) / *machines
	more := runtime.NumGoroutine() - goroutines
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
	t.Logf("a command to all: %v", took(began))

	for round := range *rounds {
		start := func(mark int) func() {
			return func() {
				for _, p := range players {
					p.Mark(fmt.Sprint(mark))
				}
			}
		}
		one := readMerged(t, g, start(2*round))
		hand := readByHand(t, g, start(2*round+1))
		t.Logf("round %d: %d events: in one stream %v; by hand, with %d goroutines, %v",
			round+1, *events**machines, one, *machines, hand)
	}
}

// A pace says how fast events were read, by the clock and in processor time. The latter
// includes the scripts that send them.
type pace struct{ clock, cpu time.Duration }

func (p pace) String() string {
	n := time.Duration(*events * *machines)
	return fmt.Sprintf("%.0f a second (%v of processor time for each)", float64(n)/p.clock.Seconds(), p.cpu/n)
}

// measure returns how fast read reads the events of a round.
func measure(read func()) pace {
	clock, used := time.Now(), usage.CPU()
	read()
	return pace{time.Since(clock), usage.CPU() - used}
}

// readMerged reads all events of a round from one listener.
func readMerged(t *testing.T, g *clients, start func()) pace {
	l := g.NewListener(&group.ListenerOptions{Limit: -1}, "E")
	defer l.Close()
	return measure(func() {
		start()
		for range *events * *machines {
			if _, err := l.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// readByHand reads all events of a round as a program does that has no group: with a
// listener and a goroutine for each machine, and one channel.
func readByHand(t *testing.T, g *clients, start func()) pace {
	ctx, cancel := context.WithCancel(t.Context())
	all := make(chan group.Event, 64)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
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
	return measure(func() {
		start()
		for range *events * *machines {
			<-all
		}
	})
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
	goroutines, memory := runtime.NumGoroutine(), memoryNow()
	l := g.NewListener(nil)
	defer l.Close()
	t.Logf("the listener takes %d bytes for each, and %d goroutines", (memoryNow()-memory) / *qemus, runtime.NumGoroutine()-goroutines)

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

// memoryNow returns how many bytes are in use.
func memoryNow() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
