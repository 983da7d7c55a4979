package faults

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	page  = "../../../docs/guarantees.md"
	begin = "<!-- The matrix: written by the tests of internal/testing/faults. -->\n"
	end   = "<!-- The end of the matrix. -->\n"
)

var update = flag.Bool("update", false, "write the table of docs/guarantees.md from what this run sees")

// holdPage compares the matrix on the page with rows. With update it writes the
// matrix instead.
func holdPage(t testing.TB, page string, rows []*row, update bool) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s does not have the two lines between which the matrix stands:\n%s%s", page, begin, end)
	}
	want := before + begin + "\n" + table(rows) + "\n" + end + after
	switch {
	case string(b) == want:
	case update:
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the table in docs/guarantees.md differs from what this run has seen:\n%sIf the difference is intended: go test ./internal/testing/faults -update", changed(string(b), want))
	}
}

// changed returns the lines that only one of two versions of the page has.
func changed(before, after string) string {
	var b strings.Builder
	for line := range strings.Lines(before) {
		if !strings.Contains(after, line) {
			b.WriteString("- " + line)
		}
	}
	for line := range strings.Lines(after) {
		if !strings.Contains(before, line) {
			b.WriteString("+ " + line)
		}
	}
	return b.String()
}

// A recorder is a testing.TB whose Errorf records the failure.
type recorder struct {
	testing.TB // the real test, for all other methods
	failure    string
}

func (r *recorder) Helper()                           {}
func (r *recorder) Errorf(format string, args ...any) { r.failure += fmt.Sprintf(format, args...) }

// Only a run with -update changes the page.
func TestPageIsWrittenByUpdateOnly(t *testing.T) {
	rows := []*row{{fault: &fault{rule: "E1", what: "a fault"}}}
	before := "above\n" + begin + "\nold\n" + end + "below\n"
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &recorder{TB: t}
	holdPage(r, path, rows, false)
	b, err := os.ReadFile(path)
	if string(b) != before || err != nil {
		t.Errorf("the page has been changed to %q, %v", b, err)
	}
	if !strings.Contains(r.failure, "- old\n") || !strings.Contains(r.failure, "+ | E1 | a fault |") || !strings.HasSuffix(r.failure, " -update") {
		t.Errorf("the test fails with %q", r.failure)
	}

	r.failure = ""
	holdPage(r, path, rows, true)
	holdPage(r, path, rows, false)
	b, err = os.ReadFile(path)
	if text := string(b); !strings.HasPrefix(text, "above\n") || !strings.HasSuffix(text, "below\n") || strings.Contains(text, "old") || err != nil {
		t.Errorf("the page has been changed to %q, %v", b, err)
	}
	if r.failure != "" {
		t.Errorf("the test fails with %q", r.failure)
	}
}
