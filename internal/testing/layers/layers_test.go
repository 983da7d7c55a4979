package layers

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/goqmp/qmp"

// A room is a package and its floor. A package imports only packages on lower
// floors.
type room struct {
	// dir is the package's folder, relative to the top of the tree. A dir that
	// ends in "/*" stands for every folder in it.
	dir   string
	floor int

	// modules has the modules from outside that the package's code may import.
	// Tests may import the modules of every room, and testModules.
	modules []string

	// forTests marks packages for tests. Code of the library does not import them.
	// On one floor, tests may import them, and their tests may import the others.
	forTests bool

	// testFloor is the lowest floor whose tests may import a package for tests. Zero
	// means the package's own floor.
	testFloor int

	// program marks programs and examples. No package imports them. They may
	// import everything on lower floors, also packages for tests.
	program bool

	// without has packages of the standard library that the package's code must
	// not import.
	without []string

	// cgo is the build tag of files that may use cgo. Nobody sets it by default, so the
	// project builds without a C compiler.
	cgo string
}

const (
	backoff    = "github.com/cenkalti/backoff/v4"
	json       = "github.com/go-json-experiment/json"
	multierror = "github.com/hashicorp/go-multierror"
	sys        = "golang.org/x/sys"
	udiff      = "github.com/aymanbagabas/go-udiff"
)

// rooms are all packages. A new package has to be added here. The commit that adds
// a module gives the reason.
var rooms = []room{
	{dir: "internal/testing/layers", floor: 0, forTests: true},
	// The exported names of each package.
	{dir: "internal/testing/api", floor: 0, forTests: true},
	// Runs the tests against several versions of QEMU.
	{dir: "internal/testing/matrix", floor: 0, program: true},
	// Describes the packages in its comment, and imports none.
	{dir: ".", floor: 0},

	// What a context ended with.
	{dir: "internal/contexts", floor: 0},
	// Text from outside, fit to be shown.
	{dir: "internal/harmless", floor: 0},

	// Bytes, messages, values. No goroutines, sockets or clocks; of package time it
	// uses only the type.
	{dir: "internal/proto", floor: 0, modules: []string{json}, without: []string{"net", "os", "context"}},

	// Where QEMU takes and returns secrets.
	{dir: "internal/secrets", floor: 1, modules: []string{json}},

	// Sockets, and what differs between systems about them.
	{dir: "internal/socket", floor: 1, modules: []string{sys}},

	// Reads what a client sends as QEMU reads it.
	{dir: "internal/qemujson", floor: 0, without: []string{"net", "os", "context"}},

	{dir: "async", floor: 2, modules: []string{backoff, json, multierror}},
	// Reads what a client sends, for servers.
	{dir: "internal/receiver", floor: 2, modules: []string{json}},
	// Writes what happens on connections to a file, reads it back, and plays it.
	{dir: "async/record", floor: 3, modules: []string{json}},
	{dir: "async/qmptest", floor: 4, modules: []string{json}, forTests: true, testFloor: 2},
	// Starts real programs for integration tests.
	{dir: "internal/testing/qemutest", floor: 0, modules: []string{sys}, forTests: true},

	// What this process has used, and how a cost grows with a number.
	{dir: "internal/testing/usage", floor: 0, forTests: true},
	{dir: "internal/testing/growth", floor: 1, forTests: true},

	// What a terminal obeys, for tests of errors.
	{dir: "internal/testing/harmlesstest", floor: 1, forTests: true},

	// Makes certificates.
	{dir: "internal/testing/tlstest", floor: 0, forTests: true},

	// Boots a Linux guest in QEMU.
	{dir: "internal/testing/guest", floor: 2, forTests: true},

	// What the fuzz targets of whole clients share.
	{dir: "internal/testing/anybytes", floor: 1, forTests: true},

	// Compares the tables of secrets with schemas.
	{dir: "internal/testing/secretscan", floor: 5, forTests: true},

	// Ends a real QEMU in many ways, again and again.
	{dir: "internal/testing/chaos", floor: 3, forTests: true},

	// Reads QAPI definitions and writes Go; of cmd/qmp-gen and of tests.
	{dir: "internal/qapigen", floor: 1, without: []string{"net"}},
	{dir: "qapi/support", floor: 3, modules: []string{json}},
	{dir: "qapi", floor: 5, modules: []string{json}},
	{dir: "qapi/qga", floor: 5, modules: []string{json}},
	{dir: "async/agent", floor: 6},
	{dir: "internal/testing/qapitest", floor: 4, modules: []string{json}, forTests: true},

	// Reads everything recorded, for the types of qapi and qapi/qga.
	{dir: "internal/testing/recorded", floor: 6, modules: []string{json}, forTests: true},

	// Many machines under names.
	{dir: "async/group", floor: 3, modules: []string{multierror}},
	// A QMP server that shares a monitor between many users. Its tests decide for each
	// command of qapi whether it only queries.
	{dir: "async/mux", floor: 6},
	{dir: "sync", floor: 3},
	{dir: "legacy", floor: 4},
	// Replays the recorded scenarios, for the tests of legacy and compat.
	{dir: "internal/testing/transcripts", floor: 5, modules: []string{json}, forTests: true, testFloor: 4},

	// Follows jobs, by the typed commands.
	{dir: "async/jobs", floor: 6},

	{dir: "compat", floor: 5},
	{dir: "compat/machine", floor: 6, modules: []string{sys}}, // pidfds
	{dir: "compat/qtest", floor: 6},
	// A harness for tests, public like async/qmptest.
	{dir: "compat/iotests", floor: 7, modules: []string{udiff}, forTests: true},

	// Lets programs in other languages call package legacy. compat/pybridge exports it
	// as a C library.
	{dir: "internal/pybridge", floor: 5, modules: []string{sys}}, // descriptors
	{dir: "compat/pybridge", floor: 6, program: true, modules: []string{sys}, cgo: "pybridge"},
	// Runs QEMU's iotests with QEMU's library and with compat/pybridge.
	{dir: "internal/testing/qemuiotests", floor: 0, program: true},

	{dir: "examples/*", floor: 8, program: true},
	// Measures the clients of all packages, and plain ones for comparison.
	{dir: "bench/internal/measure", floor: 1, forTests: true},
	{dir: "bench", floor: 8, program: true, modules: []string{json}},
	{dir: "cmd/qmp-gen/acme", floor: 8, modules: []string{json}, program: true}, // written by it, to show and to test
	{dir: "cmd/*", floor: 8, program: true},
	{dir: "docs", floor: 8, program: true}, // the code on the pages
	// Records clients of all packages, and plays the recordings.
	{dir: "internal/testing/replays", floor: 8, forTests: true},
	// What a caller sees when something goes wrong.
	{dir: "internal/testing/faults", floor: 8, forTests: true},
}

// testModules may be imported by tests alone.
var testModules = []string{"go.uber.org/goleak", "github.com/google/go-cmp", "golang.org/x/net"}

func TestNoRoomImportsUpwards(t *testing.T) {
	files, err := readTree("../../..")
	if err != nil {
		t.Fatal(err)
	}
	// Otherwise the test would pass for a wrong folder.
	if _, ok := files["internal/testing/layers/layers_test.go"]; !ok {
		t.Fatalf("read %d files of the tree, but not this test", len(files))
	}
	for _, fault := range check(files) {
		t.Error(fault)
	}
}

// readTree returns the source of every Go file in top and the folders in it, for all
// systems. The key is the path relative to top, with slashes. Like the go command,
// readTree leaves out testdata, vendor, other modules, and names that begin with a
// dot or an underscore.
func readTree(top string) (map[string]string, error) {
	files := make(map[string]string)
	err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == top {
			return err
		}
		base := d.Name()
		hidden := strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")
		if d.IsDir() {
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			if hidden || base == "testdata" || base == "vendor" || err == nil {
				return filepath.SkipDir
			}
			return nil
		}
		if hidden || !strings.HasSuffix(base, ".go") {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, name)
		files[filepath.ToSlash(rel)] = string(source)
		return err
	})
	return files, err
}

// check returns what is wrong with Go files. The key is the path of a file, the
// value its source.
func check(files map[string]string) []string {
	c := checker{fset: token.NewFileSet()}
	for name, source := range files {
		c.file(name, source)
	}
	slices.Sort(c.faults)
	return slices.Compact(c.faults)
}

type checker struct {
	fset   *token.FileSet
	faults []string
}

func (c *checker) faultf(pos token.Pos, format string, args ...any) {
	at := c.fset.Position(pos)
	c.faults = append(c.faults, fmt.Sprintf("%s:%d: %s", at.Filename, at.Line, fmt.Sprintf(format, args...)))
}

func (c *checker) file(name, source string) {
	f, err := parser.ParseFile(c.fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		c.faults = append(c.faults, err.Error())
		return
	}
	if inNoPackage(f) {
		return
	}
	dir := path.Dir(name)
	in, ok := find(dir)
	if !ok {
		c.faults = append(c.faults, fmt.Sprintf("%s: a package that has no floor yet: add it to rooms in internal/testing/layers/layers_test.go", dir))
		return
	}
	isTest := strings.HasSuffix(name, "_test.go")

	for _, spec := range f.Imports {
		target := strings.Trim(spec.Path.Value, "`\"")
		rel, ours := within(target, module)
		switch {
		case ours:
			if why := in.refuses(dir, rel, isTest); why != "" {
				c.faultf(spec.Pos(), "%s imports %s: %s", dir, rel, why)
			}
			if spec.Name != nil && spec.Name.Name == "." && !isTest {
				c.faultf(spec.Pos(), "%s imports %s by a dot: name the package, so that readers see where a name comes from", dir, rel)
			}
		case target == "C" && in.cgo != "" && strings.HasPrefix(source, "//go:build "+in.cgo+"\n"):
		case target == "C":
			c.faultf(spec.Pos(), "%s uses cgo: the project builds without a C compiler", dir)
		case strings.Contains(strings.Split(target, "/")[0], "."):
			if !in.mayUse(target, isTest) {
				c.faultf(spec.Pos(), "%s imports %s: not among the modules that rooms in internal/testing/layers/layers_test.go allows there", dir, target)
			}
		case !isTest:
			for _, p := range in.without {
				if _, ok := within(target, p); ok {
					c.faultf(spec.Pos(), "%s imports %s: this package must do without it", dir, target)
				}
			}
		}
	}
	if !isTest && !in.program && !strings.Contains("/"+dir+"/", "/internal/") {
		c.aliases(dir, f)
	}
}

// aliases finds types of a public package that are aliases of types in other
// packages. The documentation does not show the methods of an internal type's alias.
// An alias of a public type declares a second time what should be declared once.
func (c *checker) aliases(dir string, f *ast.File) {
	imports := make(map[string]string) // of our packages: folder by name in this file
	for _, spec := range f.Imports {
		rel, ours := within(strings.Trim(spec.Path.Value, "`\""), module)
		if !ours {
			continue
		}
		name := path.Base(rel)
		switch {
		case spec.Name != nil:
			name = spec.Name.Name
		case rel == "sync":
			name = "qmpsync"
		}
		imports[name] = rel
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if _, ok := n.(*ast.FuncDecl); ok {
			return false // the documentation does not show types in functions
		}
		ts, ok := n.(*ast.TypeSpec)
		if !ok || !ts.Assign.IsValid() {
			return true
		}
		ast.Inspect(ts.Type, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			from, ours := imports[pkg.Name]
			switch {
			case !ours:
			case strings.Contains("/"+from+"/", "/internal/"):
				c.faultf(ts.Pos(), "%s: type %s is an alias of %s in %s: its methods would not show in the documentation; declare a type", dir, ts.Name.Name, sel.Sel.Name, from)
			case ts.Name.IsExported():
				c.faultf(ts.Pos(), "%s: type %s re-exports %s of %s: a type is declared once", dir, ts.Name.Name, sel.Sel.Name, from)
			}
			return false
		})
		return false
	})
}

// refuses returns why code, or a test, in the folder dir may not import the folder
// target, or "" if it may. in is the room of dir.
func (in room) refuses(dir, target string, isTest bool) string {
	if dir == target {
		return "" // a test in package x_test imports package x
	}
	to, ok := find(target)
	switch {
	case !ok:
		return "a package that has no floor yet: add it to rooms in internal/testing/layers/layers_test.go"
	case to.program:
		return "no package imports a program"
	case to.forTests && !isTest && !in.forTests && !in.program:
		return "only tests, programs and other packages for tests import it"
	case to.floor < in.floor:
		return ""
	case to.testFloor > 0 && in.floor >= to.testFloor && isTest:
		return ""
	case to.floor == in.floor && (to.forTests || in.forTests) && isTest:
		return ""
	case to.floor == in.floor:
		return "packages on one floor do not import each other"
	}
	return "it is on a higher floor"
}

// mayUse reports whether code or a test of the room may import a package from
// outside.
func (in room) mayUse(target string, isTest bool) bool {
	allowed := in.modules
	if isTest {
		allowed = testModules
		for _, r := range rooms {
			allowed = append(slices.Clip(allowed), r.modules...)
		}
	}
	return slices.ContainsFunc(allowed, func(m string) bool {
		_, ok := within(target, m)
		return ok
	})
}

// find returns the room of a folder.
func find(dir string) (room, bool) {
	for _, r := range rooms {
		below, wild := strings.CutSuffix(r.dir, "*")
		if r.dir == dir || wild && strings.HasPrefix(dir, below) {
			return r, true
		}
	}
	return room{}, false
}

// within reports whether a path is top, or in it, and returns the path relative to
// top: "." for top itself.
func within(p, top string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(p, top)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return cmp.Or(strings.TrimPrefix(rest, "/"), "."), true
}

// inNoPackage reports whether a file has the build tag ignore. Such a file belongs
// to no package, and is run by its name.
func inNoPackage(f *ast.File) bool {
	for _, group := range f.Comments {
		if group.Pos() > f.Package {
			break
		}
		for _, line := range group.List {
			if line.Text == "//go:build ignore" {
				return true
			}
		}
	}
	return false
}

func TestCheckFindsFaults(t *testing.T) {
	imports := func(paths ...string) string {
		return "package p\nimport (\n\"" + strings.Join(paths, "\"\n\"") + "\"\n)"
	}
	our := func(dir string) string { return imports(module + "/" + dir) }

	tests := []struct {
		name, file, source string
		want               string // a part of the one fault; "" if there must be none
	}{
		{"down one floor", "async/a.go", our("internal/proto"), ""},
		{"down many floors", "compat/iotests/a.go", imports(module+"/async", module+"/legacy", module+"/compat/machine"), ""},
		{"a program imports anything on lower floors", "cmd/qmp-shell/a.go", imports(module+"/legacy", module+"/async/qmptest"), ""},
		{"so does an example", "examples/quickstart/a.go", imports(module+"/sync", module+"/async/qmptest"), ""},
		{"the standard library", "async/a.go", imports("context", "net", "os"), ""},
		{"allowed modules", "async/a.go", imports(backoff, json+"/jsontext", multierror), ""},
		{"allowed modules at the bottom", "internal/socket/a.go", imports(sys + "/unix"), ""},

		{"up", "async/a.go", our("sync"), "async/a.go:3: async imports sync: it is on a higher floor"},
		{"up from the ground", "internal/proto/a.go", our("async"), "it is on a higher floor"},
		{"up from legacy", "legacy/a.go", our("compat"), "it is on a higher floor"},
		{"up in a test", "async/a_test.go", our("legacy"), "it is on a higher floor"},
		{"up in a file for another system", "async/a_windows.go", "//go:build windows\n\n" + our("sync"), "it is on a higher floor"},
		{"sideways", "compat/qtest/a.go", our("compat/machine"), "packages on one floor"},
		{"record imports sync", "async/record/a.go", our("sync"), "packages on one floor"},
		{"qmptest imports legacy", "async/qmptest/a.go", our("legacy"), "packages on one floor"},
		{"its tests may", "async/qmptest/a_test.go", our("legacy"), ""},
		{"a program is imported", "examples/a/a.go", our("cmd/qmp-shell"), "no package imports a program"},

		{"qmptest in the library", "legacy/a.go", our("async/qmptest"), "only tests"},
		{"qmptest in its tests", "legacy/a_test.go", our("async/qmptest"), ""},
		{"qmptest in tests on its floor", "legacy/a_test.go", our("async/qmptest"), ""},
		{"qmptest in tests down to its testFloor", "async/a_test.go", our("async/qmptest"), ""},
		{"qmptest in tests below", "internal/proto/a_test.go", our("async/qmptest"), "it is on a higher floor"},
		{"an outside test", "legacy/a_test.go", our("legacy"), ""},

		{"a module without permission", "sync/a.go", imports(json), "not among the modules"},
		{"a module of another room", "internal/proto/a.go", imports(backoff), "not among the modules"},
		{"a module whose path begins like an allowed one", "async/a.go", imports(sys + "temd"), "not among the modules"},
		{"a module in a test", "legacy/a_test.go", imports(json, "go.uber.org/goleak", "github.com/google/go-cmp/cmp"), ""},
		{"an unknown module in a test", "legacy/a_test.go", imports("example.org/x"), "not among the modules"},
		{"a test's module in the library", "async/a.go", imports("go.uber.org/goleak"), "not among the modules"},
		{"cgo", "async/a.go", imports("C"), "uses cgo"},
		{"a socket on the ground", "internal/proto/a.go", imports("net/url"), "must do without"},
		{"a socket in a test there", "internal/proto/a_test.go", imports("net"), ""},

		{"an unknown folder", "async/ws/a.go", "package ws", "async/ws: a package that has no floor yet: add it to rooms in internal/testing/layers/layers_test.go"},
		{"an unknown folder at the top", "ws/a.go", "package ws", "no floor yet"},
		{"the root package imports a package", "doc.go", our("legacy"), ". imports legacy: it is on a higher floor"},
		{"an unknown target", "cmd/x/a.go", our("async/ws"), "no floor yet"},
		{"a file of no package", "scripts/a.go", "// Words.\n\n//go:build ignore\n\npackage main", ""},
		{"the build tag comes too late", "scripts/a.go", "package main\n\n//go:build ignore\n", "no floor yet"},
		{"not Go", "async/a.go", "package", "async/a.go:1:8: expected"},

		{"an internal alias", "async/a.go", our("internal/proto") + "\ntype M = proto.M", "async/a.go:5: async: type M is an alias of M in internal/proto"},
		{"below a pointer", "async/a.go", our("internal/proto") + "\ntype m = []*proto.M", "its methods would not show"},
		{"of a renamed package", "async/a.go", "package p\nimport x \"" + module + "/internal/proto\"\ntype (\nA int\nM = x.M\n)", "its methods would not show"},
		{"a generic one", "async/a.go", our("internal/proto") + "\ntype M = proto.M[int]", "its methods would not show"},
		{"a dot", "async/a.go", "package p\nimport . \"" + module + "/internal/proto\"\ntype M = Message", "by a dot"},
		{"a re-export", "legacy/a.go", our("async") + "\ntype Event = async.Event", "re-exports Event of async"},
		{"a re-export of qmpsync", "legacy/a.go", our("sync") + "\ntype Client = qmpsync.Client", "re-exports Client of sync"},
		{"a shorter name inside", "legacy/a.go", our("async") + "\ntype event = async.Event", ""},
		{"an alias in a function", "async/a.go", our("internal/proto") + "\nfunc f() { type M = proto.M }", ""},
		{"an alias in a test", "async/a_test.go", our("internal/proto") + "\ntype M = proto.M", ""},
		{"a type of its own", "async/a.go", our("internal/proto") + "\ntype M struct{ m proto.M }", ""},
		{"an alias from elsewhere", "async/a.go", imports("net") + "\ntype Conn = net.Conn", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := check(map[string]string{tt.file: tt.source})
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("found %q in a file without a fault", got)
			case tt.want != "" && len(got) != 1:
				t.Errorf("found %q, want one fault with %q", got, tt.want)
			case tt.want != "" && !strings.Contains(got[0], tt.want):
				t.Errorf("found %q, want %q", got[0], tt.want)
			}
		})
	}
}
