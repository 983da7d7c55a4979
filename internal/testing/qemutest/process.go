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

// A Command says what [Start] starts.
type Command struct {
	Program string   // such as QEMU
	Args    []string // can name files in Dir without a path
	Dir     string   // the working directory; "" for a new one
	// Files are inherited as descriptors 3, 4 and so on. The caller closes its own
	// files.
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
	done    chan struct{}    // closed after the process has exited and was waited for
	state   *os.ProcessState // set before done is closed
	waitErr error            // set before done is closed
}

// Machine starts [QEMU] with an empty machine. It has no display, and no devices
// except those in args.
func Machine(t testing.TB, args ...string) *Process {
	t.Helper()
	return Start(t, Command{
		Program: QEMU,
		Args:    append([]string{"-nodefaults", "-machine", "none", "-display", "none"}, args...),
	})
}

// Start starts a program. If the program cannot be found, it skips or fails the test
// (see [Find]). When the test ends, Start kills the program and waits for its exit.
// If the test has failed, the test's log has what the program printed.
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
	// Do not wait longer for a child of the program that still has its output open.
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

// run starts the program and waits for its exit. It stays on one thread, because the
// system kills the program when the thread that started it ends (dieWithParent).
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

// String returns the program's name and the process id.
func (p *Process) String() string { return fmt.Sprintf("%s[%d]", p.name, p.Pid) }

// Path returns the path of a file in the process's directory.
func (p *Process) Path(name string) string { return filepath.Join(p.Dir, name) }

// Output returns what the process has printed so far.
func (p *Process) Output() string { return p.output.String() }

// Done returns a channel that is closed after the process has exited and was waited
// for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill kills the process. It does nothing if the process has exited.
func (p *Process) Kill() { _ = p.process.Kill() }

// Wait waits until the process has exited. The error is nil for exit status 0. If the
// process does not exit within [Patience], Wait ends the test.
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

// output records what a process prints.
type output struct {
	mu  sync.Mutex // guards buf
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
