package docs_test

import (
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
	"strings"
	"testing"
)

// apart names the functions with code of a page that no test runs with a real
// QEMU, and the reason. A test must run them too, but without QEMU.
var apart = map[string]string{}

// TestPages requires every block of Go code on every page to be, line for line, a
// part of a function that a test runs with a real QEMU, or that apart names; or a part
// of a program in examples, whose tests run it with a real QEMU.
func TestPages(t *testing.T) {
	code, programs := parse(t), programs(t, "../examples")
	blocks := 0
	for name, page := range pages(t) {
		for _, block := range regexp.MustCompile("(?ms)^[ \t]*```go\\b[^\n]*\n(.*?)^[ \t]*```").FindAllStringSubmatch(page, -1) {
			blocks++
			if programs.have(block[1]) {
				continue
			}
			if fault := code.fault(block[1]); fault != "" {
				t.Errorf("%s: %s:\n%s", name, fault, block[1])
			}
		}
	}
	if blocks < 35 {
		t.Errorf("found only %d blocks of Go, want at least 35", blocks)
	}
	for name := range apart {
		if code.functions[name] == nil {
			t.Errorf("apart names the function %s, which does not exist", name)
		}
	}
}

// TestPagesFindsFaults feeds TestPages' check with code that has each fault.
func TestPagesFindsFaults(t *testing.T) {
	code := &source{functions: make(map[string]*function)}
	code.add(t, `package docs_test
func inNoTest() {
	one()
}
func TestSimulated(t *testing.T) {
	simulated()
}
func simulated() {
	two()
}
func TestReal(t *testing.T) {
	qemutest.Monitor(t)
	f := real
	run(f)
	use(onlyNamed)
	closure()
}
func real() {
	three()
}
func onlyNamed() {
	four()
}
func closure() {
	never := func() {
		five()
	}
	use(never)
	once := func() {
		six()
	}
	once()
	run(func() {
		seven()
	})
}
func Example_compiled() {
	qemutest.Machine(t)
	eight()
}
`)
	for block, want := range map[string]string{
		"nine()":  "no function of docs/*_test.go has this code",
		"one()":   "no test runs inNoTest",
		"two()":   "no test runs simulated with a real QEMU, and apart does not name it",
		"three()": "",
		"four()":  "no test runs onlyNamed",
		"five()":  "it is in a function literal of closure that no code calls",
		"six()":   "",
		"seven()": "",
		"eight()": "no test runs Example_compiled",
	} {
		if got := code.fault(block); got != want {
			t.Errorf("%s: %q, want %q", block, got, want)
		}
	}
}

// sources are the files of example programs, trimmed.
type sources []string

// programs returns the files of the programs in the folders of dir. A program whose
// tests start no real QEMU is left out.
func programs(t *testing.T, dir string) sources {
	t.Helper()
	var all sources
	tests, err := filepath.Glob(filepath.Join(dir, "*", "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	real := make(map[string]bool) // by folder
	for _, name := range tests {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "qemutest.") {
			real[filepath.Dir(name)] = true
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(real)) {
		names, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, trimmed(string(b)))
		}
	}
	return all
}

// have reports whether a block is a part of a file, line for line.
func (s sources) have(block string) bool {
	block = trimmed(block)
	return slices.ContainsFunc(s, func(file string) bool { return strings.Contains("\n"+file, "\n"+block) })
}

// TestProgramsOfPages gives programs two folders: only the one whose tests start a real
// QEMU counts, and not its tests.
func TestProgramsOfPages(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"real/main.go":       "package main\n\nfunc main() {\n\tone()\n\ttwo()\n}\n",
		"real/main_test.go":  "package main\n\nvar _ = qemutest.Find\n\nvar inTest = 1\n",
		"never/main.go":      "package main\n\nfunc main() { three() }\n",
		"never/main_test.go": "package main\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found := programs(t, dir)
	for block, want := range map[string]bool{
		"func main() {\n    one()\n    two()\n}\n": true,
		"one()\n":                   true,
		"ne()\n":                    false, // not a whole line
		"one()\n}\n":                false, // a line is left out
		"func main() { three() }\n": false,
		"var inTest = 1\n":          false,
	} {
		if got := found.have(block); got != want {
			t.Errorf("%q: %t, want %t", block, got, want)
		}
	}
}

// pages returns the text of all pages of the tree, by their path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() != ".." && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			b, err := os.ReadFile(path)
			found[path] = string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A source is the Go code of docs/*_test.go.
type source struct{ functions map[string]*function }

// A function is a function with a name.
type function struct {
	text  string   // trimmed, with its first and last line
	dead  []string // the function literals in it that no code calls; trimmed too
	calls []string // functions that it calls, or passes to a function that calls them
	real  bool     // it starts a real QEMU
}

func parse(t *testing.T) *source {
	t.Helper()
	names, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	code := &source{functions: make(map[string]*function)}
	for _, name := range names {
		if name == "pages_test.go" {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		code.add(t, string(b))
	}
	return code
}

func (s *source) add(t *testing.T, text string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	cut := func(n ast.Node) string {
		return trimmed(text[set.Position(n.Pos()).Offset:set.Position(n.End()).Offset])
	}
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
			s.functions[f.Name.Name] = look(f, cut)
		}
	}
}

// look finds out what a function calls. The arguments of use do not count: use does
// not call them.
func look(f *ast.FuncDecl, cut func(ast.Node) string) *function {
	fn := &function{text: cut(f)}
	literals := make(map[string]*ast.FuncLit) // by the variable that holds them
	assigned := make(map[*ast.Ident]bool)     // which is not a use
	called := make(map[string]bool)
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "use" {
				return false
			}
		case *ast.AssignStmt:
			for i, right := range n.Rhs {
				literal, ok := right.(*ast.FuncLit)
				if name, ident := n.Lhs[min(i, len(n.Lhs)-1)].(*ast.Ident); ok && ident {
					literals[name.Name] = literal
				}
			}
			for _, left := range n.Lhs {
				if name, ok := left.(*ast.Ident); ok {
					assigned[name] = true
				}
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				what := x.Name + "." + n.Sel.Name
				fn.real = fn.real || x.Name == "qemutest" || slices.Contains([]string{"iotests.New", "iotests.Each"}, what)
			}
		case *ast.Ident:
			if !assigned[n] {
				called[n.Name] = true
			}
		}
		return true
	})
	for name, literal := range literals {
		if !called[name] {
			fn.dead = append(fn.dead, cut(literal))
		}
	}
	fn.calls = slices.Sorted(maps.Keys(called))
	return fn
}

// fault returns what is wrong with a block of Go code, or an empty string.
func (s *source) fault(block string) string {
	block = trimmed(block)
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(s.functions)) {
		f := s.functions[name]
		if !strings.Contains(f.text, block) {
			continue
		}
		fault := ""
		switch run, real := s.run(name); {
		case slices.ContainsFunc(f.dead, func(literal string) bool { return strings.Contains(literal, block) }):
			fault = fmt.Sprintf("it is in a function literal of %s that no code calls", name)
		case !run:
			fault = "no test runs " + name
		case !real && apart[name] == "":
			fault = fmt.Sprintf("no test runs %s with a real QEMU, and apart does not name it", name)
		}
		if fault == "" {
			return ""
		}
		faults = append(faults, fault)
	}
	if len(faults) == 0 {
		return "no function of docs/*_test.go has this code"
	}
	return faults[0]
}

// run reports whether a test runs the function with this name, and whether a test
// that runs it starts a real QEMU.
func (s *source) run(name string) (run, real bool) {
	for test := range s.functions {
		if !strings.HasPrefix(test, "Test") {
			continue
		}
		reached := make(map[string]bool)
		s.reach(test, reached)
		if !reached[name] {
			continue
		}
		run = true
		for f := range reached {
			real = real || s.functions[f].real
		}
	}
	return run, real
}

// reach adds the function with this name, and all functions that it calls, to
// reached.
func (s *source) reach(name string, reached map[string]bool) {
	f := s.functions[name]
	if f == nil || reached[name] {
		return
	}
	reached[name] = true
	for _, called := range f.calls {
		s.reach(called, reached)
	}
}

// TestTables requires every Go call in the tables of migrating.md to be in code
// that compiles.
func TestTables(t *testing.T) {
	code := ""
	for _, name := range []string{"calls_test.go", "harness_calls_test.go", "harness_test.go"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		code += string(b)
	}
	cells, calls := 0, false // calls: the line is in a table of Python and Go calls
	for line := range strings.Lines(pages(t)["../docs/migrating.md"]) {
		calls = line == "| Python | Go |\n" || calls && strings.HasPrefix(line, "|")
		row := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !calls || len(row) != 2 {
			continue
		}
		for _, piece := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			cells++
			if !strings.Contains(code, piece[1]) {
				t.Errorf("no code that compiles has %s", piece[1])
			}
		}
	}
	if cells < 200 {
		t.Errorf("found only %d calls in the tables, want at least 200", cells)
	}
}
