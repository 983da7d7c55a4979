package iotests

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aymanbagabas/go-udiff"
)

// Only test programs get the flag. Another program may define a flag of that name.
func init() {
	if testing.Testing() && flag.Lookup("update") == nil {
		flag.Bool("update", false, "write the golden files of iotests logs, instead of comparing the logs with them")
	}
}

// updating reports whether golden files are to be written.
func updating() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

// Log appends a text, or a message as JSON on one line, to the test's log. The given
// filters change it first, then those of [Test.Filters]. nil and truth values are
// written as Python writes them: None, True. What cannot be encoded as JSON fails the
// test, so only the goroutine of the test may log such a value. Any goroutine may log
// others.
func (it *Test) Log(message any, filters ...Filter) {
	it.Helper()
	it.logAs(FormatJSON, message, filters)
}

// LogIndent is [Test.Log], and writes a message as JSON on several lines.
func (it *Test) LogIndent(message any, filters ...Filter) {
	it.Helper()
	it.logAs(FormatJSONIndent, message, filters)
}

func (it *Test) logAs(format func(any) string, message any, filters []Filter) {
	it.Helper()
	message = it.loggable(message, "")
	for _, f := range slices.Concat(filters, it.Filters) {
		message = it.loggable(f(message), ", which a filter returned,")
	}
	text := ""
	switch m := message.(type) {
	case string:
		text = m
	case nil:
		text = "None"
	case bool:
		text = "False"
		if m {
			text = "True"
		}
	default:
		text = format(m)
	}
	it.mu.Lock()
	defer it.mu.Unlock()
	it.log = append(it.log, strings.Split(text, "\n")...)
}

// loggable returns a message in the types that JSON is decoded to. A message that cannot
// be encoded fails the test: in Go's notation it would differ from run to run. origin is
// part of that failure.
func (it *Test) loggable(message any, origin string) any {
	it.Helper()
	n, err := normalize(message)
	if err != nil {
		it.fail(fmt.Sprintf("a %T%s cannot be logged: %v", message, origin, err))
	}
	return n
}

// Logged returns the log so far, with a line end after each line. Any goroutine may call
// it.
func (it *Test) Logged() string {
	it.mu.Lock()
	defer it.mu.Unlock()
	if len(it.log) == 0 {
		return ""
	}
	return strings.Join(it.log, "\n") + "\n"
}

// logTail returns the last lines of the log.
func (it *Test) logTail() string {
	const most = 15
	it.mu.Lock()
	defer it.mu.Unlock()
	tail := it.log[max(0, len(it.log)-most):]
	return strings.Join(tail, "\n")
}

// CheckGolden fails the test if the log differs from the file testdata/NAME.golden, which
// is part of the source. The failure shows the difference. With the flag -update of go
// test, CheckGolden writes the file instead:
//
//	go test ./mytests -run TestStream -update
//
// Read what it wrote before you commit it: later runs take that file as correct.
func (it *Test) CheckGolden(name string) {
	it.Helper()
	path := filepath.Join("testdata", name+".golden")
	got := it.Logged()
	if updating() {
		if err := writeGolden(path, got); err != nil {
			it.Fatalf("%v", err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		it.noteLogShown()
		it.Fatalf("%v; go test -update writes it from this log:\n%s", err, got)
	}
	if wanted := strings.ReplaceAll(string(want), "\r\n", "\n"); got != wanted {
		it.noteLogShown()
		it.Errorf("the log differs from %s (go test -update writes it again):\n%s", path, diff(path, wanted, got))
	}
}

// writeGolden writes a temporary file and renames it to path. So a reader never sees
// half a file: tests of several formats may write the same file at the same time.
func writeGolden(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".golden-")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// diff returns a unified diff, with three lines around each difference, of at most 120
// lines.
func diff(path, want, got string) string {
	text := udiff.Unified(path, "the log", want, got)
	const most = 120
	lines := strings.SplitAfterN(text, "\n", most+1)
	if len(lines) <= most {
		return text
	}
	return strings.Join(lines[:most], "") + fmt.Sprintf("... and %d more lines\n", strings.Count(lines[most], "\n"))
}
