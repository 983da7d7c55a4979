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
	// A quotation mark before Holds, as in the comment of TestGuarantees, makes it no sentence.
	holds      = regexp.MustCompile(`(?:^| )Holds ((?:E\d+|secure)(?:, (?:E\d+|secure))*)\.`)
	holdsBegin = regexp.MustCompile(`(?:^| )Holds (?:E|secure).*`)
)

// rulesIn returns the rules in the sentences "Holds E4, E5." of a comment. It returns an
// error for a sentence that begins so and has another form, such as "Holds E4 and E5.".
func rulesIn(comment string) (rules []string, err error) {
	text := strings.Join(strings.Fields(comment), " ")
	for _, m := range holds.FindAllStringSubmatch(text, -1) {
		rules = append(rules, strings.Split(m[1], ", ")...)
	}
	if rest := holdsBegin.FindString(holds.ReplaceAllString(text, "")); rest != "" {
		return nil, fmt.Errorf("%q does not have the form \"Holds E4, E5.\"", strings.TrimSpace(rest))
	}
	return rules, nil
}

func TestRulesIn(t *testing.T) {
	for _, tt := range []struct {
		comment string
		want    []string // nil: an error
	}{
		{"TestX is a test.", []string{}},
		{"TestX is a test. Holds E4.", []string{"E4"}},
		{"TestX is a test.\nHolds E4, E16,\nsecure.", []string{"E4", "E16", "secure"}},
		{"Holds E4. It does. Holds secure.", []string{"E4", "secure"}},
		{`It says "Holds E4.".`, []string{}},
		{"Holds E4 and E5.", nil},
		{"Holds E4, E5 and secure.", nil},
		{"TestX is a test. Holds E4 E5.", nil},
		{"TestX.\nHolds secure and E5.", nil},
		{"Holds E4", nil},
		{"Holds E4. Holds Ex.", nil},
	} {
		got, err := rulesIn(tt.comment)
		if (err != nil) != (tt.want == nil) || !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, %v, want %q", tt.comment, got, err, tt.want)
		}
	}
}

// holders returns the names of the tests in the tree that hold a rule, by rule. It fails
// the test for a comment that [rulesIn] refuses, and for one that names rules and is not
// that of a test.
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
		ofTests := make(map[*ast.CommentGroup]bool)
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") && !strings.HasPrefix(f.Name.Name, "Fuzz") {
				continue
			}
			if m := ruleName.FindStringSubmatch(f.Name.Name); m != nil {
				held[m[1]] = append(held[m[1]], f.Name.Name)
			}
			ofTests[f.Doc] = true
			rules, err := rulesIn(f.Doc.Text())
			if err != nil {
				t.Errorf("%s, the comment of %s: %v", path, f.Name.Name, err)
			}
			for _, rule := range rules {
				held[rule] = append(held[rule], f.Name.Name)
			}
		}
		for _, comment := range file.Comments {
			if rules, err := rulesIn(comment.Text()); !ofTests[comment] && (err != nil || len(rules) > 0) {
				t.Errorf("%s: a comment that is not that of a test says what it holds: %q", path, comment.Text())
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
