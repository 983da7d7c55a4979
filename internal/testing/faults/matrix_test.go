package faults

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A fault is a row of the matrix: something that goes wrong, or may go wrong.
type fault struct {
	rule string // of docs/guarantees.md: E1 to E16
	what string // what goes wrong, as the page says it
	then string // what run checks besides the errors, as the page says it

	// not has the layers that have no such call, each with the reason.
	not map[string]string

	options async.Options
	script  qmptest.ScriptOptions // of a Memory connection, if no Network is given
	steps   []qmptest.Step
	run     func(*attempt)

	// places are the bytes of the recorded session at which the fault happens,
	// each with its own steps. The fault is run at each place. If there are none,
	// it is run once, with steps.
	places []place
}

// A row is a fault and what the runs have seen of it.
type row struct {
	*fault
	mu   sync.Mutex     // guards the fields below
	saw  []sighting     // each outcome of each call, once
	runs map[string]int // how often the fault was run, for each layer
}

// A sighting is an outcome of a call, and the layers in which it was seen.
type sighting struct {
	call, outcome string
	layers        []string
}

// note adds an outcome of a call to what the runs have seen.
func (r *row) note(layer, call, outcome string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.saw, func(s sighting) bool { return s.call == call && s.outcome == outcome })
	if i < 0 {
		r.saw = append(r.saw, sighting{call: call, outcome: outcome})
		i = len(r.saw) - 1
	}
	if !slices.Contains(r.saw[i].layers, layer) {
		r.saw[i].layers = append(r.saw[i].layers, layer)
	}
}

// TestMatrix runs every fault through every layer, and compares the page with what
// the runs have seen.
//
// The attempts run one after another. Each checks that a garbage collection frees
// its connections. For a goroutine that was preempted while it ran, the collector
// takes every word on the stack for a pointer. With parallel attempts, about one
// in a thousand failed: another attempt's goroutine ran on a stack on which an old
// pointer to this session was left. A goroutine that waits does not have this
// effect, because the collector knows which words of its stack are pointers.
// Holds E2.
func TestMatrix(t *testing.T) {
	var rows []*row
	for _, f := range slices.Concat(known, rulesE1toE6, rulesE7toE10, rulesE11toE16, reconnects, everyByte()) {
		rows = append(rows, &row{fault: &f, runs: map[string]int{}})
	}
	before := descriptors(t)
	t.Run("faults", func(t *testing.T) {
		for _, r := range rows {
			t.Run(r.rule+" "+r.what, func(t *testing.T) {
				for _, l := range layers {
					if _, ok := r.not[l.name]; ok {
						continue
					}
					t.Run(l.name, func(t *testing.T) { r.runIn(t, l.name, l.open) })
				}
			})
		}
	})
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were open before the faults", after, before)
	}
	if t.Failed() || missing(rows) {
		return // only a complete run can be compared with the page
	}
	holdPage(t, page, rows, *update)
}

// descriptors returns how many descriptors this process has open. Where the system
// does not list them it returns 0.
func descriptors(t *testing.T) int {
	// With the first socket the runtime opens descriptors for itself.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil && runtime.GOOS == "linux" {
		t.Fatal(err)
	}
	return len(open)
}

// missing reports whether some row was not run in every layer, because of -run.
func missing(rows []*row) bool {
	return slices.ContainsFunc(rows, func(r *row) bool { return len(r.runs)+len(r.not) != len(layers) })
}

// runIn runs the fault through one layer, at each of its places.
func (r *row) runIn(t *testing.T, layer string, open func(async.Options, string) (client, error)) {
	places := r.places
	if places == nil {
		places = []place{{}}
	}
	for _, p := range places {
		a := &attempt{layer: layer, row: r, open: open, place: p}
		if r.script.Network == "" {
			synctest.Test(t, a.run)
		} else {
			a.run(t)
		}
		if t.Failed() {
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs[layer] = len(places)
}

// table returns the matrix as the page has it.
func table(rows []*row) string {
	var b strings.Builder
	b.WriteString("| rule | what goes wrong | what the caller sees | async | qmpsync | legacy |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- |\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s |", r.rule, r.what, r.seen())
		for _, l := range layers {
			if why, ok := r.not[l.name]; ok {
				fmt.Fprintf(&b, " %s |", why)
			} else {
				fmt.Fprintf(&b, " %d |", r.runs[l.name])
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// seen returns the text of a row's column "what the caller sees": the outcomes of
// each call, and then. An outcome that only some layers had names these layers.
func (r *row) seen() string {
	slices.SortFunc(r.saw, func(x, y sighting) int {
		return cmp.Or(cmp.Compare(x.call, y.call), cmp.Compare(x.outcome, y.outcome))
	})
	var says []string
	for i, s := range r.saw {
		text := s.outcome
		if len(s.layers)+len(r.not) < len(layers) {
			slices.Sort(s.layers)
			text = fmt.Sprintf("%s (%s)", text, strings.Join(s.layers, ", "))
		}
		if i > 0 && r.saw[i-1].call == s.call {
			says[len(says)-1] += ", or " + text
		} else {
			says = append(says, s.call+": "+text)
		}
	}
	if r.then != "" {
		says = append(says, r.then)
	}
	return strings.Join(says, "<br>")
}
