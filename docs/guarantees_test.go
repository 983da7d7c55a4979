package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGuarantees requires every test that guarantees.md names to be there.
func TestGuarantees(t *testing.T) {
	page, err := os.ReadFile("guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool)
	err = filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		source, err := os.ReadFile(name)
		for _, f := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(source), -1) {
			there[f[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(string(page), -1)
	if len(named) < 50 {
		t.Errorf("%d tests on the page; this one does not see them any more", len(named))
	}
	for _, n := range named {
		if !there[n[1]] {
			t.Errorf("no test is called %s", n[1])
		}
	}
	for rule := 1; rule <= 16; rule++ {
		if !strings.Contains(string(page), fmt.Sprintf("**E%d. ", rule)) {
			t.Errorf("rule E%d is not on the page", rule)
		}
	}
}
