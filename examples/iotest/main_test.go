package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runIn runs the program with a directory of its own for temporary files, and requires
// that nothing is left in the directory.
func runIn(ctx context.Context, t *testing.T, size int64) (string, error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "e") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	t.Setenv("TMPDIR", dir)
	var out strings.Builder
	runErr := run(ctx, &out, size)
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) > 0 || err != nil {
		t.Errorf("the program left %v, %v", left, err)
	}
	return out.String(), runErr
}

func TestRun(t *testing.T) {
	needQEMU(t)
	text, err := runIn(t.Context(), t, 16)
	if err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	for _, wanted := range []string{"100%", "16 of 16 MiB", "ready", "The test has passed.", "byte for byte"} {
		if !strings.Contains(text, wanted) {
			t.Errorf("no %q in:\n%s", wanted, text)
		}
	}
}

func TestWithoutQEMU(t *testing.T) {
	t.Setenv("PATH", "")
	for _, name := range []string{"QEMU_PROG", "QMP_TEST_QEMU", "QEMU_IMG_PROG"} {
		t.Setenv(name, "")
	}
	_, err := runIn(t.Context(), t, 1)
	if err == nil {
		t.Fatal("no error")
	}
	for _, wanted := range []string{"qemu-system-x86_64 is not installed", "qemu-system-x86)", "qemu-img is not installed", "qemu-utils)"} {
		if !strings.Contains(err.Error(), wanted) {
			t.Errorf("no %q in: %v", wanted, err)
		}
	}
}

// Ctrl-C ends the program while it writes the disk or runs the machine.
func TestInterrupted(t *testing.T) {
	needQEMU(t)
	for _, after := range []time.Duration{0, 100 * time.Millisecond, 400 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			defer time.AfterFunc(after, cancel).Stop()
			text, err := runIn(ctx, t, 256)
			// On a fast computer the program may end before that.
			if err != nil && err.Error() != "interrupted" {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

func TestBadSize(t *testing.T) {
	if err := run(t.Context(), &strings.Builder{}, 0); err == nil {
		t.Error("no error for a disk of 0 MiB")
	}
}
