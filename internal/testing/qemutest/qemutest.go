// Package qemutest starts QEMU's programs for tests that drive a real QEMU.
//
//	vm := qemutest.Machine(t, "-qmp", "unix:qmp,server=on")
//	c, err := async.Dial(ctx, vm.Path("qmp"), &async.Options{Backoff: async.Every(qemutest.DialEvery)})
//
// If a program is missing, the test is skipped. If the environment variable CI is
// set, the test fails instead, so that a build server cannot pass by testing
// nothing. A test of what this operating system does not have is skipped in any case
// ([Unsupported]). With go test -short every such test is skipped.
package qemutest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// The programs that tests drive.
const (
	QEMU          = "qemu-system-x86_64"
	StorageDaemon = "qemu-storage-daemon"
	GuestAgent    = "qemu-ga"
	Img           = "qemu-img"
)

// Patience is how long a test waits for a process to do something. It is many times
// what a busy machine needs; only a hang reaches it.
const Patience = 60 * time.Second

// Context returns a context for one test, with the time limit [Patience].
func Context(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// DialEvery is how long tests wait before they dial a program's socket again. It is
// short because a program listens within milliseconds after its start.
const DialEvery = 5 * time.Millisecond

// Find returns the path of a program. The environment variable QMP_TEST_QEMU names
// the [QEMU] to use; a wrong name fails the test. If the program is missing, or with
// -short, Find skips or fails the test, as the package comment says.
func Find(t testing.TB, program string) string {
	t.Helper()
	if testing.Short() {
		t.Skipf("skipped by -short: needs %s", program)
	}
	path, err := find(program)
	var wrong *wrongProgram
	switch {
	case err == nil:
		return path
	case errors.As(err, &wrong):
		t.Fatalf("%v", err)
	default:
		Lacks(t, "%v ('make qemu' installs what is missing)", err)
	}
	return ""
}

// Lacks skips a test because this machine lacks something that it needs. If CI is
// set, it fails the test.
func Lacks(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("with CI set no test is skipped: "+format, args...)
	}
	t.Skipf(format, args...)
}

// Unsupported skips a test because this operating system cannot do what the test needs,
// whatever is installed. On Linux it is like [Lacks]: there no test may be skipped if CI
// is set. On other systems it skips the test also if CI is set.
func Unsupported(t testing.TB, format string, args ...any) {
	t.Helper()
	unsupported(t, runtime.GOOS, format, args...)
}

func unsupported(t testing.TB, system, format string, args ...any) {
	t.Helper()
	if system == "linux" {
		Lacks(t, format, args...)
	}
	t.Skipf(format, args...)
}

// wrongProgram is the error for a QMP_TEST_QEMU that does not name a program. A skip
// would hide the wrong name.
type wrongProgram struct{ err error }

func (e *wrongProgram) Error() string { return "QMP_TEST_QEMU: " + e.err.Error() }
func (e *wrongProgram) Unwrap() error { return e.err }

// systemFolders have programs for administrators, such as qemu-ga. The PATH of a user
// often does not have these folders.
var systemFolders = []string{"/usr/local/sbin", "/usr/sbin", "/sbin"}

func find(program string) (string, error) {
	if named := os.Getenv("QMP_TEST_QEMU"); named != "" && program == QEMU {
		path, err := lookPath(named)
		if err != nil {
			return "", &wrongProgram{err}
		}
		return path, nil
	}
	path, err := lookPath(program)
	if err == nil {
		return path, nil
	}
	if program == GuestAgent {
		for _, dir := range systemFolders {
			if path, otherErr := exec.LookPath(filepath.Join(dir, program)); otherErr == nil {
				return path, nil
			}
		}
	}
	return "", err
}

// lookPath returns an absolute path, because programs are started in other folders.
func lookPath(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// Dir returns a new directory that only its owner can enter. Its path is short enough
// for a unix socket in it, unlike that of T.TempDir. It is removed when the test
// ends.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "q") // mode 0700
	if err != nil {
		t.Fatalf("a directory for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return dir
}
