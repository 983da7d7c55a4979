package iotests

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// QemuIO runs qemu-io with commands such as "write -P 1 0 64k" on an image in the test's
// format, and returns its output. The test fails unless all commands succeed. A read
// with a pattern succeeds only if it finds that pattern.
func (it *Test) QemuIO(path string, commands ...string) string {
	it.Helper()
	result := it.QemuIOResult(path, commands...)
	it.mustBeOK(ioProgram, result)
	return result.Output
}

// QemuIOAs is [Test.QemuIO] on an image of another format, such as "raw" for the URI of
// an [NBDServer].
func (it *Test) QemuIOAs(format, path string, commands ...string) string {
	it.Helper()
	result := it.qemuIO(format, path, commands)
	it.mustBeOK(ioProgram, result)
	return result.Output
}

// QemuIOResult is [Test.QemuIO], but commands may fail: the result says how qemu-io ended.
func (it *Test) QemuIOResult(path string, commands ...string) Result {
	it.Helper()
	return it.qemuIO(it.Format, path, commands)
}

func (it *Test) qemuIO(format, path string, commands []string) Result {
	it.Helper()
	args := []string{"-f", format}
	for _, command := range commands {
		args = append(args, "-c", command)
	}
	return it.run(ioProgram, append(args, path)...)
}

// QemuIOLog is [Test.QemuIOResult], and logs the output without what differs from run to
// run ([FilterQemuIO]). As the output ends in a line end, the log has a blank line after
// it.
func (it *Test) QemuIOLog(path string, commands ...string) Result {
	it.Helper()
	result := it.QemuIOResult(path, commands...)
	it.Log(result.Output, OverStrings(it.FilterTestFiles), OverStrings(FilterQemuIO))
	return result
}

// ioPrompt is what qemu-io writes before it reads the next command.
const ioPrompt = "qemu-io> "

// A QemuIOSession is a qemu-io process that keeps an image open and executes one command
// after the other. Like the [Test] that made it, it belongs to the goroutine of the test.
type QemuIOSession struct {
	it     *Test
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	output *bufio.Reader
	closed bool // the process has ended, or Close has been called
}

// OpenQemuIO starts a qemu-io on an image in the test's format, unless the options
// include "-f" or "--image-opts". The options are passed before the image's name. When
// the test ends, qemu-io is killed if it still runs.
func (it *Test) OpenQemuIO(path string, options ...string) *QemuIOSession {
	it.Helper()
	args := []string{"-f", it.Format}
	if slices.Contains(options, "-f") || slices.Contains(options, "--image-opts") {
		args = nil
	}
	s := &QemuIOSession{it: it, cmd: exec.Command(it.find(ioProgram), append(append(args, options...), path)...)}
	s.cmd.Dir = it.Dir
	s.cmd.Env = append(os.Environ(), "LC_ALL=C")
	// stdout and stderr share one pipe, so that the output stays in its order.
	r, w, err := os.Pipe()
	if err == nil {
		s.cmd.Stdout, s.cmd.Stderr = w, w
		s.stdin, err = s.cmd.StdinPipe()
	}
	if err == nil {
		err = s.cmd.Start()
		w.Close()
	}
	if err != nil {
		if r != nil {
			r.Close()
		}
		it.fail("qemu-io: "+err.Error(), "command", quote(s.cmd.Args))
	}
	s.output = bufio.NewReader(r)
	it.Cleanup(func() {
		// If Close was not called, kill the process. How it ended does not matter then.
		if !s.closed {
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
		}
		r.Close()
	})
	s.answer("open")
	return s
}

// Cmd executes one command and returns what qemu-io wrote. A command that failed does not
// fail the test: the text says so.
func (s *QemuIOSession) Cmd(command string) string {
	s.it.Helper()
	if _, err := io.WriteString(s.stdin, command+"\n"); err != nil {
		s.it.fail("qemu-io: "+err.Error(), "command", command)
	}
	return s.answer(command)
}

// answer reads the output of a command, up to the next prompt.
func (s *QemuIOSession) answer(command string) string {
	s.it.Helper()
	ctx, cancel := s.it.withTimeout()
	defer cancel()
	// At the time limit the process is killed, which also ends the read.
	stop := context.AfterFunc(ctx, func() { _ = s.cmd.Process.Kill() })
	defer stop()
	var text strings.Builder
	for !strings.HasSuffix(text.String(), ioPrompt) {
		c, err := s.output.ReadByte()
		if err != nil {
			what := "qemu-io does not answer: " + err.Error()
			if cause := context.Cause(ctx); cause != nil {
				what = "qemu-io does not answer: " + cause.Error()
			} else if errors.Is(err, io.EOF) {
				// The pipe ends when the process does.
				s.closed = true
				_ = s.cmd.Wait()
				what = "qemu-io has ended with " + s.cmd.ProcessState.String()
			}
			s.it.fail(what, "command", command, "qemu-io", quote(s.cmd.Args), "output", text.String())
		}
		text.WriteByte(c)
	}
	return strings.TrimSuffix(text.String(), ioPrompt)
}

// Close ends qemu-io, which closes the image. The test fails if qemu-io ends by a
// signal, or does not end within the time limit. A second call does nothing.
func (s *QemuIOSession) Close() {
	s.it.Helper()
	if s.closed {
		return
	}
	s.closed = true
	_, _ = io.WriteString(s.stdin, "quit\n") // if qemu-io has ended already, Wait below tells how
	_ = s.stdin.Close()
	late := time.AfterFunc(s.it.timeout, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	rest, _ := io.ReadAll(s.output)
	// Exit code 1 means that one of the commands failed. Cmd has returned its text.
	if err := s.cmd.Wait(); err != nil && s.cmd.ProcessState.ExitCode() != 1 {
		s.it.fail("qemu-io: "+err.Error(), "command", quote(s.cmd.Args), "output", string(rest))
	}
}
