package main

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The program does everything with a real QEMU, and leaves nothing.
func TestReal_QEMU(t *testing.T) {
	qemutest.Find(t, qemutest.QEMU)
	dir := qemutest.Dir(t)
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithTimeout(t.Context(), qemutest.Patience)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out); err != nil {
		t.Error(err)
	}
	for _, line := range []string{
		"backup: 100%,",
		"data has a backup, 16 MiB\nsystem has a backup, 16 MiB\n",
		"system and elsewhere are the same\nthe machine uses elsewhere\n",
		"migration: completed, 0 of 64 MiB left\n",
		"the machine is running at the destination\n",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("it does not print %q, but\n%s", line, out.String())
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 || err != nil {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestWithoutQEMU(t *testing.T) {
	t.Setenv("PATH", "")
	t.Setenv("QMP_TEST_QEMU", "")
	if err := run(t.Context(), nil); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("run: %v", err)
	}
}

func TestInterrupted(t *testing.T) {
	qemutest.Find(t, qemutest.QEMU)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("run: %v", err)
	}
}
