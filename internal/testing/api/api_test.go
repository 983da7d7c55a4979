package api

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the files of testdata from what the packages export")

const (
	module = "github.com/goqmp/qmp"
	root   = "../../.."
	howTo  = "go test ./internal/testing/api -update"
)

// TestAPI compares the exported declarations of each public package with its file
// in testdata. Those are of Linux: other systems export the same.
func TestAPI(t *testing.T) {
	names := map[string]bool{}
	for _, dir := range packages(t) {
		name := fileName(dir)
		names[name] = true
		got := surface(t, dir)
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("package %s is new (%v). If it is meant to be public: %s", dir, err, howTo)
		} else if diff := lines(string(want), string(got)); diff != "" {
			t.Errorf("the exported API of %s has changed:\n%sIf that is meant: %s", dir, diff, howTo)
		}
	}
	left, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) < 8 {
		t.Errorf("%d public packages: %v", len(names), err)
	}
	for _, path := range left {
		switch {
		case names[filepath.Base(path)]:
		case *update:
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
		default:
			t.Errorf("%s is of a package that is gone. If that is meant: %s", path, howTo)
		}
	}
}

// Other systems export what Linux does: a program that compiles for one compiles
// for all.
func TestAPIOfOtherSystems(t *testing.T) {
	for _, dir := range packages(t) {
		linux := surface(t, dir)
		for _, system := range []string{"darwin", "windows"} {
			if diff := lines(string(linux), string(surfaceOn(t, dir, system))); diff != "" {
				t.Errorf("%s does not export on %s what it does on Linux:\n%s", dir, system, diff)
			}
		}
	}
}

func fileName(dir string) string { return strings.ReplaceAll(dir, "/", "_") + ".txt" }

// packages returns the folders of the module's public packages, from its root.
func packages(t *testing.T) (dirs []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); path != "." && (name[0] == '.' || slices.Contains([]string{"internal", "testdata", "examples", "docs"}, name)) {
			return fs.SkipDir
		}
		if path != "." {
			if _, err := os.Stat(filepath.Join(root, path, "go.mod")); err == nil {
				return fs.SkipDir // another module
			}
		}
		if p, err := context("linux").ImportDir(filepath.Join(root, path), 0); err == nil && p.Name != "main" && path != "." {
			dirs = append(dirs, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

func context(system string) *build.Context {
	c := build.Default
	c.GOOS, c.GOARCH, c.CgoEnabled, c.BuildTags = system, "amd64", false, nil
	return &c
}

func surface(t *testing.T, dir string) []byte {
	t.Helper()
	return surfaceOn(t, dir, "linux")
}

// surfaceOn returns the exported declarations of a package, without comments and
// bodies, sorted as documentation is.
func surfaceOn(t *testing.T, dir, system string) []byte {
	t.Helper()
	folder := filepath.Join(root, dir)
	p, err := context(system).ImportDir(folder, 0)
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(set, filepath.Join(folder, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	d, err := doc.NewFromFiles(set, files, module+"/"+dir)
	if err != nil {
		t.Fatal(err)
	}

	var b bytes.Buffer
	fmt.Fprintf(&b, "package %s // import %q\n", d.Name, d.ImportPath)
	show := func(node ast.Node) {
		var source strings.Builder
		if err := printer.Fprint(&source, set, node); err != nil {
			t.Fatal(err)
		}
		// Blank lines and columns follow the comments, which are not there.
		b.WriteByte('\n')
		for line := range strings.Lines(source.String()) {
			if text := strings.Join(strings.Fields(line), " "); text != "" {
				b.WriteString(line[:len(line)-len(strings.TrimLeft(line, "\t"))] + text + "\n")
			}
		}
	}
	values := func(list []*doc.Value) {
		for _, v := range list {
			if v.Decl.Tok == token.VAR {
				for _, spec := range v.Decl.Specs {
					spec.(*ast.ValueSpec).Values = nil // the text of an error, say
				}
			}
			show(v.Decl)
		}
	}
	funcs := func(list []*doc.Func) {
		for _, f := range list {
			f.Decl.Body = nil
			show(f.Decl)
		}
	}
	values(d.Consts)
	values(d.Vars)
	funcs(d.Funcs)
	for _, typ := range d.Types {
		show(typ.Decl)
		values(typ.Consts)
		values(typ.Vars)
		funcs(typ.Funcs)
		funcs(typ.Methods)
	}
	return b.Bytes()
}

// lines returns the lines that only one of two texts has: what has gone, and what
// has come.
func lines(before, after string) string {
	var b strings.Builder
	only := func(mark, of, other string) {
		count := map[string]int{}
		for line := range strings.Lines(other) {
			count[line]++
		}
		for line := range strings.Lines(of) {
			if count[line]--; count[line] < 0 && strings.TrimSpace(line) != "" {
				b.WriteString(mark + strings.TrimSuffix(line, "\n") + "\n")
			}
		}
	}
	only("- ", before, after)
	only("+ ", after, before)
	if b.Len() == 0 && before != after {
		return "  the same lines, in another order or with other blank lines\n"
	}
	return b.String()
}

func TestLines(t *testing.T) {
	for _, tt := range []struct{ before, after, want string }{
		{"a\nb\n", "a\nb\n", ""},
		{"a\nb\n", "a\nc\n", "- b\n+ c\n"},
		{"a\n", "a\na\n", "+ a\n"},
		{"a\nb\n", "b\na\n", "  the same lines, in another order or with other blank lines\n"},
	} {
		if got := lines(tt.before, tt.after); got != tt.want {
			t.Errorf("from %q to %q: %q, want %q", tt.before, tt.after, got, tt.want)
		}
	}
}
