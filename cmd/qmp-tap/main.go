// Qmp-tap turns the results of go test into TAP (Test Anything Protocol, version 13), the
// form that QEMU's check prints with -tap and that its build system reads:
//
//	go test -json ./... | qmp-tap
//
// Each test is one line; a test that has subtests only stands for them. Its time is in a
// YAML block after the line, as duration_ms. What a test that failed has printed follows as
// comments. Qmp-tap exits with 1 if a test failed, or if a package could not be built.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	ok, err := convert(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "qmp-tap:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// An event is one line of go test -json: see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string // in place of Package for the output of a build
	Test       string
	Elapsed    float64 // in seconds
	Output     string
}

// A name is a test of a package; the test "" is the package itself.
type name struct{ pkg, test string }

// convert reads events and writes TAP. ok is false if something failed.
func convert(r io.Reader, w io.Writer) (ok bool, err error) {
	out := bufio.NewWriter(w)
	defer func() {
		if flushErr := out.Flush(); err == nil {
			err = flushErr
		}
	}()
	t := tap{w: out, output: make(map[name][]string), parents: make(map[name]bool), failed: make(map[string]bool)}
	fmt.Fprintln(out, "TAP version 13")
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprintln(out, "#", strings.TrimRight(line, "\n")) // go test writes some errors as plain text
			} else {
				t.event(e)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, err
		}
	}
	fmt.Fprintf(out, "1..%d\n", t.n)
	return len(t.failed) == 0, nil
}

// A tap writes the results of tests.
type tap struct {
	w       *bufio.Writer
	n       int               // how many results there were
	output  map[name][]string // what running tests have printed
	parents map[name]bool     // tests with subtests
	failed  map[string]bool   // packages in which something failed
}

func (t *tap) event(e event) {
	if e.Package == "" {
		e.Package, _, _ = strings.Cut(e.ImportPath, " ") // "pkg [pkg.test]"
	}
	who := name{e.Package, e.Test}
	switch e.Action {
	case "run":
		if i := strings.LastIndexByte(e.Test, '/'); i >= 0 {
			t.parents[name{e.Package, e.Test[:i]}] = true
		}
	case "output", "build-output":
		t.output[who] = append(t.output[who], e.Output)
	case "pass", "skip", "fail":
		t.result(e, who)
	}
}

func (t *tap) result(e event, who name) {
	output := t.output[who]
	delete(t.output, who)
	failed := e.Action == "fail"
	switch {
	case e.Test == "" && (!failed || t.failed[e.Package]):
		return // its tests have said everything
	case t.parents[who] && (!failed || t.failed[e.Package]):
		return
	}
	t.n++
	word, directive := "ok", ""
	if failed {
		word = "not ok"
		t.failed[e.Package] = true
	}
	if e.Action == "skip" {
		directive = " # SKIP " + reason(output)
	}
	fmt.Fprintf(t.w, "%s %d - %s%s\n", word, t.n, strings.TrimSpace(e.Package+" "+e.Test), directive)
	fmt.Fprintf(t.w, "  ---\n  duration_ms: %.0f\n  ...\n", e.Elapsed*1000)
	if failed {
		for line := range strings.Lines(strings.Join(output, "")) {
			fmt.Fprintln(t.w, "#", strings.TrimRight(line, "\n"))
		}
	}
}

// reason returns why a test was skipped: its last line that is not go test's own.
func reason(output []string) string {
	why := ""
	for _, line := range output {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			why = line
		}
	}
	if _, words, ok := strings.Cut(why, ": "); ok && strings.Contains(strings.SplitN(why, ":", 2)[0], ".go") {
		why = words // without the file and the line
	}
	return why
}
