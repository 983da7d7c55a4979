package agent

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/qapi/qga"
)

// A Cmd is a command that the agent executes in the guest. It has the shape of
// [os/exec.Cmd]. [Client.Command] makes one. A Cmd can be used once. Set its fields before
// Start. Its methods are for one goroutine at a time, except Signal and Kill.
type Cmd struct {
	// Path is the program. A name without a slash is looked up in the agent's PATH.
	Path string

	// Args has the arguments, Args[0] included as in os/exec. The agent passes Path as
	// the program's own name: Args[0] is not used.
	Args []string

	// Env has the environment, as NAME=VALUE. If it is nil, the program gets the agent's
	// environment.
	Env []string

	// Dir is the folder in the guest in which the program runs. It needs /bin/sh in the
	// guest. If it is empty, the folder is that of the agent.
	Dir string

	// Stdin is read to its end before the program is started, and passed with the
	// command that starts it: at most [MaxInput] bytes. Nil means no input.
	Stdin io.Reader

	// Stdout and Stderr get the program's output when it has exited. The agent keeps at
	// most 16 MiB of each, see [TruncatedError]. If both are the same writer, they get one
	// stream in the order in which the program wrote it. That needs an agent of QEMU 8.0
	// or later, or a shell in the guest. Nil discards the output.
	Stdout, Stderr io.Writer

	// Stream passes the output on while the program runs, and the input as it comes, both
	// without a limit. Stdin, Stdout and Stderr may be used by several goroutines at the
	// same time then. It needs /bin/sh and a few common programs in the guest, see
	// [StreamError], and room for the whole output in TempDir. The program's exit does not
	// wait for the end of Stdin, and a Read of Stdin that waits may outlast Wait.
	Stream bool

	// TempDir is the folder in the guest for the temporary files of Stream. They are
	// removed when the program has exited or the context ends. If this side cannot do that,
	// the guest does it ten minutes after the program's exit. Empty means /tmp.
	TempDir string

	client   *Client
	ctx      context.Context
	pid      int64
	started  bool
	finished bool
	pipes    []interface{ CloseWithError(error) error } // this side's ends of StdinPipe and so on
	stream   *stream                                    // nil without Stream
}

// MaxInput is how many bytes Cmd.Stdin may have: more do not fit in one command.
const MaxInput = 47 << 20

// Command returns a Cmd that executes the program name with arguments. ctx limits all
// that its methods do. When ctx ends, Wait returns, and the program goes on: see
// [Cmd.Kill].
func (c *Client) Command(ctx context.Context, name string, arg ...string) *Cmd {
	return &Cmd{Path: name, Args: append([]string{name}, arg...), client: c, ctx: ctx}
}

// String returns the program and its arguments, for people.
func (c *Cmd) String() string { return strings.Join(append([]string{c.Path}, c.args()...), " ") }

func (c *Cmd) args() []string {
	if len(c.Args) == 0 {
		return nil
	}
	return c.Args[1:]
}

// PID returns the id of the process in the guest, as the agent knows it. It is 0 before
// Start.
func (c *Cmd) PID() int64 { return c.pid }

// An ExitError says that a program did not exit with status 0.
type ExitError struct {
	Path   string
	Code   int    // the exit status; on Windows the exception code if Signal is set
	Signal int    // the number of the signal that ended the program, or 0
	Stderr []byte // what the program wrote to its standard error, if Output collected it
}

func (e *ExitError) Error() string {
	if e.Signal != 0 {
		return fmt.Sprintf("%s: ended by signal %d", harmless.Line(e.Path), e.Signal)
	}
	return fmt.Sprintf("%s: exit status %d", harmless.Line(e.Path), e.Code)
}

// A TruncatedError says that a program wrote more than the agent keeps, 16 MiB for each
// stream. The writers got the beginning.
type TruncatedError struct {
	Path           string
	Stdout, Stderr bool // which streams are incomplete
}

func (e *TruncatedError) Error() string {
	var which []string
	if e.Stdout {
		which = append(which, "standard output")
	}
	if e.Stderr {
		which = append(which, "standard error")
	}
	return fmt.Sprintf("%s: the guest agent has kept only the beginning of its %s", harmless.Line(e.Path), strings.Join(which, " and "))
}

// A LostProcessError says that the agent does not know a process that it has started. It
// was restarted, or the guest was. What the process did is not known.
type LostProcessError struct {
	Path string
	PID  int64
	Err  error // the agent's error
}

func (e *LostProcessError) Error() string {
	return fmt.Sprintf("%s: the guest agent does not know process %d any more; the agent or the guest was restarted: %v", harmless.Line(e.Path), e.PID, harmless.Error(e.Err))
}

func (e *LostProcessError) Unwrap() error { return e.Err }

// StdinPipe returns a writer for the program's input, and sets Stream. The program reads to
// its end when the writer is closed. After the program has exited, a Write fails.
func (c *Cmd) StdinPipe() (io.WriteCloser, error) {
	if c.Stdin != nil || c.started {
		return nil, errors.New("agent: Cmd.Stdin is already set, or Cmd is started")
	}
	r, w := io.Pipe()
	c.Stdin, c.Stream, c.pipes = r, true, append(c.pipes, r)
	return w, nil
}

// StdoutPipe returns a reader of the program's standard output, and sets Stream. Read it to
// its end before Wait, which waits for that.
func (c *Cmd) StdoutPipe() (io.ReadCloser, error) { return c.outputPipe(&c.Stdout) }

// StderrPipe is [Cmd.StdoutPipe] for the standard error.
func (c *Cmd) StderrPipe() (io.ReadCloser, error) { return c.outputPipe(&c.Stderr) }

func (c *Cmd) outputPipe(to *io.Writer) (io.ReadCloser, error) {
	if *to != nil || c.started {
		return nil, errors.New("agent: Cmd.Stdout or Cmd.Stderr is already set, or Cmd is started")
	}
	r, w := io.Pipe()
	*to, c.Stream, c.pipes = w, true, append(c.pipes, w)
	return r, nil
}

// closePipes ends the reads and writes of the other ends with err.
func (c *Cmd) closePipes(err error) {
	for _, p := range c.pipes {
		_ = p.CloseWithError(err) // it never fails, and does nothing if the pipe is closed
	}
}

func (c *Cmd) tempDir() string {
	if c.TempDir == "" {
		return "/tmp"
	}
	return c.TempDir
}

// Run starts the program and waits until it has exited. Errors are those of Start and
// Wait.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns its standard output. If Stderr is nil, an
// [*ExitError] has the standard error.
func (c *Cmd) Output() ([]byte, error) {
	if c.Stdout != nil {
		return nil, errors.New("agent: Cmd.Stdout is already set")
	}
	var stdout, stderr bytes.Buffer
	c.Stdout = &stdout
	collect := c.Stderr == nil
	if collect {
		c.Stderr = &stderr
	}
	err := c.Run()
	if exit, ok := errors.AsType[*ExitError](err); ok && collect {
		exit.Stderr = stderr.Bytes()
	}
	return stdout.Bytes(), err
}

// CombinedOutput runs the program and returns its standard output and standard error in
// one.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	if c.Stdout != nil || c.Stderr != nil {
		return nil, errors.New("agent: Cmd.Stdout or Cmd.Stderr is already set")
	}
	var both bytes.Buffer
	c.Stdout, c.Stderr = &both, &both
	err := c.Run()
	return both.Bytes(), err
}

// Start starts the program. If the agent cannot execute it, the error is an
// [*async.ExecuteError] with the agent's words, or a [*StreamError] with Stream.
func (c *Cmd) Start() (err error) {
	if c.started {
		return errors.New("agent: Cmd is already started")
	}
	c.started = true
	if c.Stream {
		if err = c.startStream(); err != nil {
			c.closePipes(err)
		}
		return err
	}
	args := &qga.GuestExecArguments{Path: c.Path, Arg: c.args(), Env: c.Env}
	if c.Stdin != nil {
		input, err := io.ReadAll(io.LimitReader(c.Stdin, MaxInput+1))
		if err != nil {
			return fmt.Errorf("agent: read Cmd.Stdin: %w", err)
		}
		if len(input) > MaxInput {
			return fmt.Errorf("agent: Cmd.Stdin has more than %d bytes, which do not fit in one command", MaxInput)
		}
		args.InputData = new(base64.StdEncoding.EncodeToString(input))
	}
	if c.Dir != "" {
		args.Arg = append([]string{"-c", `cd -- "$0" && exec "$@"`, c.Dir, c.Path}, args.Arg...)
		args.Path = "/bin/sh"
	}
	if c.merges() {
		return c.startMerged(args)
	}
	args.CaptureOutput = &qga.GuestExecCaptureOutput{Flag: new(c.Stdout != nil || c.Stderr != nil)}
	return c.start(args)
}

// merges reports whether both streams go to one writer.
func (c *Cmd) merges() bool { return c.Stdout != nil && sameWriter(c.Stdout, c.Stderr) }

// sameWriter compares two writers. A type that cannot be compared is not the same.
func sameWriter(a, b io.Writer) bool {
	defer func() { _ = recover() }()
	return a == b
}

// startMerged starts the program so that the agent keeps both streams as one. Agents
// before QEMU 8.0 refuse that before they start anything. A shell does it then.
func (c *Cmd) startMerged(args *qga.GuestExecArguments) error {
	args.CaptureOutput = &qga.GuestExecCaptureOutput{Mode: new(qga.GuestExecCaptureOutputModeMerged)}
	err := c.start(args)
	refused, ok := errors.AsType[*async.ExecuteError](err)
	if !ok || !strings.Contains(refused.Desc, "capture-output") {
		return err
	}
	args.CaptureOutput = &qga.GuestExecCaptureOutput{Flag: new(true)}
	args.Arg = append([]string{"-c", `exec "$0" "$@" 2>&1`, args.Path}, args.Arg...)
	args.Path = "/bin/sh"
	return c.start(args)
}

func (c *Cmd) start(args *qga.GuestExecArguments) error {
	process, err := qga.GuestExec(c.ctx, c.client, args)
	if err != nil {
		return err
	}
	c.pid = process.PID
	return nil
}

// How often Wait asks whether the program has exited: after shortestPoll, and then each
// time half as late again, up to longestPoll.
const (
	shortestPoll = 2 * time.Millisecond
	longestPoll  = time.Second
)

// Wait waits until the program has exited, and passes its output to Stdout and Stderr. It
// can be called once, after Start. The error is one of these:
//
//   - [*ExitError]: the program did not exit with status 0.
//   - [*TruncatedError]: its output is incomplete. It may be joined with an ExitError.
//   - [*LostProcessError]: the agent or the guest was restarted.
//   - those of [Client.Do]: ctx ended, or the connection did. The program goes on, or not.
func (c *Cmd) Wait() error {
	if !c.started || c.finished {
		return errors.New("agent: Cmd is not started, or Wait was already called")
	}
	c.finished = true
	if c.stream != nil {
		return c.stream.wait()
	}
	status, err := c.await(c.ctx)
	if err != nil {
		return err
	}
	return c.result(status, c.deliver(status))
}

// result returns the error of a program that has exited. err is that of its output.
func (c *Cmd) result(status *qga.GuestExecStatusOptions, err error) error {
	if status.Signal != nil || status.Exitcode != nil && *status.Exitcode != 0 {
		exit := &ExitError{Path: c.Path}
		if status.Signal != nil {
			exit.Signal = int(*status.Signal)
		}
		if status.Exitcode != nil {
			exit.Code = int(*status.Exitcode)
		}
		if err == nil {
			return exit
		}
		return errors.Join(exit, err)
	}
	return err
}

// await asks for the state of the process until it has exited.
func (c *Cmd) await(ctx context.Context) (*qga.GuestExecStatusOptions, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for wait := shortestPoll; ; wait = min(wait*3/2, longestPoll) {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: wait for process %d: %w", harmless.Line(c.Path), c.pid, contexts.Err(ctx))
		}
		status, err := qga.GuestExecStatus(ctx, c.client, &qga.GuestExecStatusArguments{PID: c.pid})
		if refused, ok := errors.AsType[*async.ExecuteError](err); ok {
			return nil, &LostProcessError{Path: c.Path, PID: c.pid, Err: refused}
		}
		if _, lost := errors.AsType[*LostReplyError](err); lost || c.client.isInterruption(ctx, err) {
			status, err = &qga.GuestExecStatusOptions{}, nil // ask again
		}
		if err != nil || status.Exited {
			return status, err
		}
		timer.Reset(wait)
	}
}

// deliver writes the output to its writers.
func (c *Cmd) deliver(status *qga.GuestExecStatusOptions) error {
	truncated := &TruncatedError{
		Path:   c.Path,
		Stdout: status.OutTruncated != nil && *status.OutTruncated && c.Stdout != nil,
		Stderr: status.ErrTruncated != nil && *status.ErrTruncated && c.Stderr != nil && !c.merges(),
	}
	err := deliverTo(c.Stdout, status.OutData)
	if !c.merges() {
		err = errors.Join(err, deliverTo(c.Stderr, status.ErrData))
	}
	if truncated.Stdout || truncated.Stderr {
		err = errors.Join(truncated, err)
	}
	return err
}

func deliverTo(w io.Writer, text *string) error {
	if w == nil || text == nil {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(*text)
	if err != nil {
		return fmt.Errorf("agent: the output of a program is not base64: %w", err)
	}
	_, err = w.Write(b)
	return err
}
