package qemutest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// A Command says what [Start] is to start.
type Command struct {
	Program string   // one of the constants above
	Args    []string // may name files in Dir without a path
	Dir     string   // the working directory; "" for a new one
	// Files are inherited as descriptors 3, 4 and so on. They stay the
	// caller's.
	Files []*os.File
}

// A Process is a program that a test has started. Its methods may be called
// concurrently.
type Process struct {
	Dir string // its working directory
	Pid int

	name    string
	process *os.Process
	output  output
	done    chan struct{}    // closed when it has exited and was reaped
	state   *os.ProcessState // set before
	waitErr error            // set before
}

// Machine starts [QEMU] with an empty machine, without a display or anything
// else that args does not ask for.
func Machine(t testing.TB, args ...string) *Process {
	t.Helper()
	return Start(t, Command{
		Program: QEMU,
		Args:    append([]string{"-nodefaults", "-machine", "none", "-display", "none"}, args...),
	})
}

// Start starts a program, or skips or fails the test where it cannot be found
// (see [Find]). When the test ends the program is killed and reaped, and what it
// printed is shown if the test has failed.
func Start(t testing.TB, c Command) *Process {
	t.Helper()
	path := Find(t, c.Program)
	if c.Dir == "" {
		c.Dir = Dir(t)
	}
	p := &Process{Dir: c.Dir, name: c.Program, done: make(chan struct{})}
	cmd := exec.Command(path, c.Args...)
	cmd.Dir = c.Dir
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	cmd.ExtraFiles = c.Files
	cmd.SysProcAttr = dieWithParent()
	// A child of its own that holds on to the output must not hold up the test.
	cmd.WaitDelay = time.Second

	started := make(chan error)
	go p.run(cmd, started)
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", c.Program, err)
	}
	t.Cleanup(func() {
		p.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%v: %v; it printed:\n%s", p, p.state, p.Output())
		}
	})
	return p
}

// run starts the program and reaps it. All of that stays on one thread: what
// dieWithParent asks for is bound to the thread that started the child.
func (p *Process) run(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.process, p.Pid = cmd.Process, cmd.Process.Pid
	started <- nil
	p.waitErr = cmd.Wait()
	p.state = cmd.ProcessState
	close(p.done)
}

func (p *Process) String() string { return fmt.Sprintf("%s[%d]", p.name, p.Pid) }

// Path returns the path of a file in the process's directory.
func (p *Process) Path(name string) string { return filepath.Join(p.Dir, name) }

// Output returns what the process has printed so far.
func (p *Process) Output() string { return p.output.String() }

// Done returns a channel that is closed when the process has exited and was
// reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill kills the process at once; it may have exited already.
func (p *Process) Kill() { _ = p.process.Kill() }

// Wait waits until the process has exited. The error is nil for exit status 0.
func (p *Process) Wait(t testing.TB) error {
	t.Helper()
	late := time.NewTimer(Patience)
	defer late.Stop()
	select {
	case <-p.done:
		return p.waitErr
	case <-late.C:
		t.Fatalf("%v has not exited within %v", p, Patience)
		return errors.New("still running")
	}
}

// output keeps what a process prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
