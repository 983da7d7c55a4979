package async

import (
	"context"
	"errors"
	"io"
	"syscall"

	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/socket"
)

// HungUp reports whether err says that the server ended the connection, whichever
// call returned it: an end of file or a reset, in the middle of a message or
// between two. It looks into every error of this package, and into the Cause of a
// [*StateError]. After a command that makes the server exit, this is the expected
// end. (To tell a server to quit and wait for that, see [Client.Quit].)
//
// It is false for nil, for an end by this side, and where the server broke the
// protocol. Why the server ended the connection, and whether it still runs, the
// connection cannot tell.
func HungUp(err error) bool {
	if state, ok := errors.AsType[*StateError](err); ok {
		return HungUp(state.Cause)
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || socket.IsGone(err)
}

// asEnd gives the end of a connection by the peer one of two shapes, whatever the
// system and the moment: it matches io.EOF or syscall.ECONNRESET. A write that
// fails because the peer has closed says EPIPE, and Windows has numbers of its own.
// Any other error passes unchanged.
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

// Quit executes quit, waits until the server has ended the connection, and
// disconnects. The error is nil once quit was sent and the server has hung up
// since, however that shows: as an end of file or a reset, before or after the
// reply. The client is idle then. Whether the process has exited, and how, is for
// its parent to say.
//
// Otherwise the error is that of [Client.Execute], and the client is left as it
// is: an [*ExecuteError] if the server refused, an [*ExecInterruptedError] if ctx
// ended before the server had hung up, or if this side disconnected meanwhile.
func (c *Client) Quit(ctx context.Context) error {
	const name = "quit"
	out, err := Command{Name: name}.prepare(c.opts.maxSend())
	if err != nil {
		return err
	}
	s, err := c.running("execute " + name)
	if err != nil {
		return err
	}
	m, err := s.do(ctx, out)
	if err == nil {
		if err := newReply(out, m).Err(); err != nil {
			return err
		}
		quit := &ExecInterruptedError{Command: name, Sent: true, Client: c.name()}
		select {
		case <-s.done:
			quit.Err = s.whyEnded()
		case <-ctx.Done():
			quit.Err, quit.Note = contexts.Err(ctx), "it was answered, but the server has not ended the connection"
		}
		err = quit
	}
	interrupted, ok := errors.AsType[*ExecInterruptedError](err)
	if !ok || !interrupted.Sent || errors.Is(err, ErrClosed) || !HungUp(err) {
		return err
	}
	c.collect(s)
	return nil
}

// collect disconnects from s, which has ended, unless somebody else has, and
// returns when that is over.
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
