//go:build linux

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runIn runs the program with a folder of its own for temporary files, and requires that
// nothing is left in the folder. It returns what the program prints.
func runIn(ctx context.Context, t *testing.T, simulate bool) (string, error) {
	t.Helper()
	dir := qemutest.Dir(t)
	t.Setenv("TMPDIR", dir)
	var out strings.Builder
	err := run(ctx, &out, simulate)
	left, globErr := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) > 0 || globErr != nil {
		t.Errorf("the program left %v, %v", left, globErr)
	}
	return out.String(), err
}

func wantLines(t *testing.T, out string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(out, line+"\n") {
			t.Errorf("it does not print %q, but\n%s", line, out)
		}
	}
}

func TestSimulated(t *testing.T) {
	out, err := runIn(t.Context(), t, true)
	if err != nil {
		t.Error(err)
	}
	wantLines(t, out, "The daemon is a simulated one.", "  Left out: a simulated daemon has no data.", "  over-nbd exports node disk by nbd")
}

func TestWithoutPrograms(t *testing.T) {
	t.Setenv("PATH", "")
	out, err := runIn(t.Context(), t, false)
	if err != nil {
		t.Error(err)
	}
	wantLines(t, out, "The daemon is a simulated one.")
}

// Every step, with QEMU's programs.
func TestReal_QEMU(t *testing.T) {
	for _, program := range []string{qemutest.StorageDaemon, qemutest.QEMU, qemutest.Img} {
		qemutest.Find(t, program)
	}
	out, err := runIn(t.Context(), t, false)
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(out) {
		if why, ok := strings.CutPrefix(line, "  Left out: "); ok {
			qemutest.Lacks(t, "a step was left out: %s", why)
		}
	}
	wantLines(t, out,
		"  backup: 65536 of 65536 KiB",
		"  backup: 64 of 64 KiB", // only what has changed
		"  Images are identical.",
		"  stream: 65536 of 65536 KiB",
		"  the file has 64 MiB; what the machine wrote is there: true",
		"  over-nbd exports node moved by nbd")
	if n := strings.Count(out, "  the guest has copied its boot sector to the next one\n"); n != 2 {
		t.Errorf("%d machines have booted from the disk, want 2", n)
	}
}

// The daemon alone is enough for the steps that need no other program.
func TestOnlyTheDaemon_QEMU(t *testing.T) {
	daemon := qemutest.Find(t, qemutest.StorageDaemon)
	bin := t.TempDir()
	script := "#!/bin/sh\nPATH='" + os.Getenv("PATH") + "' exec '" + daemon + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, qemutest.StorageDaemon), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	t.Setenv("QMP_TEST_QEMU", "")
	out, err := runIn(t.Context(), t, false)
	if err != nil {
		t.Error(err)
	}
	wantLines(t, out, `  Left out: exec: "qemu-img": executable file not found in $PATH.`, "  over-nbd exports node moved by nbd")
}

// Ctrl-C ends the program while it waits for a daemon that never answers.
func TestInterrupted(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, qemutest.StorageDaemon), []byte("#!/bin/sh\nexec sleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := runIn(ctx, t, false); err == nil || err.Error() != "interrupted" {
		t.Errorf("error %v, want one that says interrupted", err)
	}
}
