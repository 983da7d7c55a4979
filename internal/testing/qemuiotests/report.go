package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A row is one test in one format, with both libraries.
type row struct {
	Test, Format string
	Own, Ours    verdict
}

// differs reports whether the verdicts are not the same.
func (r row) differs() bool { return r.Own.Status != r.Ours.Status }

// worse returns the verdict of the library with which the test did not pass.
func (r row) worse() verdict {
	if r.Ours.Status == passed {
		return r.Own
	}
	return r.Ours
}

// line returns the row as a line for a terminal.
func (r row) line() string {
	if r.Own.Status == notRun {
		return fmt.Sprintf("%-34s %-9s not run: %s", r.Test, r.Format, r.Own.Why)
	}
	mark := ""
	if r.differs() {
		mark = "  DIFFERENT: " + r.worse().Why
	}
	return fmt.Sprintf("%-34s %-9s own %-4s %6.1f s   ours %-4s %6.1f s%s",
		r.Test, r.Format, r.Own.Status, r.Own.Seconds, r.Ours.Status, r.Ours.Seconds, mark)
}

// A report has the rows of one version of QEMU in one format.
type report struct {
	Version string
	Package string // Debian's package of the programs
	Tests   string // Debian's package of the tests
	Python  string
	Format  string
	Date    time.Time
	Part    string // such as "1/3", if other reports have the rest of the tests
	Rows    []row
}

func (r *report) different() int {
	n := 0
	for _, row := range r.Rows {
		if row.differs() {
			n++
		}
	}
	return n
}

// summary returns the counts as a line.
func (r *report) summary() string {
	c := r.count()
	return fmt.Sprintf("QEMU %s %s: passed %d with own library, %d with ours; failed with both %d; DIFFERENT %d; not run %d; %.1f s and %.1f s",
		r.Version, r.Format, c.own, c.ours, c.bothFailed, c.different, c.notRun, c.ownSeconds, c.oursSeconds)
}

// A count has the sums of a report. The seconds are of the runs that passed with both.
type count struct {
	own, ours, bothFailed, different, notRun int
	ownSeconds, oursSeconds                  float64
}

func (r *report) count() (c count) {
	for _, row := range r.Rows {
		if row.Own.Status == passed {
			c.own++
		}
		if row.Ours.Status == passed {
			c.ours++
		}
		switch {
		case row.differs():
			c.different++
		case row.Own.Status == notRun:
			c.notRun++
		case row.Own.Status == passed:
			c.ownSeconds += row.Own.Seconds
			c.oursSeconds += row.Ours.Seconds
		default:
			c.bothFailed++
		}
	}
	return c
}

// save writes the report into the folder, in place of an earlier one.
func (r *report) save(dir string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	name := r.Version + "-" + r.Format
	if r.Part != "" {
		name += "-" + strings.ReplaceAll(r.Part, "/", "of")
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), text, 0o666)
}

// load returns all reports in the folder, the parts of one put together. It leaves out
// a report of which a part is missing.
func load(dir string) ([]*report, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var reports []*report
	parts := make(map[*report]int) // how many parts are there
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		r := new(report)
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		same := slices.IndexFunc(reports, func(o *report) bool { return o.Version == r.Version && o.Format == r.Format })
		if same >= 0 {
			reports[same].Rows = append(reports[same].Rows, r.Rows...)
			parts[reports[same]]++
			continue
		}
		reports = append(reports, r)
		parts[r] = 1
	}
	reports = slices.DeleteFunc(reports, func(r *report) bool {
		_, of, _ := strings.Cut(r.Part, "/")
		return of != "" && of != strconv.Itoa(parts[r])
	})
	for _, r := range reports {
		slices.SortStableFunc(r.Rows, func(a, b row) int { return strings.Compare(a.Test, b.Test) })
	}
	slices.SortStableFunc(reports, func(a, b *report) int {
		return cmp.Or(compareVersions(a.Version, b.Version), strings.Compare(a.Format, b.Format))
	})
	return reports, nil
}

// compareVersions compares versions such as 7.2 and 10.0.
func compareVersions(a, b string) int {
	number := func(s string) (n float64) {
		fmt.Sscan(s, &n)
		return n
	}
	return cmp.Compare(number(a), number(b))
}

// The comments in the page between which the tables stand.
const (
	begin = `<!-- The tables: written by make iotests, with IOTESTS="-results=FOLDER -write=docs/iotests.md". -->`
	end   = "<!-- The end of the tables. -->"
)

// writePage replaces the tables in a page by those of all reports in the folder.
func writePage(file, results string) error {
	reports, err := load(results)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s does not have the comments that enclose the tables", file)
	}
	return os.WriteFile(file, []byte(head+begin+"\n\n"+tables(reports)+end+tail), 0o644)
}

// tables returns the reports in Markdown: the sums first, then each test.
func tables(reports []*report) string {
	var b strings.Builder
	b.WriteString("| QEMU | format | passed, own | passed, ours | failed with both | different | not run | seconds, own | seconds, ours |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, r := range reports {
		c := r.count()
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d | %d | %.1f | %.1f |\n", r.Version, r.Format, c.own, c.ours, c.bothFailed, c.different, c.notRun, c.ownSeconds, c.oursSeconds)
	}
	last := ""
	for _, r := range reports {
		if r.Version != last {
			last = r.Version
			fmt.Fprintf(&b, "\n### QEMU %s\n\n", r.Version)
			fmt.Fprintf(&b, "%s. Programs: Debian's %s; tests: Debian's %s; %s.\n\n", r.Date.UTC().Format("2 January 2006"), r.Package, r.Tests, r.Python)
			var rows []row
			for _, other := range reports {
				if other.Version == r.Version {
					rows = append(rows, other.Rows...)
				}
			}
			b.WriteString(eachTest(rows))
			b.WriteString(whyNotRun(rows))
		}
	}
	return b.String()
}

// eachTest returns a table with a line for each row that was run.
func eachTest(rows []row) string {
	var b strings.Builder
	b.WriteString("| test | format | own | ours | seconds, own | seconds, ours |\n| --- | --- | --- | --- | ---: | ---: |\n")
	for _, row := range rows {
		if row.Own.Status == notRun && !row.differs() {
			continue
		}
		mark := row.Ours.Status
		if row.differs() {
			mark = "**" + mark + "**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.1f | %.1f |\n", row.Test, row.Format, row.Own.Status, mark, row.Own.Seconds, row.Ours.Seconds)
	}
	b.WriteString("\n")
	return b.String()
}

// whyNotRun lists the reasons for which tests were not run, with the tests.
func whyNotRun(rows []row) string {
	reasons := make(map[string][]string)
	for _, row := range rows {
		if row.Own.Status == notRun {
			reasons[row.Own.Why] = append(reasons[row.Own.Why], row.Test+" ("+row.Format+")")
		}
	}
	if len(reasons) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("Not run, by the reason that the test gives:\n\n")
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		tests := reasons[why]
		if strings.HasPrefix(why, unsuitable) {
			fmt.Fprintf(&b, "* %s: %d runs\n", why, len(tests))
			continue
		}
		fmt.Fprintf(&b, "* %s: %s\n", why, strings.Join(tests, ", "))
	}
	b.WriteString("\n")
	return b.String()
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}
