package async

import (
	"context"
	"errors"
	"io"
	"syscall"

	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/socket"
)

// HungUp reports whether err says that the server ended the connection: with an end of
// file or a reset, between two messages or inside one. err may be an error of any call
// of this package; HungUp also looks into the Cause of a [*StateError]. After a command
// that makes the server exit, this is the expected end. (See [Client.Quit], which tells
// a server to quit and waits for that.)
//
// It is false if err is nil, if this side ended the connection, and if the connection
// ended because the server broke the protocol. A connection does not tell why the
// server ended it, or whether the server still runs.
func HungUp(err error) bool {
	if state, ok := errors.AsType[*StateError](err); ok {
		return HungUp(state.Cause)
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || socket.IsGone(err)
}

// asEnd returns an error that matches io.EOF or syscall.ECONNRESET if err says that the
// server ended the connection, on every system. (A write fails with EPIPE if the server
// has closed the connection, and Windows has error numbers of its own.) asEnd returns
// any other error unchanged.
func asEnd(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return err
	case socket.IsReset(err):
		return joinErrors(syscall.ECONNRESET, err)
	case socket.IsGone(err), errors.Is(err, io.ErrClosedPipe): // the latter is net.Pipe's
		return joinErrors(io.EOF, err)
	}
	return err
}

// Quit executes quit, waits until the server has ended the connection, and disconnects.
// The client is idle then; it does not connect again, even with Options.Reconnect. The error is nil if quit was sent and the server ended the
// connection after that: with an end of file or a reset, before or after the reply.
// Quit does not say whether the server's process has exited, or with which status. Only
// the parent of that process can know.
//
// Any other error is that of [Client.Execute], and Quit does not disconnect. It is an
// [*ExecuteError] if the server refused quit, and an [*ExecInterruptedError] if ctx
// ended before the server had ended the connection, or if this side disconnected.
func (c *Client) Quit(ctx context.Context) error {
	const name = "quit"
	out, err := Command{Name: name}.prepare(c.opts.maxSend())
	if err != nil {
		return err
	}
	out.entry = c.newEntry(ctx, false)
	defer out.entry.entered()
	s, err := c.session(ctx, out.entry, "execute "+name, name)
	if err != nil {
		return err
	}
	s.quitting(+1)
	m, err := s.do(ctx, out)
	if err == nil {
		if err := newReply(out, m).Err(); err != nil {
			s.quitting(-1)
			return err
		}
		quit := &ExecInterruptedError{Command: name, Sent: true, Client: c.name(), Session: s.number}
		select {
		case <-s.done:
			quit.Err = s.whyEnded()
		case <-ctx.Done():
			quit.Err, quit.Note = contexts.Err(ctx), "it was answered, but the server has not ended the connection"
		}
		err = quit
	}
	interrupted, ok := errors.AsType[*ExecInterruptedError](err)
	if !ok || !interrupted.Sent {
		s.quitting(-1)
		return err
	}
	if errors.Is(err, ErrClosed) || !HungUp(err) {
		return err
	}
	c.collect(s)
	return nil
}

// quitting counts the calls of Quit that are under way or have sent quit: n is 1, or -1
// for a call that has failed without effect.
func (s *session) quitting(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quits += n
}

// collect disconnects from s, which has ended, unless another goroutine does. It
// returns when nothing of s is left.
func (c *Client) collect(s *session) {
	for {
		at := c.now()
		switch {
		case at == nil || at.session != s:
			return
		case at.doing == closing:
			<-at.left
			return
		}
		end := at.newClosing(at.doing != lost)
		if c.move(at, end) {
			c.finish(context.Background(), at, end, true)
			return
		}
	}
}
