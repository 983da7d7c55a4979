package docs_test

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	beginTests = "<!-- The tests: written by TestGuarantees of docs, with -update. -->\n"
	endTests   = "<!-- The end of the tests. -->\n"
)

// TestGuarantees compares the page's table of tests with the tests of the tree. The
// name of a test says which rule it holds, such as TestE4LateReplyIsDropped, or its
// comment does with the words "Holds E4.". "Holds secure." means the section Secure
// by default.
func TestGuarantees(t *testing.T) {
	b, err := os.ReadFile("guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	before, rest, ok := strings.Cut(page, beginTests)
	_, after, ok2 := strings.Cut(rest, endTests)
	if !ok || !ok2 {
		t.Fatalf("the page lacks these two lines, between which the table belongs:\n%s%s", beginTests, endTests)
	}
	held := holders(t)
	want := before + beginTests + "\n" + testTable(held) + "\n" + endTests + after
	switch {
	case page == want:
	case flag.Lookup("update").Value.String() == "true": // the flag of iotests
		if err := os.WriteFile("guarantees.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("the table of tests in guarantees.md differs from the tests of the tree. If that is right: go test ./docs -run TestGuarantees -update")
	}
	for rule := 1; rule <= 16; rule++ {
		if !strings.Contains(page, fmt.Sprintf("**E%d. ", rule)) {
			t.Errorf("the page lacks rule E%d", rule)
		}
		if len(held["E"+strconv.Itoa(rule)]) < 3 {
			t.Errorf("rule E%d is held only by %v", rule, held["E"+strconv.Itoa(rule)])
		}
	}
	// Every test that the text names must exist.
	all := make(map[string]bool)
	for _, names := range held {
		for _, name := range names {
			all[name] = true
		}
	}
	for _, named := range regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllStringSubmatch(before, -1) {
		if !all[named[1]] {
			t.Errorf("no test that holds a rule is called %s", named[1])
		}
	}
}

var (
	ruleName = regexp.MustCompile(`^(?:Test|Fuzz)(E\d+)[A-Z]`)
	holds    = regexp.MustCompile(`Holds ((?:E\d+|secure)(?:, (?:E\d+|secure))*)\.`)
)

// holders returns the names of the tests in the tree that hold a rule, by rule.
func holders(t *testing.T) map[string][]string {
	t.Helper()
	held := make(map[string][]string)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") && !strings.HasPrefix(f.Name.Name, "Fuzz") {
				continue
			}
			if m := ruleName.FindStringSubmatch(f.Name.Name); m != nil {
				held[m[1]] = append(held[m[1]], f.Name.Name)
			}
			if m := holds.FindStringSubmatch(strings.Join(strings.Fields(f.Doc.Text()), " ")); m != nil {
				for rule := range strings.SplitSeq(m[1], ", ") {
					held[rule] = append(held[rule], f.Name.Name)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return held
}

func testTable(held map[string][]string) string {
	var b strings.Builder
	b.WriteString("| rule | tests |\n| --- | --- |\n")
	number := func(rule string) int {
		n, err := strconv.Atoi(strings.TrimPrefix(rule, "E"))
		if err != nil {
			return 100 // secure, the last
		}
		return n
	}
	for _, rule := range slices.SortedFunc(maps.Keys(held), func(a, b string) int { return cmp.Compare(number(a), number(b)) }) {
		names := slices.Compact(slices.Sorted(slices.Values(held[rule])))
		fmt.Fprintf(&b, "| %s | `%s` |\n", rule, strings.Join(names, "`, `"))
	}
	return b.String()
}
