package iotests

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// ioSilent finds a read or write without output, so that IO does not take it for one that
// worked.
func TestIOSilent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		command, output string
		want            bool
	}{
		{"read 0 512", "", true},
		{"write -P 5 0 512", "\n", true},
		{"readv -v 0 512", "", true},
		{"read 0 512", "read 512/512 bytes at offset 0\n", false},
		{"read -q 0 512", "", false},
		{"read -Pq 0 512", "", false},
		{"flush", "", false},
		{"aio_write 0 512", "", false},
		{"", "", false},
	} {
		if got := ioSilent(tt.command, tt.output); got != tt.want {
			t.Errorf("command %q with output %q: %v", tt.command, tt.output, got)
		}
	}
}

// A job that was aborted has failed, also if it is gone before QEMU can be asked why.
func TestAbortedWithoutACause(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		result JobResult
		want   string
	}{
		"aborted":          {JobResult{States: []string{"running", "aborting", "concluded"}}, "it was aborted"},
		"aborted with why": {JobResult{States: []string{"aborting"}, Error: "why"}, "why"},
		"canceled":         {JobResult{States: []string{"aborting"}, Canceled: true}, ""},
		"completed":        {JobResult{States: []string{"pending"}}, ""},
	} {
		text := failureOf(func(tb TB) {
			r := &jobRun{vm: &VM{it: &Test{TB: tb}}, watch: &jobWatch{}, opts: &RunJobOptions{}, result: &tt.result}
			r.enter("null")
		})
		if text != "" || !strings.HasPrefix(tt.result.Error, tt.want) || tt.want == "" && tt.result.Error != "" {
			t.Errorf("%s: %q %s", name, tt.result.Error, text)
		}
	}
}

// If QEMU does not list its drivers, RequireDrivers fails the test, and does not skip it.
func TestRequireDriversOfABrokenQEMU(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	New(t, nil) // skips the test with -short
	broken := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho broken >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("QEMU_PROG", broken)
	var out strings.Builder
	err := RunProgram(t.Context(), &out, "test", func(tb TB) { New(tb, nil).RequireDrivers("raw") })
	var skipped *SkippedError
	if err == nil || errors.As(err, &skipped) || !strings.Contains(out.String(), "QEMU does not list its block drivers") {
		t.Errorf("%v: %s", err, out.String())
	}
}
