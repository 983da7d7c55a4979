package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wantStops runs the program, and requires each machine to be stopped in the end, however
// often it was killed. Nothing may be left.
func wantStops(t *testing.T, n, kills int, simulate bool) {
	t.Helper()
	dir := qemutest.Dir(t)
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithTimeout(t.Context(), qemutest.Patience)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out, n, kills, simulate); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 || err != nil {
		t.Errorf("the program left %v, %v", left, err)
	}
	lost := strings.Count(out.String(), ": the connection has ended: ")
	if stops := strings.Count(out.String(), ": STOP, over its connection "); stops != n || lost == 0 || lost > kills {
		t.Errorf("%d machines were stopped, want %d; %d losses were told, of %d machines that were killed:\n%s", stops, n, lost, kills, out.String())
	}
}

func TestSimulated(t *testing.T) { wantStops(t, 20, 40, true) }

func TestWithoutQEMU(t *testing.T) {
	t.Setenv("QMP_TEST_QEMU", "")
	t.Setenv("PATH", "")
	wantStops(t, 2, 2, false)
}

func TestReal_QEMU(t *testing.T) {
	qemutest.Find(t, qemutest.QEMU)
	wantStops(t, 5, 5, false)
}

// Ctrl-C ends the program, also while a machine does not come back.
func TestInterrupted(t *testing.T) {
	t.Setenv("TMPDIR", qemutest.Dir(t))
	ctx, cancel := context.WithCancel(t.Context())
	stop := &stopper{cancel: cancel}
	if err := run(ctx, stop, 3, 1000, true); err == nil || err.Error() != "interrupted" {
		t.Errorf("error %v, want one that says interrupted", err)
	}
}

// A stopper cancels the program when that prints a line.
type stopper struct{ cancel context.CancelFunc }

func (s *stopper) Write(b []byte) (int, error) {
	s.cancel()
	return len(b), nil
}

// A machine that cannot be started ends the program with an error, and nothing is left.
func TestCannotStart(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(binary, []byte("not a program"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("QMP_TEST_QEMU", binary)
	dir := qemutest.Dir(t)
	t.Setenv("TMPDIR", dir)
	if err := run(t.Context(), nil, 3, 1, false); err == nil || !strings.Contains(err.Error(), "exec format error") {
		t.Errorf("error %v, want that of the start", err)
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("the program left %v, %v", left, err)
	}
}
