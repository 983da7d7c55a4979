package iotests_test

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
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
	finish := qemutest.OwnTempDir()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		var left []string
		for _, process := range children() {
			left = append(left, "process "+process)
		}
		finish(code, left...)
	}))
}
