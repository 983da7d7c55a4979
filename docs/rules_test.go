package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestRuleFiles requires the tests of the engine's rules to stand in files with
// the prefix rule_, each of which says its rule and the code that it holds.
func TestRuleFiles(t *testing.T) {
	files, err := filepath.Glob("../async/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	rules := 0
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`^rule_e(\d\d)_\w+_test\.go$`).FindStringSubmatch(filepath.Base(path))
		if m == nil {
			if regexp.MustCompile(`^e\d\d_`).MatchString(filepath.Base(path)) {
				t.Errorf("%s: the file of a rule begins with rule_", path)
			}
			continue
		}
		rules++
		head := regexp.MustCompile(`(?s)// Tests of rule E` + regexp.MustCompile(`^0`).ReplaceAllString(m[1], "") + `\b.*// The code that they hold: ([^\n]*)\.\npackage `).FindSubmatch(b)
		if head == nil {
			t.Errorf("%s does not say its rule, and the code that it holds, before the package clause", path)
			continue
		}
		for _, name := range regexp.MustCompile(`\w+\.go`).FindAllString(string(head[1]), -1) {
			if _, err := os.Stat(filepath.Join("../async", name)); err != nil {
				t.Errorf("%s holds %s, which does not exist", path, name)
			}
		}
	}
	if rules < 20 {
		t.Errorf("%d files of rules; the test does not see them any more", rules)
	}
}
