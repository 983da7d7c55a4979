package iotests_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

// TestMain gives the tests a directory for temporary files of their own, and
// requires that nothing is left at the end: no file, no socket, no process, no
// goroutine.
func TestMain(m *testing.M) {
	flag.Parse()
	if mode := os.Getenv(suddenEnd); mode != "" {
		playSuddenEnd(mode)
	}
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked {
		// They wait for processes and disks much more than they compute.
		_ = flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0)))
	}
	// A short one, since there will be sockets in it.
	dir, err := os.MkdirTemp("", "i")
	if err == nil {
		err = os.Setenv("TMPDIR", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		for _, process := range children() {
			left = append(left, "process "+process)
		}
		if len(left) > 0 || err != nil {
			fmt.Fprintln(os.Stderr, "the tests have left:", left, err)
			code = max(code, 1)
		}
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}
