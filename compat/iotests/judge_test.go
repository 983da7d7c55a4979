package iotests

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/internal/testing/qemutest"
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
	status := func(status string) Dict {
		return Dict{"event": "JOB_STATUS_CHANGE", "data": Dict{"id": "job0", "status": status}}
	}
	block := func(name string, more Dict) Dict {
		data := Dict{"device": "job0", "type": "backup", "len": 1, "offset": 0, "speed": 0}
		maps.Copy(data, more)
		return Dict{"event": name, "data": data}
	}
	for name, tt := range map[string]struct {
		events   []Dict
		want     string
		canceled bool
	}{
		"aborted":          {[]Dict{status("running"), status("aborting"), status("concluded")}, "it was aborted", false},
		"aborted with why": {[]Dict{status("aborting"), block("BLOCK_JOB_COMPLETED", Dict{"error": "why"})}, "why", false},
		"canceled":         {[]Dict{status("aborting"), block("BLOCK_JOB_CANCELLED", nil)}, "", true},
		"completed":        {[]Dict{status("pending"), status("concluded")}, "", false},
	} {
		r := &jobRun{watch: &jobWatch{known: jobs.NewTracker("job0")}}
		for _, event := range append(tt.events, status("null")) {
			r.watch.take(event)
		}
		result := r.result()
		if !strings.HasPrefix(result.Error, tt.want) || tt.want == "" && result.Error != "" || result.Canceled != tt.canceled {
			t.Errorf("%s: %+v", name, result)
		}
	}
}

// If QEMU does not list its drivers, RequireDrivers fails the test, and does not skip it.
func TestRequireDriversOfABrokenQEMU(t *testing.T) {
	if runtime.GOOS == "windows" {
		qemutest.Unsupported(t, "needs a shell")
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
