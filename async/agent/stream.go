package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/qapi/qga"
)

// The agent passes the output of a program only when that has exited, and takes all input
// before it starts. To stream, a shell in the guest starts the program. Its output goes to
// files in a temporary folder, which this side reads while they grow. Its input comes from
// a named pipe, into which a second process copies the files that this side writes.

// prepare makes the temporary folder $0. $1 is the folder for the program, or empty; $2 is
// the program.
const prepare = `umask 077 &&
mkdir -- "$0" && : >"$0/out" && : >"$0/err" && mkfifo -- "$0/in" &&
{ [ -z "$1" ] || cd -- "$1"; } &&
command -v -- "$2" >/dev/null || { [ -d "$0" ] && rm -rf -- "$0"; echo "cannot start $2" >&2; exit 1; }`

// The script that starts the program. $0 is the temporary folder, $1 the folder for the
// program or empty, $2 and so on the program and its arguments.
//
// keep removes the temporary folder if this side does not: a while after the program has
// ended. feed copies the input: files "in.0", "in.1" and so on, each complete when "in.0.ok"
// exists, and "eof" after the last. Both end when the folder is removed. They run as
// grandchildren of the shell, so that they are not children of the program that takes its
// place.
const (
	begin = `dir=$0
[ -z "$1" ] || cd -- "$1" || exit 126
shift
pid=$$
wait_a_moment() { sleep 0.05 2>/dev/null || sleep 1; }
keep() {
	while kill -0 $pid; do sleep 1; done
	n=0
	while [ -d "$dir" ] && [ $n -lt 600 ]; do sleep 1; n=$((n+1)); done
	rm -rf -- "$dir"
}
feed() {
	n=0
	while [ -d "$dir" ]; do
		if [ -e "$dir/in.$n.ok" ]; then
			cat "$dir/in.$n" || break
			rm -f "$dir/in.$n" "$dir/in.$n.ok"
			n=$((n+1))
		elif [ -e "$dir/eof" ]; then
			[ -e "$dir/in.$n.ok" ] || break
		else
			wait_a_moment
		fi
	done
}
( ( keep </dev/null >/dev/null 2>&1 ) & )
`
	withInput = `( ( feed </dev/null >"$dir/in" 2>/dev/null ) & )
exec "$@" <"$dir/in" >"$dir/out" 2>`
	withoutInput = `exec "$@" </dev/null >"$dir/out" 2>`
)

// How much of the input is on its way at most: segments files of segment bytes.
const (
	segment  = 256 << 10
	segments = 4
)

// How often a stream looks for more output, or for room for more input, when there was
// none: after shortestLook, and then each time half as late again, up to longestLook.
const (
	shortestLook = 20 * time.Millisecond
	longestLook  = 200 * time.Millisecond
)

// A StreamError says that a Cmd with Stream cannot be started: the agent is restricted, or
// the guest does not have a POSIX shell and the programs mkdir, mkfifo, rm, cat, sleep and
// kill. Guests with Windows do not have these. The program was not started.
type StreamError struct {
	Path string
	Err  error
}

func (e *StreamError) Error() string {
	return fmt.Sprintf("%s: cannot stream its input and output in this guest, and it was not started: %v", harmless.Line(e.Path), harmless.Error(e.Err))
}

func (e *StreamError) Unwrap() error { return e.Err }

// A stream is a program that was started with Stream.
type stream struct {
	cmd    *Cmd
	dir    string // the temporary folder in the guest
	ctx    context.Context
	cancel context.CancelCauseFunc
	exited chan struct{} // closed when the program has exited
	done   chan struct{} // closed when nothing is under way any more

	status *qga.GuestExecStatusOptions // set before exited is closed
	mu     sync.Mutex                  // guards err
	err    error                       // the first error of a copy
}

// startStream starts the program, and the goroutines that copy.
func (c *Cmd) startStream() error {
	s := &stream{cmd: c, dir: c.tempDir() + "/qga-" + rand.Text(), exited: make(chan struct{}), done: make(chan struct{})}
	if err := s.check(); err != nil {
		return &StreamError{c.Path, err}
	}
	if err := s.prepare(); err != nil {
		s.remove()
		return err
	}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	outputs, err := s.open()
	if err == nil {
		err = s.start()
	}
	if err != nil {
		for _, o := range outputs {
			_ = o.file.Close() // err says more
		}
		s.cancel(nil)
		s.remove()
		return err
	}
	c.stream = s
	go s.run(outputs)
	return nil
}

// check returns an error if the agent does not offer what a stream needs.
func (s *stream) check() error {
	needed := []string{"guest-exec", "guest-exec-status"}
	if s.cmd.Stdout != nil || s.cmd.Stderr != nil {
		needed = append(needed, "guest-file-open", "guest-file-read", "guest-file-close")
	}
	if s.cmd.Stdin != nil {
		needed = append(needed, "guest-file-open", "guest-file-write", "guest-file-close")
	}
	for _, command := range needed {
		if err := s.cmd.client.checkOffered(s.cmd.ctx, command); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes the temporary folder, and looks whether the program exists.
func (s *stream) prepare() error {
	c := s.cmd
	shell := c.client.Command(c.ctx, "/bin/sh", "-c", prepare, s.dir, c.Dir, c.Path)
	shell.Env = c.Env
	_, err := shell.Output()
	if exit, ok := errors.AsType[*ExitError](err); ok {
		words := harmless.Line(strings.TrimSpace(string(exit.Stderr)))
		err = fmt.Errorf("prepare %s in the guest: %w: %s", c.Path, exit, words)
		return &StreamError{c.Path, err}
	}
	if _, ok := errors.AsType[*async.ExecuteError](err); ok {
		return &StreamError{c.Path, fmt.Errorf("execute /bin/sh in the guest: %w", err)}
	}
	return err
}

// An output is one stream of the program.
type output struct {
	file *File
	to   io.Writer
}

// open opens the files of the output.
func (s *stream) open() (outputs []output, err error) {
	c := s.cmd
	for _, o := range []struct {
		name string
		to   io.Writer
	}{{"out", c.Stdout}, {"err", c.Stderr}} {
		if o.to == nil || o.name == "err" && c.merges() {
			continue
		}
		f, err := c.client.Open(s.ctx, s.dir+"/"+o.name)
		if err != nil {
			return outputs, err
		}
		outputs = append(outputs, output{f, o.to})
	}
	return outputs, nil
}

// start starts the program by the shell.
func (s *stream) start() error {
	c := s.cmd
	script := begin + withoutInput
	if c.Stdin != nil {
		script = begin + withInput
	}
	if c.merges() {
		script += "&1"
	} else {
		script += `"$dir/err"`
	}
	return c.start(&qga.GuestExecArguments{
		Path: "/bin/sh", Arg: append([]string{"-c", script, s.dir, c.Dir, c.Path}, c.args()...), Env: c.Env,
		CaptureOutput: &qga.GuestExecCaptureOutput{Flag: new(false)},
	})
}

// run copies until the program has exited and all its output is read, or until ctx ends or
// a copy fails. Then it removes the temporary folder.
func (s *stream) run(outputs []output) {
	defer close(s.done)
	var copies sync.WaitGroup
	for _, o := range outputs {
		copies.Go(func() { s.fail(s.copyOut(o)) })
	}
	stopWatch := context.AfterFunc(s.ctx, func() { s.cmd.closePipes(contexts.Err(s.ctx)) })
	if s.cmd.Stdin != nil {
		go s.readInput()
	}
	status, err := s.cmd.await(s.ctx)
	s.status = status
	if err != nil {
		s.fail(err)
		s.cancel(err)
	}
	close(s.exited)
	copies.Wait()
	stopWatch()
	s.cancel(nil)
	s.cmd.closePipes(nil)
	s.remove()
}

// fail notes the first error.
func (s *stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// copyOut copies one stream of the program to its writer.
func (s *stream) copyOut(o output) (err error) {
	defer func() {
		if closeErr := o.file.Close(); err == nil && !errors.Is(closeErr, fs.ErrClosed) {
			err = closeErr
		}
		if pipe, ok := o.to.(*io.PipeWriter); ok {
			pipe.CloseWithError(err) // a reader gets io.EOF for nil
		}
	}()
	total := int64(0)
	for wait := shortestLook; ; wait = min(wait*3/2, longestLook) {
		over := s.hasExited() // looked at before the read: what comes after it is not the program's
		n, err := o.file.WriteTo(o.to)
		total += n
		if s.cmd.client.isInterruption(s.ctx, err) { // the agent may have read more than came here
			if err = s.cmd.client.again(s.ctx, func() error { return second(o.file.Seek(total, io.SeekStart)) }); err == nil {
				continue
			}
		}
		switch {
		case err != nil:
			return err
		case over:
			return nil
		case n > 0:
			wait = shortestLook
		}
		if err := s.pause(wait, s.exited); err != nil {
			return err
		}
	}
}

// second returns the error of a call with two results.
func second[T any](_ T, err error) error { return err }

func (s *stream) hasExited() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// pause waits, at most until early is closed.
func (s *stream) pause(d time.Duration, early <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-early:
		return nil
	case <-s.ctx.Done():
		return contexts.Err(s.ctx)
	}
}

// remove removes the temporary folder. If it fails, for example because the connection has
// ended, the guest removes it later.
func (s *stream) remove() {
	ctx, cancel := release(s.cmd.ctx)
	defer cancel()
	_ = s.cmd.client.again(ctx, func() error {
		return s.cmd.client.Command(ctx, "/bin/sh", "-c", `rm -rf -- "$0"`, s.dir).Run()
	})
}

// wait returns the result of the program.
func (s *stream) wait() error {
	<-s.done
	s.mu.Lock()
	err := s.err
	s.mu.Unlock()
	if s.status == nil {
		return err
	}
	return s.cmd.result(s.status, err)
}
