package iotests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/internal/secrets"
)

// A program is one of QEMU's programs.
type program struct {
	name      string
	variables []string // environment variables that may name another path; the first that is set wins
	debian    string   // the Debian package that has it
}

var (
	qemuProgram = program{"qemu-system-x86_64", []string{"QEMU_PROG", "QMP_TEST_QEMU"}, "qemu-system-x86"}
	imgProgram  = program{"qemu-img", []string{"QEMU_IMG_PROG"}, "qemu-utils"}
	ioProgram   = program{"qemu-io", []string{"QEMU_IO_PROG"}, "qemu-utils"}
	nbdProgram  = program{"qemu-nbd", []string{"QEMU_NBD_PROG"}, "qemu-utils"}
	qsdProgram  = program{"qemu-storage-daemon", []string{"QSD_PROG"}, "qemu-system-common"}
)

// A MissingProgramError says that a program is not installed, or that a variable
// names one that is not there.
type MissingProgramError struct {
	Program  string // such as "qemu-img"
	Variable string // the environment variable that names it; "" if none does
	Package  string // the Debian package that has it
	Err      error  // why the program cannot be used
}

// Error says what is missing, and where to get it.
func (e *MissingProgramError) Error() string {
	if e.Variable != "" {
		return fmt.Sprintf("the variable %s does not name a program: %v", e.Variable, e.Err)
	}
	return fmt.Sprintf("%s is not installed: %v (Debian and Ubuntu have it in %s)", e.Program, e.Err, e.Package)
}

// Unwrap returns Err.
func (e *MissingProgramError) Unwrap() error { return e.Err }

// FindProgram returns the absolute path of one of QEMU's programs, such as "qemu-img".
// It looks in $PATH. As in iotests, the environment variables QEMU_PROG, QEMU_IMG_PROG,
// QEMU_IO_PROG, QEMU_NBD_PROG and QSD_PROG may name another path. The error is a
// [*MissingProgramError]. Any goroutine may call FindProgram.
func FindProgram(name string) (string, error) {
	for _, p := range []program{qemuProgram, imgProgram, ioProgram, nbdProgram, qsdProgram} {
		if p.name == name {
			return p.find()
		}
	}
	return program{name: name, debian: "no package that this harness knows"}.find()
}

func (p program) find() (string, error) {
	name, variable := p.name, ""
	for _, v := range p.variables {
		if named := os.Getenv(v); named != "" {
			name, variable = named, v
			break
		}
	}
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path) // the harness starts programs in other directories
	}
	if err != nil {
		return "", &MissingProgramError{Program: p.name, Variable: variable, Package: p.debian, Err: err}
	}
	return path, nil
}

// find returns the path of a program. If the program is missing, the test is skipped.
// In three cases it fails instead: the variable CI is set, so that a build server
// cannot pass by testing nothing; an environment variable names a program that is not
// there; or the test runs outside of go test.
func (it *Test) find(p program) string {
	it.Helper()
	path, err := p.find()
	var missing *MissingProgramError
	switch {
	case err == nil:
		return path
	case errors.As(err, &missing) && missing.Variable == "" && os.Getenv("CI") == "" && testing.Testing():
		it.Skipf("%v", err)
	default:
		it.Fatalf("%v", err)
	}
	return ""
}

// A Result says how a tool ended.
type Result struct {
	Command  []string // the whole command line
	Output   string   // what it wrote to stdout and stderr
	ExitCode int

	stdout  string // from runSplit, what it wrote to stdout; from run, the same as Output
	failure string // why the run itself went wrong, or "": see checkRun
}

// OK reports whether the tool ended with exit code 0.
func (r Result) OK() bool { return r.ExitCode == 0 }

// String returns the command, its exit code and its output.
func (r Result) String() string {
	return fmt.Sprintf("%s: exit code %d: %s", harmless.Line(strings.Join(secrets.Args(r.Command), " ")), r.ExitCode, harmless.Text(secrets.Output(strings.TrimSpace(r.Output), r.Command)))
}

// run runs a program until it ends, and returns how it ended. The test fails only if the
// program cannot be started, ends by a signal, or does not end within the time limit.
func (it *Test) run(p program, args ...string) Result {
	it.Helper()
	output := it.outputFile()
	defer dropFile(output)
	// As stdout and stderr are one file, the output stays in its order.
	result := it.runTo(p, output, output, args)
	result.Output = it.outputOf(output)
	result.stdout = result.Output
	return it.checkRun(result)
}

// runSplit is run, and keeps stdout apart from stderr, for output that is parsed.
func (it *Test) runSplit(p program, args ...string) Result {
	it.Helper()
	stdout, stderr := it.outputFile(), it.outputFile()
	defer dropFile(stdout)
	defer dropFile(stderr)
	result := it.runTo(p, stdout, stderr, args)
	result.stdout = it.outputOf(stdout)
	result.Output = it.outputOf(stderr) + result.stdout
	return it.checkRun(result)
}

// runTo runs a program whose output goes to files. With a pipe, the end of the run would
// have to wait for every child of the program that still has the pipe open, or to stop
// reading after some time, although output may be left.
func (it *Test) runTo(p program, stdout, stderr *os.File, args []string) Result {
	it.Helper()
	ctx, cancel := it.withTimeout()
	defer cancel()
	cmd := exec.CommandContext(ctx, it.find(p), args...)
	cmd.Dir = it.Dir
	// Tests compare messages, so these have to be in English.
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = stdout, stderr
	it.note(quote(cmd.Args))
	err := cmd.Run()
	result := Result{Command: cmd.Args, ExitCode: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		result.failure = p.name + " was killed: " + context.Cause(ctx).Error()
	case err != nil && (!errors.As(err, &exit) || result.ExitCode < 0):
		result.failure = p.name + ": " + err.Error()
	}
	return result
}

// checkRun fails the test if the run itself went wrong. It returns r.
func (it *Test) checkRun(r Result) Result {
	it.Helper()
	if r.failure != "" {
		it.fail(r.failure, "command", quote(r.Command), "output", secrets.Output(r.Output, r.Command))
	}
	return r
}

// outputFile returns an empty temporary file for a program's output. dropFile drops it.
func (it *Test) outputFile() *os.File {
	it.Helper()
	f, err := os.CreateTemp("", "iotests-output-")
	if err != nil {
		it.fail("make a file for a program's output: " + err.Error())
	}
	_ = os.Remove(f.Name()) // so that nothing is left, even if the test program is killed
	return f
}

// dropFile closes f, and removes it where an open file cannot be removed (on Windows).
func dropFile(f *os.File) {
	_ = f.Close()
	_ = os.Remove(f.Name())
}

// outputOf returns what a program has written to f.
func (it *Test) outputOf(f *os.File) string {
	it.Helper()
	// Reading does not move the offset at which a child that is left would write.
	text, err := io.ReadAll(io.NewSectionReader(f, 0, math.MaxInt64))
	if err != nil {
		it.fail("read a program's output: " + err.Error())
	}
	return string(text)
}

// mustRun is run, and fails the test unless the exit code is 0.
func (it *Test) mustRun(p program, args ...string) Result {
	it.Helper()
	result := it.run(p, args...)
	it.mustBeOK(p, result)
	return result
}

func (it *Test) mustBeOK(p program, result Result) {
	it.Helper()
	if !result.OK() {
		it.fail(fmt.Sprintf("%s: exit code %d", p.name, result.ExitCode), "command", quote(result.Command), "output", secrets.Output(result.Output, result.Command))
	}
}

// daemon starts a program that has no monitor, and serves until it is told to end. When
// the test ends, the machine ends the process and removes what it has left.
func (it *Test) daemon(p program, args ...string) *machine.Machine {
	it.Helper()
	m := machine.ForTest(it.TB, it.find(p), &machine.Options{
		Args: args, StorageDaemon: true, Monitor: machine.MonitorNone, TempDir: it.sockDir, Dir: it.Dir,
	})
	ctx, cancel := it.withTimeout()
	defer cancel()
	if err := m.Launch(ctx); err != nil {
		it.fail(err.Error())
	}
	return m
}

// awaitFile waits until a process has written a file. Nothing announces that, so
// awaitFile looks every 5 ms. If the process ends first, or the time limit passes, the
// test fails.
func (it *Test) awaitFile(m *machine.Machine, path string) {
	it.Helper()
	ctx, cancel := it.withTimeout()
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return
		}
		if status, ended := m.ExitStatus(); ended {
			it.fail(fmt.Sprintf("%s ended with %v", m.Name(), status), "command", quote(m.CommandLine()), "output", secrets.Output(m.Log(), m.CommandLine()))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			it.fail(fmt.Sprintf("%s is not ready: %v", m.Name(), context.Cause(ctx)), "command", quote(m.CommandLine()), "output", secrets.Output(m.Log(), m.CommandLine()))
		}
	}
}

// quote returns a command line with the quotes that a shell needs.
func quote(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range secrets.Args(args) {
		quoted[i] = arg
		if arg == "" || strings.ContainsAny(arg, " \t\n\"'\\$`{}()[]*?&;|<>#~") {
			quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
