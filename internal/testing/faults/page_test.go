package faults

import (
	"os"
	"strings"
	"testing"
)

const (
	page  = "../../../docs/guarantees.md"
	begin = "<!-- The matrix: written by the tests of internal/testing/faults. -->\n"
	end   = "<!-- The end of the matrix. -->\n"
)

// holdPage compares the page's matrix with what the run has seen.
func holdPage(t *testing.T, rows []*row) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the matrix, which is between these lines:\n%s%s", page, begin, end)
	}
	want := before + begin + "\n" + table(rows) + "\n" + end + after
	if string(b) == want {
		return
	}
	if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Error("the matrix in docs/guarantees.md was not what this run has seen, and has been written anew: look at the difference, and commit it")
}
