package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/testing/guest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runIn runs the program with a folder of its own for temporary files. It requires that
// the program prints these lines, and that nothing is left in the folder.
func runIn(t *testing.T, simulate bool, lines ...string) {
	t.Helper()
	dir := qemutest.Dir(t)
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithTimeout(t.Context(), guest.Patience)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out, "", simulate); err != nil {
		t.Error(err)
	}
	for _, line := range append(lines, "tr prints: HELLO FROM THE HOST\n", "cat fails: exit status 1: ", "The file systems are frozen: take the snapshot now.\nThe guest shuts down.\n") {
		if !strings.Contains(out.String(), line) {
			t.Errorf("it does not print %q, but\n%s", line, out.String())
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 || err != nil {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestReal_QEMU(t *testing.T) {
	qemutest.Find(t, qemutest.QEMU)
	guest.Args(t, guest.Options{}) // skips the test if there is no guest
	runIn(t, false, "The guest: Linux in QEMU\n", "The program answers: hello Ada\nThe program answers: hello Grace\n",
		"Copied 130000 bytes in and out; the checksums are the same: true\n", "/mnt has - file\n")
}

func TestSimulated(t *testing.T) {
	runIn(t, true, "The guest: simulated\n", "It does not offer guest-get-users.\n")
}

func TestWithoutGuest(t *testing.T) {
	t.Setenv("QMP_TEST_CACHE", t.TempDir())
	runIn(t, false, "The guest: simulated\n")
}

// With an address the program asks the agent there.
func TestAddress(t *testing.T) {
	vm, err := simulated()
	if err != nil {
		t.Fatal(err)
	}
	defer vm.stop()
	var out strings.Builder
	if err := run(t.Context(), &out, vm.agent, false); err != nil || !strings.Contains(out.String(), "Its kernel: simulated\n") {
		t.Errorf("%v, %q", err, out.String())
	}
	if err := run(t.Context(), &out, "/nonexistent/qga", false); err == nil {
		t.Error("no socket: no error")
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, &strings.Builder{}, "", true); err == nil {
		t.Error("no error")
	}
}
