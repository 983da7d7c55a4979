package transcripts

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Run replays all scenarios in dir, each in a subtest of its name, and logs the
// result by area.
func (s *Suite) Run(t *testing.T, fsys fs.FS, dir string) {
	all, err := Load(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	s.checkExceptions(t, all)
	tally := &tally{counts: make(map[string]*counts)}
	// A scenario mostly waits, so many of them run concurrently, even on few
	// processors. t.Parallel cannot do that, because its limit is the same for the
	// whole package. So several goroutines call t.Run.
	files := make(chan File)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for file := range files {
				t.Run(file.Name, func(t *testing.T) { s.one(t, file, tally) })
			}
		})
	}
	for _, file := range all {
		files <- file
	}
	close(files)
	workers.Wait()
	tally.log(t, s.Name, dir)
}

// atOnce is how many scenarios are replayed concurrently.
const atOnce = 16

// one replays one scenario.
func (s *Suite) one(t *testing.T, file File, tally *tally) {
	sc, err := file.Scenario()
	if err != nil {
		t.Fatal(err)
	}
	seen, ok, err := sc.For(s.Version)
	if err != nil {
		t.Fatal(err)
	}
	x := s.exception(file.Name)
	kind, why := binding, ""
	switch {
	case !ok:
		kind, why = notApplicable, "not a scenario of version "+s.Version
	case x != nil && x.NotApplicable:
		kind, why = notApplicable, x.Rule
	case x != nil && !x.Leaves:
		kind = better
	}
	area := sc.Area
	t.Cleanup(func() { tally.add(area, file.Name, kind, why, t.Failed()) })
	if !ok {
		t.Skip(why)
	}
	if seen.isLarge() {
		oneLarge.Lock()
		defer oneLarge.Unlock()
	}
	s.replayForms(t, seen, x)
}

// oneLarge is held while a large scenario is replayed. Several at the same time
// would need too much memory.
var oneLarge sync.Mutex

// isLarge reports whether a scenario moves megabytes.
func (s *Scenario) isLarge() bool {
	const large = 1 << 20
	isLarge := func(v any) bool {
		for v := range scalars(v) {
			if s, ok := v.(string); ok && len(s) >= large {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(s.Server, func(step Step) bool { return isLarge(step.Arg) }) ||
		slices.ContainsFunc(s.Client, func(c Call) bool { return isLarge(c.Args) })
}

// checkExceptions finds exceptions for scenarios that do not exist, and strict scenarios
// that have no exception. The common table has none for scenarios of our own, and does
// not matter for a folder of them.
func (s *Suite) checkExceptions(t *testing.T, all []File) {
	t.Helper()
	exists := func(x Exception) bool {
		return slices.ContainsFunc(all, func(f File) bool { return f.Name == x.Scenario })
	}
	if !slices.ContainsFunc(Exceptions, exists) {
		return
	}
	for _, x := range Exceptions {
		if !exists(x) {
			t.Errorf("there is an exception for the scenario %s, which does not exist", x.Scenario)
		}
	}
	for _, name := range s.Strict {
		if !slices.ContainsFunc(Exceptions, func(x Exception) bool { return x.Scenario == name }) {
			t.Errorf("the scenario %s is strict, but has no exception", name)
		}
	}
}

// replayForms replays a scenario once in each form of its arguments. A scenario
// about time limits is replayed in one form, because it takes long and the form
// does not matter for it.
func (s *Suite) replayForms(t *testing.T, sc *Scenario, x *Exception) {
	if !sc.hasArguments() || x != nil && x.Options != nil {
		s.replay(t, sc, x, Raw)
		return
	}
	forms := s.Forms
	if forms == nil {
		forms = []Form{Raw, Members, Map}
	}
	for _, form := range forms {
		if !t.Run(form.String(), func(t *testing.T) { s.replay(t, sc, x, form) }) {
			return // the other forms would probably fail in the same way, and take as long
		}
	}
}

// String returns the name of the form, for subtests.
func (f Form) String() string {
	return [...]string{"raw", "members", "map"}[f]
}

// hasArguments reports whether a call of the scenario has arguments that are sent.
func (s *Scenario) hasArguments() bool {
	return slices.ContainsFunc(s.Client, func(c Call) bool {
		for _, name := range []string{"args", "kwds", "obj"} {
			if v, _ := c.Args.Get(name); !IsFalse(v) {
				return true
			}
		}
		return false
	})
}

// The kinds of scenarios.
const (
	binding       = iota // the recorded outcomes are required
	better               // an exception requires other outcomes
	notApplicable        // it is about something that Go or the version does not have
)

// A tally counts results by area.
type tally struct {
	mu      sync.Mutex // guards the fields below
	counts  map[string]*counts
	reasons []string // for each scenario that is not applicable: the reason and its name
}

// counts are the results of one area.
type counts struct {
	kinds  [3]int // how many scenarios passed, of each kind
	failed int
}

func (ta *tally) add(area, name string, kind int, why string, failed bool) {
	ta.mu.Lock()
	defer ta.mu.Unlock()
	c := ta.counts[area]
	if c == nil {
		c = &counts{}
		ta.counts[area] = c
	}
	if failed {
		c.failed++
		return
	}
	c.kinds[kind]++
	if kind == notApplicable {
		ta.reasons = append(ta.reasons, why+"\t"+name)
	}
}

// log writes one line for each area, and one for each scenario that is not
// applicable, in the form that scripts/conformance.sh reads.
func (ta *tally) log(t *testing.T, suite, dir string) {
	t.Helper()
	ta.mu.Lock()
	defer ta.mu.Unlock()
	var lines []string
	for area, c := range ta.counts {
		lines = append(lines, fmt.Sprintf("conformance: %s\t%s\t%s\t%d\t%d\t%d\t%d",
			suite, dir, area, c.kinds[binding], c.kinds[better], c.kinds[notApplicable], c.failed))
	}
	for _, reason := range ta.reasons {
		lines = append(lines, fmt.Sprintf("not applicable: %s\t%s", suite, reason))
	}
	slices.Sort(lines)
	t.Log("by area: binding, better on purpose, not applicable, failed\n" + strings.Join(lines, "\n"))
}
