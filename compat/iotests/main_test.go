package iotests_test

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

// TestMain gives the tests their own directory for temporary files. At the end it fails
// if a file, a socket, a process or a goroutine is left.
func TestMain(m *testing.M) {
	flag.Parse()
	if mode := os.Getenv(suddenEnd); mode != "" {
		playSuddenEnd(mode)
	}
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked {
		// The tests mostly wait for processes and disks, so more of them can run at the
		// same time than there are processors.
		_ = flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0)))
	}
	finish := qemutest.OwnTempDir()
	// Many tests here are about tests that fail.
	output := filepath.Join(os.TempDir(), "output")
	if err := os.Setenv("OUTPUT_DIR", output); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		var left []string
		if err := os.RemoveAll(output); err != nil {
			left = append(left, err.Error())
		}
		for _, process := range children() {
			left = append(left, "process "+process)
		}
		finish(code, left...)
	}))
}
