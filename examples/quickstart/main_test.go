//go:build unix

package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runIn runs the program with a folder of its own for temporary files, and requires
// that nothing is left in the folder.
func runIn(ctx context.Context, t *testing.T, simulate bool) error {
	t.Helper()
	dir := qemutest.Dir(t)
	t.Setenv("TMPDIR", dir)
	err := run(ctx, simulate)
	left, globErr := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) > 0 || globErr != nil {
		t.Errorf("the program left %v, %v", left, globErr)
	}
	return err
}

func TestSimulated(t *testing.T) {
	if err := runIn(t.Context(), t, true); err != nil {
		t.Error(err)
	}
}

func TestWithoutQEMU(t *testing.T) {
	t.Setenv("QMP_TEST_QEMU", "")
	t.Setenv("PATH", "")
	if err := runIn(t.Context(), t, false); err != nil {
		t.Error(err)
	}
}

func TestReal_QEMU(t *testing.T) {
	qemutest.Find(t, qemutest.QEMU)
	if err := runIn(t.Context(), t, false); err != nil {
		t.Error(err)
	}
}

// Ctrl-C ends the program while it waits for a QEMU that never answers.
func TestInterrupted(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\nexec sleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("QMP_TEST_QEMU", binary)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := runIn(ctx, t, false); err == nil || err.Error() != "interrupted" {
		t.Errorf("error %v, want one that says interrupted", err)
	}
}
