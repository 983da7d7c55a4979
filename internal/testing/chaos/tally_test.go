//go:build linux

package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// A tally counts the results in a scenario.
type tally struct {
	// For the test's goroutine only.
	hosts, rounds, leaks int
	slowest              time.Duration // of the disconnects

	mu          sync.Mutex // guards the fields below
	fates       map[fate]int
	connections map[string]int
	waits       map[string]int
	endings     map[string]int
	late        int
	unaccounted int
}

func newTally() *tally {
	return &tally{
		fates:       make(map[fate]int),
		connections: make(map[string]int),
		waits:       make(map[string]int),
		endings:     make(map[string]int),
	}
}

func (s *tally) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// command counts a command. ok is false if nothing explains its result.
func (s *tally) command(f fate, ok bool) {
	if !ok {
		s.lost(1)
		return
	}
	s.update(func() { s.fates[f]++ })
}

func (s *tally) connection(what string) { s.update(func() { s.connections[what]++ }) }
func (s *tally) wait(what string)       { s.update(func() { s.waits[what]++ }) }
func (s *tally) ending(name string)     { s.update(func() { s.endings[name]++ }) }
func (s *tally) dropped(n int)          { s.update(func() { s.late += n }) }

// lost counts results that nothing explains, and faults.
func (s *tally) lost(n int) { s.update(func() { s.unaccounted += n }) }

// String returns the summary.
func (s *tally) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	commands, onWire := s.unaccounted, 0
	byCause := make(map[string]map[string]int)
	for f, n := range s.fates {
		commands += n
		if f.what == answered || f.where == sent {
			onWire += n
		}
		if byCause[f.what] == nil {
			byCause[f.what] = make(map[string]int)
		}
		byCause[f.what][f.where] += n
	}
	var b strings.Builder
	tab := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name string, n int, details ...string) {
		fmt.Fprintf(tab, "  %s\t%d", name, n)
		for _, text := range details {
			fmt.Fprintf(tab, "\t%s", text)
		}
		fmt.Fprintln(tab)
	}
	row("rounds", s.rounds, list(s.endings))
	row("QEMU processes", s.hosts)
	row("connections", sum(s.connections), list(s.connections))
	fmt.Fprintf(tab, "  slowest disconnect\t%v\n", s.slowest.Round(time.Millisecond))
	row("commands", commands)
	row("  sent", onWire)
	for _, what := range slices.Sorted(maps.Keys(byCause)) {
		row("  "+what, sum(byCause[what]), list(byCause[what]))
	}
	row("  late replies dropped", s.late)
	row("waits for events", sum(s.waits), list(s.waits))
	row("unaccounted for", s.unaccounted)
	row("leaks", s.leaks)
	tab.Flush()
	return b.String()
}

func sum(counts map[string]int) (n int) {
	for _, m := range counts {
		n += m
	}
	return n
}

// list returns counts as text, sorted by name.
func list(counts map[string]int) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(words, ", ")
}
