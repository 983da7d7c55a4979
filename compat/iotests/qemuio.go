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

// QemuIO runs qemu-io with commands such as "write -P 1 0 64k" on an image in the
// test's format. It fails the test unless all of them succeed, also where a read
// with a pattern finds another, and returns what qemu-io wrote.
func (it *Test) QemuIO(path string, commands ...string) string {
	it.Helper()
	result := it.QemuIOResult(path, commands...)
	it.mustBeOK(ioProgram, result)
	return result.Output
}

// QemuIOAs is QemuIO on an image of another format, such as "raw" for a server's
// [NBDServer].URI.
func (it *Test) QemuIOAs(format, path string, commands ...string) string {
	it.Helper()
	result := it.qemuIO(format, path, commands)
	it.mustBeOK(ioProgram, result)
	return result.Output
}

// QemuIOResult is QemuIO without a judgement.
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

// QemuIOLog is QemuIOResult with the output logged, without what it says of time. A
// blank line follows the output, since that has a line end of its own.
func (it *Test) QemuIOLog(path string, commands ...string) Result {
	it.Helper()
	result := it.QemuIOResult(path, commands...)
	it.Log(result.Output, OverStrings(it.FilterTestFiles), OverStrings(FilterQemuIO))
	return result
}

// ioPrompt is what qemu-io writes when it takes the next command.
const ioPrompt = "qemu-io> "

// A QemuIOSession is a qemu-io that keeps an image open and takes commands one by
// one.
type QemuIOSession struct {
	it     *Test
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	output *bufio.Reader
	closed bool
}

// OpenQemuIO starts a qemu-io on an image in the test's format; options go before
// the image's name, and may include another "-f". It ends at the latest with the
// test.
func (it *Test) OpenQemuIO(path string, options ...string) *QemuIOSession {
	it.Helper()
	args := []string{"-f", it.Format}
	if slices.Contains(options, "-f") || slices.Contains(options, "--image-opts") {
		args = nil
	}
	s := &QemuIOSession{it: it, cmd: exec.Command(it.find(ioProgram), append(append(args, options...), path)...)}
	s.cmd.Dir = it.Dir
	s.cmd.Env = append(os.Environ(), "LC_ALL=C")
	// One pipe for both, so that what it says stays in order.
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
		// Its end is awaited here only if nobody did; how it ended is no news.
		if !s.closed {
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
		}
		r.Close()
	})
	s.answer("open")
	return s
}

// Cmd executes one command and returns what qemu-io wrote about it.
func (s *QemuIOSession) Cmd(command string) string {
	s.it.Helper()
	if _, err := io.WriteString(s.stdin, command+"\n"); err != nil {
		s.it.fail("qemu-io: "+err.Error(), "command", command)
	}
	return s.answer(command)
}

// answer reads to the next prompt.
func (s *QemuIOSession) answer(command string) string {
	s.it.Helper()
	ctx, cancel := s.it.patience()
	defer cancel()
	// A process that does not answer is ended, which ends the read as well.
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
				// Its end of the pipe goes with the process.
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

// Close ends qemu-io and lets go of the image. It fails the test if qemu-io does
// not end, or by a signal.
func (s *QemuIOSession) Close() {
	s.it.Helper()
	if s.closed {
		return
	}
	s.closed = true
	_, _ = io.WriteString(s.stdin, "quit\n") // one that has ended says so below
	_ = s.stdin.Close()
	late := time.AfterFunc(s.it.timeout, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	rest, _ := io.ReadAll(s.output)
	// It ends with exit code 1 if one of the commands failed, which was told.
	if err := s.cmd.Wait(); err != nil && s.cmd.ProcessState.ExitCode() != 1 {
		s.it.fail("qemu-io: "+err.Error(), "command", quote(s.cmd.Args), "output", string(rest))
	}
}
