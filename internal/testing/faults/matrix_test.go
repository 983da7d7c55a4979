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

// A fault is a row of the matrix: something that goes wrong, or could.
type fault struct {
	rule string // of the plan: E1 to E16
	what string // goes wrong
	then string // what is checked besides the errors, in the page's words

	// not names the layers that have no such call, and says why.
	not map[string]string

	options async.Options
	script  qmptest.ScriptOptions // of a Memory connection, if no Network is given
	steps   []qmptest.Step
	run     func(*attempt)

	// places are those of the recorded session where it is to happen, each with
	// steps of its own. The row is run at every one.
	places []place
}

// A row is what has been seen of a fault.
type row struct {
	*fault
	mu   sync.Mutex
	saw  []sighting
	runs map[string]int // by layer
}

// A sighting is what a call came to.
type sighting struct {
	call, outcome string
	layers        []string
}

// note keeps what a call came to, once for each layer.
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

// TestMatrix runs every fault through every layer, and holds the page to what it
// has seen.
//
// Nothing runs beside an attempt, since it looks at what a collection leaves. The
// collector takes whatever stands in the frame of a goroutine that was preempted
// in the middle for a pointer, and in the frame of another attempt's decoder stood,
// once in some thousand attempts, an old one to this session: its stack had been
// the reader's before. Goroutines that wait are scanned precisely.
// Holds E2.
func TestMatrix(t *testing.T) {
	rows := make([]*row, 0, len(known)+len(rules))
	for _, f := range slices.Concat(known, rules, everyByte()) {
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
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
	if t.Failed() || missing(rows) {
		return // the page keeps what the last whole run has seen
	}
	holdPage(t, page, rows, *update)
}

// descriptors counts those that this process has open, where the system lists
// them.
func descriptors(t *testing.T) int {
	// The first socket opens the runtime's own.
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

// missing reports whether a row has not been run in full: -run has left it out.
func missing(rows []*row) bool {
	return slices.ContainsFunc(rows, func(r *row) bool { return len(r.runs)+len(r.not) != len(layers) })
}

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

// table writes the matrix for the page.
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

// seen says what the callers saw: of each call, all that it came to, and which
// layers differ from the others.
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
