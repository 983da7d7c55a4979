//go:build unix

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// begin starts the program with a standard input that stays open.
func begin(t *testing.T, args ...string) (cmd *exec.Cmd, stdin io.WriteCloser, stdout *bufio.Reader, stderr *bytes.Buffer) {
	t.Helper()
	cmd = exec.CommandContext(qemutest.Context(t), shell, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr = new(bytes.Buffer)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, in, bufio.NewReader(out), stderr
}

// A signal ends the program: the connection is closed first, and the status tells the
// signal.
func TestSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		vm := qmptest.Start(t, nil)
		// With an open input the program waits for a line, and with an event for that.
		for _, args := range [][]string{{vm.Addr(), "-c", "query-name", "--wait-event", "RESUME"}, {vm.Addr()}} {
			cmd, stdin, stdout, stderr := begin(t, args...)
			if len(args) == 1 {
				io.WriteString(stdin, "query-name\n")
			}
			if line, err := stdout.ReadString('\n'); err != nil || line != "{}\n" {
				t.Fatalf("%q, %v, %s", line, err, stderr)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if status := cmd.ProcessState.ExitCode(); status != 128+int(sig) || stderr.Len() > 0 {
				t.Errorf("%v %v: status %d, %s", sig, args, status, stderr)
			}
		}
		// The machine serves the next client: the program has hung up.
		if r := run(t, "-c", "query-name", vm.Addr()); r.status != 0 {
			t.Errorf("%+v", r)
		}
	}
}

// However the program ends, the machine that it has started ends, too.
func TestMachineEndsWithTheProgram_QEMU(t *testing.T) {
	qemu := qemutest.Find(t, qemutest.QEMU)
	for name, end := range map[string]func(cmd *exec.Cmd, stdin io.Closer, stdout *bufio.Reader){
		"end of input": func(_ *exec.Cmd, stdin io.Closer, _ *bufio.Reader) { stdin.Close() },
		"SIGINT":       func(cmd *exec.Cmd, _ io.Closer, _ *bufio.Reader) { cmd.Process.Signal(os.Interrupt) },
		"SIGTERM":      func(cmd *exec.Cmd, _ io.Closer, _ *bufio.Reader) { cmd.Process.Signal(syscall.SIGTERM) },
		"SIGKILL":      func(cmd *exec.Cmd, _ io.Closer, _ *bufio.Reader) { cmd.Process.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			pidfile := filepath.Join(qemutest.Dir(t), "pid")
			cmd, stdin, stdout, stderr := begin(t, "--", qemu, "-M", "none", "-display", "none", "-pidfile", pidfile)
			io.WriteString(stdin, "query-name\n")
			if line, err := stdout.ReadString('\n'); err != nil || line != "{}\n" {
				t.Fatalf("%q, %v, %s", line, err, stderr)
			}
			text, err := os.ReadFile(pidfile)
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			end(cmd, stdin, stdout)
			cmd.Wait()
			for limit := time.Now().Add(qemutest.Patience); syscall.Kill(pid, 0) == nil; time.Sleep(qemutest.DialEvery) {
				if name != "SIGKILL" {
					t.Fatal("the machine runs after the program has ended")
				}
				if time.Now().After(limit) {
					t.Fatal("the machine is left")
				}
			}
		})
	}
}

// A reader that has seen enough ends the program, as it ends cat, and without a message.
func TestPipeClosedEarly(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		qemutest.Lacks(t, "bash is not installed: its PIPESTATUS is needed")
	}
	vm := qmptest.Start(t, nil)
	script := `yes query-qmp-schema | "$0" "$1" | head -c 10; status=${PIPESTATUS[1]}; echo; echo "$status"`
	r := start(t, exec.CommandContext(qemutest.Context(t), "bash", "-c", script, shell, vm.Addr()))
	_, status, _ := strings.Cut(r.stdout, "\n")
	if r.status != 0 || status != "141\n" || r.stderr != "" {
		t.Errorf("%+v", r)
	}
}
