package qemutest

import (
	"fmt"
	"os"
	"path/filepath"
)

// OwnTempDir gives a test program a directory for temporary files of its own, for
// its TestMain. Its path is short, since there will be sockets in it. finish, to
// be called when the tests are over, removes it and ends the program with code, or
// with 1 if something is left in it or among others, and says what.
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
			fmt.Fprintln(os.Stderr, "the tests have left:", left, err)
			code = max(code, 1)
		}
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}
}
