package qemutest

import (
	"fmt"
	"os"
	"path/filepath"
)

// OwnTempDir makes a new directory for the temporary files of a test program. It is
// for TestMain. The directory's path is short, because the tests make sockets in it.
// TestMain calls finish when the tests are over. finish removes the directory and
// ends the program with code. If a file is left in the directory, or others is not
// empty, it prints what is left, and the exit code is at least 1.
func OwnTempDir() (finish func(code int, others ...string)) {
	dir, err := os.MkdirTemp("", "t")
	if err == nil {
		err = os.Setenv("TMPDIR", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return func(code int, others ...string) {
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		left = append(left, others...)
		if len(left) > 0 || err != nil {
			fmt.Fprintln(os.Stderr, "the tests left files:", left, err)
			code = max(code, 1)
		}
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}
}
