package main

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// story is what the program prints for three machines, whether they are simulated or not.
const story = `vm01 is running
vm02 is running
vm03 is running
Stopped: vm01 vm02 vm03
vm01 SHUTDOWN
vm01 is lost: true
2 machines answer
vm01 does not answer, and leaves the group
vm02 is running again
vm03 is running again
`

func wantStory(t *testing.T, simulate bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), qemutest.Patience)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out, 3, simulate); err != nil {
		t.Error(err)
	}
	if out.String() != story {
		t.Errorf("it prints:\n%s\nwant:\n%s", out.String(), story)
	}
}

func TestSimulated(t *testing.T) { wantStory(t, true) }

func TestWithoutQEMU(t *testing.T) {
	t.Setenv("QMP_TEST_QEMU", "")
	t.Setenv("PATH", "")
	wantStory(t, false)
}

func TestReal_QEMU(t *testing.T) {
	qemutest.Find(t, qemutest.QEMU)
	wantStory(t, false)
}

func TestTooFew(t *testing.T) {
	if err := run(t.Context(), nil, 1, true); err == nil || !strings.Contains(err.Error(), "-n") {
		t.Errorf("error %v, want one that names -n", err)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stop := &stopper{cancel: cancel, at: "Stopped:"}
	if err := run(ctx, stop, 3, true); err == nil || err.Error() != "interrupted" {
		t.Errorf("error %v, want one that says interrupted", err)
	}
	if !slices.Contains(stop.lines, "vm01 is running\n") {
		t.Errorf("it prints %q", stop.lines)
	}
}

// A stopper cancels the program when that prints a line with at.
type stopper struct {
	cancel context.CancelFunc
	at     string
	lines  []string
}

func (s *stopper) Write(b []byte) (int, error) {
	if s.lines = append(s.lines, string(b)); strings.Contains(string(b), s.at) {
		s.cancel()
	}
	return len(b), nil
}
