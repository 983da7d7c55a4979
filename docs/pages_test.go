package docs_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	finish := qemutest.OwnTempDir()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { finish(code) }))
}

// TestPages requires every piece of Go in migrating.md to be in the examples,
// line for line, so that it is known to compile, and mostly to run.
func TestPages(t *testing.T) {
	page, err := os.ReadFile("migrating.md")
	if err != nil {
		t.Fatal(err)
	}
	code := ""
	for _, name := range []string{"migrating_test.go", "harness_test.go"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		code += trimmed(string(source))
	}

	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 30 {
		t.Errorf("%d blocks of Go on the page; the test does not see them any more", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(code, trimmed(b[1])) {
			t.Errorf("not in the examples:\n%s", b[1])
		}
	}

	cells, twins := 0, false // in a table of calls and their twins
	for line := range strings.Lines(string(page)) {
		twins = line == "| Python | Go |\n" || twins && strings.HasPrefix(line, "|")
		row := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !twins || len(row) != 2 {
			continue
		}
		for _, piece := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			cells++
			if !strings.Contains(code, piece[1]) {
				t.Errorf("not in the examples: %s", piece[1])
			}
		}
	}
	if cells < 200 {
		t.Errorf("%d calls in the page's tables; the test does not see them any more", cells)
	}
}

// trimmed returns text without indentation and empty lines.
func trimmed(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
