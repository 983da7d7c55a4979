package machine_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"

	"github.com/goqmp/qmp/compat/machine"
)

// playParent plays a program that has a machine and ends suddenly.
func playParent(args []string) {
	exe, err := os.Executable()
	check(err)
	opts := &machine.Options{Env: []string{fakeMode + "=qmp"}}
	if args[0] == "wrapper" {
		opts.Wrapper = []string{exe}
		opts.Env = []string{fakeMode + "=wrapper"}
	}
	m := machine.New(exe, opts)
	check(m.Launch(context.Background()))
	dir, err := m.Dir()
	check(err)
	fmt.Println(m.Pid(), dir)
	if args[0] == "panic" {
		panic("on purpose")
	}
	select {} // to be killed
}

// However the program ends that has a machine, nothing of the machine is left.
func TestSuddenEndOfThisProgram(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		qemutest.Unsupported(t, "there is no keeper on this system")
	}
	for _, mode := range []string{"panic", "kill", "wrapper"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			exe, err := os.Executable()
			must(t, err)
			cmd := exec.Command(exe, mode)
			cmd.Env = append(os.Environ(), fakeMode+"=parent")
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			line, err := bufio.NewReader(out).ReadString('\n')
			must(t, err)
			var pid int
			var dir string
			_, err = fmt.Sscan(line, &pid, &dir)
			must(t, err)
			pids := []int{pid}
			for _, kid := range children(pid) {
				var pid int
				_, err := fmt.Sscan(kid, &pid)
				must(t, err)
				pids = append(pids, pid)
			}
			if want := map[string]int{"wrapper": 2}[mode]; runtime.GOOS == "linux" && len(pids) < want {
				t.Errorf("processes %v", pids)
			}
			if mode != "panic" {
				must(t, cmd.Process.Kill())
			}
			_ = cmd.Wait()
			eventually(t, "the directory has gone", func() bool {
				_, err := os.Stat(dir)
				return os.IsNotExist(err)
			})
			if runtime.GOOS != "linux" {
				return // the test cannot see which processes run
			}
			for _, pid := range pids {
				eventually(t, "the process has gone", func() bool { return gone(pid) })
			}
			eventually(t, "the keeper has gone", func() bool { return !anyCommandLineHas(dir) })
		})
	}
}

// anyCommandLineHas reports whether a process was started with word.
func anyCommandLineHas(word string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil && strings.Contains(string(b), word) {
			return true
		}
	}
	return false
}
