package docs_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

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

func TestReadme(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 3 {
		t.Errorf("%d blocks of Go in the README, want the three programs", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(trimmed(string(source)), trimmed(b[1])) {
			t.Errorf("not what runs here:\n%s", b[1])
		}
	}
}
