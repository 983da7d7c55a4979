package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A verdict is what QEMU's program check says of a test.
type verdict struct {
	Status  string // passed, failed, notRun or hung
	Seconds float64
	Why     string // why it was not run, or failed
	output  string // of check; the difference to the expected output is in it
}

// The verdicts: those of check, and hung for a test that was killed.
const (
	passed = "pass"
	failed = "fail"
	notRun = "not run"
	hung   = "hung"
)

// patience is the time after which a test is killed. It only keeps a hung test from
// holding up all others: no test needs a tenth of it.
const patience = 30 * time.Minute

// line is check's line about a test.
var line = regexp.MustCompile(`(?m)^(\S+) +(pass|fail|not run) +\[[\d:]+\] +\[[\d:]+\] +([\d.]+s|\.\.\.)? *(?:\(last: [\d.]+s\))? *(.*)$`)

// run runs one test of the tree by QEMU's check.
func (t *tree) run(ctx context.Context, test, format string) (verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.python, "./check", "-"+format, filepath.Base(test))
	cmd.Dir = filepath.Join(t.top, "tests/qemu-iotests")
	cmd.Env = append(slices.Clone(t.env), "TEST_DIR="+t.scratch, "SOCK_DIR="+t.sockets)
	ownGroup(cmd)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	v := verdict{Seconds: time.Since(start).Seconds(), output: strings.ReplaceAll(out.String(), "\r", "\n")}
	t.clean()
	if ctx.Err() != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			v.Status, v.Why = hung, "killed after "+patience.String()
			return v, nil
		}
		return v, ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return v, err
	}
	found := line.FindAllStringSubmatch(v.output, -1)
	if len(found) == 0 {
		return v, fmt.Errorf("check says nothing about %s: %v\n%s", test, err, v.output)
	}
	last := found[len(found)-1]
	v.Status, v.Why = last[2], strings.TrimSpace(last[4])
	if s, err := strconv.ParseFloat(strings.TrimSuffix(last[3], "s"), 64); err == nil {
		v.Seconds = s // the test alone, without the start of check
	}
	return v, nil
}

// The literal list of formats that a test supports, and the words with which check
// reports that a format is not among them.
var (
	supported  = regexp.MustCompile(`supported_fmts=\[([^\]]*)\]`)
	unsuitable = "not suitable for this image format: "
)

// suits reports whether the test may support the format, from its source. It saves the
// start of the many tests that support one format only.
func (t *tree) suits(test, format string) bool {
	text, err := os.ReadFile(t.file(test))
	if err != nil {
		return true // check says what is wrong
	}
	list := supported.FindSubmatch(text)
	if list == nil {
		return true
	}
	names := string(list[1])
	return strings.Contains(names, "generic") || strings.Contains(names, "'"+format+"'") || strings.Contains(names, `"`+format+`"`)
}

// file returns the path of a test.
func (t *tree) file(test string) string {
	top := filepath.Join(t.top, "tests/qemu-iotests")
	if file := filepath.Join(top, "tests", test); isPython(file) {
		return file
	}
	return filepath.Join(top, test)
}

// clean removes what tests have left.
func (t *tree) clean() {
	for _, dir := range []string{t.scratch, t.sockets} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}

// tests returns the tests in Python of the tree, sorted.
func (t *tree) tests() ([]string, error) {
	top := filepath.Join(t.top, "tests/qemu-iotests")
	numbered, err := filepath.Glob(filepath.Join(top, "[0-9][0-9][0-9]"))
	if err != nil {
		return nil, err
	}
	named, err := filepath.Glob(filepath.Join(top, "tests", "*"))
	if err != nil {
		return nil, err
	}
	var tests []string
	for _, file := range append(numbered, named...) {
		if strings.HasSuffix(file, ".out") || !isPython(file) {
			continue
		}
		tests = append(tests, filepath.Base(file))
	}
	slices.Sort(tests)
	return tests, nil
}

// isPython reports whether the file is a program in Python.
func isPython(file string) bool {
	text, err := os.ReadFile(file)
	first, _, _ := bytes.Cut(text, []byte("\n"))
	return err == nil && string(first) == "#!/usr/bin/env python3"
}
