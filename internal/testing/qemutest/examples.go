package qemutest

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Examples runs Example functions of the package under test with a real QEMU, and
// compares what they print with their Output. run has the functions by name. apart
// has the names of Examples that cannot be run with a QEMU, each with the reason. An
// Example that is in neither fails the test. The calling test must not be parallel.
func Examples(t *testing.T, run map[string]func(), apart map[string]string) {
	t.Helper()
	Find(t, QEMU)
	outputs := exampleOutputs(t)
	for name := range outputs {
		_, runs := run[name]
		if _, stays := apart[name]; runs == stays {
			t.Errorf("%s must be in exactly one of run and apart", name)
		}
	}
	for name := range apart {
		if _, ok := outputs[name]; !ok {
			t.Errorf("no example is called %s", name)
		}
	}
	for name, example := range run {
		t.Run(name, func(t *testing.T) {
			want, ok := outputs[name]
			if !ok {
				t.Fatal("there is no such example, or it has no output")
			}
			if got := Printed(t, example); strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Errorf("with a QEMU the example prints:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// exampleOutputs returns the Output comments of the package's examples, by name.
func exampleOutputs(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	outputs := make(map[string]string)
	for _, e := range doc.Examples(files...) {
		if e.Output != "" || e.EmptyOutput {
			outputs["Example"+e.Name] = e.Output
		}
	}
	return outputs
}

// Printed returns what f writes to the standard output. The calling test must not be
// parallel.
func Printed(t testing.TB, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(r)
		text <- string(b)
	}()
	func() {
		stdout := os.Stdout
		os.Stdout = w
		defer func() {
			os.Stdout = stdout
			w.Close()
		}()
		f()
	}()
	return <-text
}
