package iotests

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Only test programs get the flag: others have flags of their own.
func init() {
	if testing.Testing() && flag.Lookup("update") == nil {
		flag.Bool("update", false, "write the golden files of iotests logs instead of comparing with them")
	}
}

// updating reports whether golden files are to be written.
func updating() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

// Log adds a text, or a message as JSON on one line, to the test's log. The
// filters go over it first, then those of [Test.Filters].
func (it *Test) Log(message any, filters ...Filter) { it.logAs(FormatJSON, message, filters) }

// LogIndent is Log with a message over several lines.
func (it *Test) LogIndent(message any, filters ...Filter) {
	it.logAs(FormatJSONIndent, message, filters)
}

func (it *Test) logAs(format func(any) string, message any, filters []Filter) {
	if n, err := normalize(message); err == nil {
		message = n
	}
	for _, f := range filters {
		message = f(message)
	}
	for _, f := range it.Filters {
		message = f(message)
	}
	text, ok := message.(string)
	if !ok {
		text = format(message)
	}
	it.mu.Lock()
	defer it.mu.Unlock()
	it.log = append(it.log, strings.Split(text, "\n")...)
}

// Logged returns the log so far, a line end behind each line.
func (it *Test) Logged() string {
	it.mu.Lock()
	defer it.mu.Unlock()
	if len(it.log) == 0 {
		return ""
	}
	return strings.Join(it.log, "\n") + "\n"
}

// logTail returns the end of the log.
func (it *Test) logTail() string {
	const most = 15
	it.mu.Lock()
	defer it.mu.Unlock()
	tail := it.log[max(0, len(it.log)-most):]
	return strings.Join(tail, "\n")
}

// CheckGolden compares the log with the file testdata/NAME.golden, as it is in the
// source. With the flag -update of go test it writes the file instead:
//
//	go test ./mytests -run TestStream -update
//
// Look at what it wrote before it is committed: from then on it is what is right.
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
		it.hasTold()
		it.Fatalf("%v; with the flag -update it is written from this log:\n%s", err, got)
	}
	if wanted := strings.ReplaceAll(string(want), "\r\n", "\n"); got != wanted {
		it.hasTold()
		it.Errorf("the log differs from %s (-update writes it anew):\n%s", path, diff(wanted, got))
	}
}

// writeGolden puts the file into place at once: tests of several formats may write
// the same one at the same time.
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

// diff shows how lines differ: those that are only in want have a minus in front,
// those that are only in got a plus.
func diff(want, got string) string {
	a, b := strings.Split(strings.TrimSuffix(want, "\n"), "\n"), strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	// The longest common subsequence, from the end. Logs are short.
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out strings.Builder
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			fmt.Fprintf(&out, "  %s\n", a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			fmt.Fprintf(&out, "- %s\n", a[i])
			i++
		default:
			fmt.Fprintf(&out, "+ %s\n", b[j])
			j++
		}
	}
	return out.String()
}
