package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestRuleFiles requires the files with tests of the engine's rules to have the
// prefix rule_, and to say before the package clause which rule the tests hold and
// which files have the code.
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
				t.Errorf("%s: the name of a file with tests of a rule must begin with rule_", path)
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
				t.Errorf("%s names %s, which does not exist", path, name)
			}
		}
	}
	if rules < 20 {
		t.Errorf("found only %d files with tests of rules, want at least 20", rules)
	}
}
