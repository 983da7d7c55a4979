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
	// Most of a scenario is waiting, so many of them run at once, however few
	// processors there are: by Run from several goroutines, since t.Parallel
	// has one limit for a whole package.
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

// atOnce is how many scenarios are replayed at the same time.
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
	x := exception(file.Name, s.Version)
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

// oneLarge is held by the one large scenario that is replayed at a time: several
// would only wait for each other's memory.
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

// checkExceptions finds exceptions for scenarios that there are not. A folder
// with no scenario of the table is one of our own, which has none.
func (s *Suite) checkExceptions(t *testing.T, all []File) {
	var missing []string
	found := false
	for _, x := range Exceptions {
		if slices.ContainsFunc(all, func(f File) bool { return f.Name == x.Scenario }) {
			found = true
		} else {
			missing = append(missing, x.Scenario)
		}
	}
	if found && len(missing) > 0 {
		t.Errorf("exceptions for scenarios that there are not: %s", strings.Join(missing, ", "))
	}
}

// replayForms replays a scenario once in each form that its arguments can be
// given in. One about limits takes its time, and the form has no say in it.
func (s *Suite) replayForms(t *testing.T, sc *Scenario, x *Exception) {
	if !sc.hasArguments() || x != nil && x.Options != nil {
		s.replay(t, sc, x, Raw)
		return
	}
	for _, form := range []Form{Raw, Members, Map} {
		if !t.Run(form.String(), func(t *testing.T) { s.replay(t, sc, x, form) }) {
			return // the others would take as long to say the same
		}
	}
}

func (f Form) String() string {
	return [...]string{"raw", "members", "map"}[f]
}

// hasArguments reports whether a call has arguments for the wire.
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

// What a scenario can be.
const (
	binding = iota
	better
	notApplicable
)

// A tally counts results by area.
type tally struct {
	mu      sync.Mutex // guards the fields below
	counts  map[string]*counts
	reasons []string
}

type counts struct {
	kinds  [3]int
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
