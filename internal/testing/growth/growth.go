// Package growth measures how the cost of an operation grows with a number, such as the
// length of a queue, and fails a test where it grows too much. It compares costs of one
// run with each other, and so does not depend on the speed of the computer.
package growth

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/testing/usage"
)

// A Cost is what is measured.
type Cost int

const (
	// CPU is the processor time of this process, in nanoseconds. The collector of
	// garbage does not run meanwhile.
	CPU Cost = iota
	// Allocated is how many bytes were allocated.
	Allocated
	// Kept is how many more bytes are in use after the operations, when the garbage is
	// collected. What the function that Setup returned refers to is not garbage.
	Kept
)

func (c Cost) String() string { return [...]string{"ns", "B", "B kept"}[c] }

// A Case is an operation whose cost depends on a number.
type Case struct {
	Cost  Cost
	Sizes []int // the numbers: four or more, from the smallest to the largest

	// Setup prepares a measurement for a number. What it returns is measured once: it
	// executes operations and returns how many those were. They should take a
	// millisecond or more.
	Setup func(tb testing.TB, n int) func() int

	// Most is how many times the cost at the smallest number the cost at the largest
	// number may be. An operation that takes constant time should be given 4 or so,
	// since a larger queue also misses the processor's caches; one whose cost is
	// proportional to the number takes many times as much as that.
	Most float64
}

// rounds is how often each number is measured. The least result counts.
const rounds = 5

// Check measures the case. In a test it fails if the cost grows by more than Most. In a
// benchmark it reports the growth, and the costs, and does not fail.
func Check(tb testing.TB, c Case) {
	tb.Helper()
	if len(c.Sizes) < 4 {
		tb.Fatalf("%d sizes, want four or more", len(c.Sizes))
	}
	costs := make([]float64, len(c.Sizes))
	for round := range rounds {
		// The sizes take turns, so that what else the computer does hits all of them.
		for i, n := range c.Sizes {
			if cost := c.measure(tb, n); round == 0 || cost < costs[i] {
				costs[i] = cost
			}
		}
	}
	growth := costs[len(costs)-1] / max(costs[0], 1)
	var text strings.Builder
	for i, n := range c.Sizes {
		fmt.Fprintf(&text, "%s%d: %.0f %v", [...]string{"", ", "}[min(i, 1)], n, costs[i], c.Cost)
	}
	if b, ok := tb.(*testing.B); ok {
		b.ReportMetric(0, "ns/op") // hides it: the metrics below count
		b.ReportMetric(growth, "growth")
		for i, n := range c.Sizes {
			b.ReportMetric(costs[i], fmt.Sprintf("%v/op@%d", c.Cost, n))
		}
		return
	}
	tb.Logf("an operation costs, by number: %s; growth %.1f", &text, growth)
	if growth > c.Most {
		tb.Errorf("an operation costs, by number: %s; that grows to %.1f times the first, want at most %g times", &text, growth, c.Most)
	}
}

// measure returns the cost of one operation.
func (c Case) measure(tb testing.TB, n int) float64 {
	run := c.Setup(tb, n)
	runtime.GC()
	if c.Cost == Kept {
		runtime.GC() // a sync.Pool frees what it has at the second collection
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	used := usage.CPU()
	ops := run()
	cost := float64(usage.CPU() - used)
	switch c.Cost {
	case Allocated:
		runtime.ReadMemStats(&after)
		cost = float64(after.TotalAlloc - before.TotalAlloc)
	case Kept:
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		cost = float64(after.HeapAlloc) - float64(before.HeapAlloc)
		runtime.KeepAlive(run)
	}
	return cost / float64(ops)
}
