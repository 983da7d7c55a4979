package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A tally counts the results of the tests with one version. It is not for concurrent
// use.
type tally struct {
	version string
	pkg     string // Debian's package version
	took    time.Duration

	passed   int
	skipped  map[string][]test // by reason
	failures []failure
	ran      map[string]int  // how many tests passed, by package
	output   map[test]string // of tests that have not ended
}

// A test is a test, or a package if name is "".
type test struct{ pkg, name string }

// String returns the package without the module, and the test.
func (t test) String() string {
	short := t.pkg[strings.LastIndex(t.pkg, "/qmp/")+1:]
	return strings.TrimSpace(strings.TrimPrefix(short, "qmp/") + " " + t.name)
}

type failure struct {
	test
	output string
}

func newTally(version string) *tally {
	return &tally{version: version, skipped: make(map[string][]test), ran: make(map[string]int), output: make(map[test]string)}
}

// read counts the events that go test -json writes (see go doc test2json).
func (t *tally) read(r io.Reader) error {
	for d := json.NewDecoder(r); ; {
		var ev struct{ Action, Package, ImportPath, Test, Output, FailedBuild string }
		switch err := d.Decode(&ev); {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("read the output of go test: %w", err)
		}
		// The events of a build have an import path such as "a/b [a/b.test]".
		path, _, _ := strings.Cut(cmp.Or(ev.Package, ev.ImportPath), " ")
		key := test{path, ev.Test}
		switch ev.Action {
		case "output", "build-output":
			t.output[key] += ev.Output
			continue
		case "start":
			t.ran[key.pkg] += 0
		case "pass":
			if ev.Test != "" {
				t.passed++
				t.ran[key.pkg]++
			}
		case "skip":
			if ev.Test != "" {
				reason := reason(t.output[key])
				t.skipped[reason] = append(t.skipped[reason], key)
			}
		case "fail":
			output := t.output[key]
			if built, _, _ := strings.Cut(ev.FailedBuild, " "); built != "" && built != key.pkg {
				output += t.output[test{pkg: built}]
			}
			t.failures = append(t.failures, failure{key, output})
		default: // run, pause, cont, bench, build-fail
			continue
		}
		delete(t.output, key)
	}
}

// failed reports whether anything failed.
func (t *tally) failed() bool { return len(t.failures) > 0 }

var (
	position = regexp.MustCompile(`^\s*\S+\.go:\d+: `)
	markers  = regexp.MustCompile(`^\s*(===|---) `)
)

// reason returns why a test was skipped: its last log entry, on one line.
func reason(output string) string {
	var words []string
	for line := range strings.Lines(output) {
		switch {
		case markers.MatchString(line):
		case position.MatchString(line):
			words = []string{strings.TrimSpace(position.ReplaceAllString(line, ""))}
		default:
			words = append(words, strings.TrimSpace(line))
		}
	}
	return strings.Join(words, " ")
}

// reasons are the reasons for which a test may be skipped if CI is set: this QEMU does
// not have something, or the test is not meant for something. That the machine lacks
// something is not among them.
var reasons = []*regexp.Regexp{
	regexp.MustCompile(`^QEMU \S+ has no `),
	regexp.MustCompile(`^not for the format `),
	// The cache is in the home of the user who runs the tests.
	regexp.MustCompile(`^QEMU is in a folder that cannot be reached `),
}

// faults returns what is wrong with the tally, one line each.
func (t *tally) faults(ci bool) []string {
	var all []string
	if t.failed() {
		all = append(all, fmt.Sprintf("%d failed", t.countFailed()))
	}
	if t.passed == 0 {
		all = append(all, "no test ran")
	}
	for _, pkg := range slices.Sorted(maps.Keys(t.ran)) {
		if t.ran[pkg] == 0 {
			all = append(all, "no test of "+pkg+" ran: in that package the names of tests that drive QEMU have QEMU in them")
		}
	}
	for _, why := range slices.Sorted(maps.Keys(t.skipped)) {
		known := slices.ContainsFunc(reasons, func(r *regexp.Regexp) bool { return r.MatchString(why) })
		if ci && !known {
			all = append(all, fmt.Sprintf("with CI set, skipped for a reason that is not in internal/testing/matrix: %v: %q", t.skipped[why], why))
		}
	}
	return all
}

func (t *tally) countSkipped() (n int) {
	for _, tests := range t.skipped {
		n += len(tests)
	}
	return n
}

// countFailed counts the failed tests, and a package that failed without one.
func (t *tally) countFailed() (n int) {
	inTests := make(map[string]bool)
	for _, f := range t.failures {
		if f.name != "" {
			inTests[f.pkg] = true
			n++
		}
	}
	for _, f := range t.failures {
		if f.name == "" && !inTests[f.pkg] {
			n++
		}
	}
	return n
}

// table returns a table with a row for each version, then the skipped tests with their
// reasons, and what the failed tests printed.
func table(tallies []*tally) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "QEMU\tpackage\tpassed\tskipped\tfailed\tseconds")
	for _, t := range tallies {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%.0f\n", t.version, t.pkg, t.passed, t.countSkipped(), t.countFailed(), t.took.Seconds())
	}
	w.Flush()
	for _, t := range tallies {
		for _, why := range slices.Sorted(maps.Keys(t.skipped)) {
			tests := t.skipped[why]
			fmt.Fprintf(&b, "\nskipped with %s: %s\n", t.version, why)
			for _, test := range tests {
				fmt.Fprintf(&b, "  %v\n", test)
			}
		}
	}
	for _, t := range tallies {
		for _, f := range t.failures {
			fmt.Fprintf(&b, "\nfailed with %s: %v\n", t.version, f.test)
			for line := range strings.Lines(f.output) {
				fmt.Fprintf(&b, "  %s", line)
			}
		}
	}
	return b.String()
}
