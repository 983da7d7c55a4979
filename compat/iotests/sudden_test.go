package iotests_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"

	"github.com/goqmp/qmp/compat/iotests"
)

// suddenEnd is an environment variable. If it is set, this test program runs one test and
// does not run its cleanups. With "panic" it ends itself by a panic. With "kill" it waits
// until its parent kills it.
const suddenEnd = "IOTESTS_SUDDEN_END"

// playSuddenEnd prints the machine's pid and the test's directory, and then ends as mode
// says. It never returns.
func playSuddenEnd(mode string) {
	err := iotests.RunProgram(context.Background(), os.Stderr, "sudden end", func(tb iotests.TB) {
		it := iotests.New(tb, &iotests.Options{Format: "raw"})
		it.ImgCreate(it.Path("a"), "1M")
		it.ImgCreate(it.Path("b"), "1M")
		vm := it.VM(nil).AddDrive(it.Path("a")).Launch()
		it.NBDServe(it.Path("b"))
		for written := false; !written; time.Sleep(2 * time.Millisecond) { // so that the parent finds it
			found, _ := filepath.Glob(filepath.Join(os.Getenv("OUTPUT_DIR"), "*", "vm1.qmp.jsonl"))
			for _, path := range found {
				b, _ := os.ReadFile(path)
				written = bytes.Contains(b, []byte(`"QMP"`))
			}
		}
		fmt.Println(vm.Machine.Pid(), it.Dir)
		if mode == "panic" {
			go panic("on purpose") // a panic in another goroutine runs no cleanup
		}
		select {}
	})
	fmt.Fprintln(os.Stderr, err)
	os.Exit(3)
}

// If a test program panics or is killed, nothing of its tests is left, except the
// recordings if they have a directory. go test's -timeout ends it by a panic, too.
func TestSuddenEnd(t *testing.T) {
	t.Parallel()
	iotests.New(t, nil)
	if runtime.GOOS == "windows" {
		qemutest.Unsupported(t, "on Windows nothing cleans up after a test program that was killed")
	}
	for _, mode := range []string{"panic", "kill"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(exe)
			output := t.TempDir()
			cmd.Env = append(os.Environ(), suddenEnd+"="+mode, "OUTPUT_DIR="+output)
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
					t.Fatalf("after a minute: stat of the directory: %v; the process runs: %v", err, running(pid))
				}
			}
			// The recording is left, as far as it was written.
			if rec := kept(t, output)["vm1.qmp.jsonl"]; !strings.Contains(rec, `"QMP"`) {
				t.Errorf("the recording is %q", rec)
			}
		})
	}
}
