package iotests_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"

	"github.com/goqmp/qmp/compat/iotests"
)

// suddenEnd is the environment variable that makes this test program play one that
// has a test, and comes to a sudden end: by "panic", or by "kill", of which
// somebody else takes care.
const suddenEnd = "IOTESTS_SUDDEN_END"

// playSuddenEnd does not return, unless the test in it fails.
func playSuddenEnd(mode string) {
	err := iotests.RunProgram(context.Background(), os.Stderr, "sudden end", func(tb iotests.TB) {
		it := iotests.New(tb, &iotests.Options{Format: "raw"})
		it.ImgCreate(it.Path("a"), "1M")
		it.ImgCreate(it.Path("b"), "1M")
		vm := it.VM(nil).AddDrive(it.Path("a")).Launch()
		it.NBDServe(it.Path("b"))
		fmt.Println(vm.Machine.Pid(), it.Dir)
		if mode == "panic" {
			go panic("on purpose") // where no cleanup runs
		}
		select {}
	})
	fmt.Fprintln(os.Stderr, err)
	os.Exit(3)
}

// However a test program ends, nothing of its tests is left, as when a test panics
// while others run beside it, or at go test's -timeout.
func TestSuddenEnd(t *testing.T) {
	t.Parallel()
	iotests.New(t, nil)
	if runtime.GOOS == "windows" {
		qemutest.Lacks(t, "nobody cleans up there")
	}
	for _, mode := range []string{"panic", "kill"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), suddenEnd+"="+mode)
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if mode != "panic" {
				_ = cmd.Process.Kill()
			}
			_ = cmd.Wait()
			var pid int
			var dir string
			if _, scanErr := fmt.Sscan(line, &pid, &dir); err != nil || scanErr != nil {
				t.Fatalf("%q: %v", line, errors.Join(err, scanErr))
			}
			for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
				_, err := os.Stat(dir)
				if errors.Is(err, os.ErrNotExist) && !running(pid) {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("after a minute: the directory: %v, the process runs: %v", err, running(pid))
				}
			}
		})
	}
}
