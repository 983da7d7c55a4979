package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// shell is the path of the program, which TestMain builds once.
var shell string

func TestMain(m *testing.M) {
	finish := qemutest.OwnTempDir()
	dir, err := os.MkdirTemp("", "bin")
	if err == nil {
		shell = filepath.Join(dir, "qmp-shell")
		build := exec.Command("go", "build", "-o", shell, ".")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot build the program:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	finish(code)
}

// A result is what a run of the program has left.
type result struct {
	stdout, stderr string
	status         int
}

// run runs the program with args and an empty standard input.
func run(t *testing.T, args ...string) result {
	t.Helper()
	return start(t, exec.CommandContext(qemutest.Context(t), shell, args...))
}

// start runs cmd and waits for its end.
func start(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() < 0) {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, &stderr)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func TestCommand(t *testing.T) {
	vm := qmptest.Start(t, nil)
	for _, tt := range []struct {
		name           string
		args           []string
		status         int
		stdout, stderr string // stderr is a part
	}{
		{"one", []string{"-c", `{"execute": "query-name"}`, vm.Addr()}, 0, "{}\n", ""},
		{"two", []string{"-c", `{"execute": "query-name"}`, vm.Addr(), "-c", `{"execute": "stop"}`}, 0, "{}\n{}\n", ""},
		{"refused", []string{"-c", `{"execute": "nonsense"}`, vm.Addr()}, 1, "", "nonsense"},
		{"option", []string{"--nonsense", vm.Addr()}, 2, "", "unknown flag --nonsense"},
		{"address", []string{"-c", `{"execute": "stop"}`, "localhost"}, 2, "", "localhost"},
		{"connection", []string{"-c", `{"execute": "stop"}`, filepath.Join(qemutest.Dir(t), "none")}, 3, "", "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, tt.args...)
			if r.status != tt.status || r.stdout != tt.stdout || !strings.Contains(r.stderr, tt.stderr) {
				t.Errorf("%v: %+v, want status %d, output %q, and errors with %q", tt.args, r, tt.status, tt.stdout, tt.stderr)
			}
		})
	}
}
