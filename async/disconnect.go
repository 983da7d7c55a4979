package async

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/goqmp/qmp/internal/contexts"
)

// Disconnect ends the connection, and waits until nothing of it is left: no
// goroutine, no timer, no descriptor. Then the client is idle. A message that is
// being written is finished first, unless ctx ends before that. So Disconnect always
// completes, at the latest when ctx ends. Calls that wait for a reply, or to be sent,
// end with an [*ExecInterruptedError].
//
// The error is nil if Disconnect ended the connection and nothing went wrong. If the
// connection had ended before, the error says why. Whatever else went wrong is
// attached: a failed write, a message that was not finished before ctx ended, a
// failure to close the connection. If several goroutines call Disconnect while the
// same connection ends, all get the same error. A later call gets nil.
//
// While the client is connecting or listening, Disconnect cancels that, and waits
// until Connect, Attach, Listen or Accept has given up. The error is nil then, or
// the [*ConnectError] of an attempt that was failing already. If the client was
// connecting again (see [Reconnect]), the error says why the last connection ended.
//
// Any goroutine may call it, but no hook, filter or tracer.
func (c *Client) Disconnect(ctx context.Context) error {
	return c.disconnect(ctx, false)
}

// Close ends the connection at once, without waiting for the server to take a message
// that is being written; it waits only until nothing of the connection is left on
// this side, as [Client.Disconnect] does. The error is that of Disconnect. Close
// suits a defer.
func (c *Client) Close() error {
	return c.disconnect(context.Background(), true)
}

// disconnect is Disconnect, or Close if hard is true.
func (c *Client) disconnect(ctx context.Context, hard bool) error {
	for {
		at := c.now()
		switch at.activity() {
		case idle:
			return nil
		case closing:
			return at.join(ctx, hard)
		}
		end := at.newClosing(at.doing != lost)
		if c.move(at, end) {
			return c.finish(ctx, at, end, hard)
		}
		// Another goroutine has just moved the client: look again.
	}
}

// finish ends what the client did at the stage at. The client is at the closing stage
// end now, and finish moves it from there to idle.
func (c *Client) finish(ctx context.Context, at, end *stage, hard bool) error {
	switch at.doing {
	case listening:
		end.err = at.socket.Close()
	case running, lost:
		if at.session != nil {
			end.err = at.session.close(ctx, hard)
		}
		if at.socket != nil {
			end.err = joinErrors(end.err, at.socket.Close())
		}
		if at.doing == running {
			c.logEnd(end.err, at.session)
		}
	default: // an attempt to connect, whose goroutine moves the client to idle
		at.cancel(ErrClosed)
		<-end.left
		return at.cause()
	}
	c.move(end, nil)
	return end.err
}

// join waits until another goroutine has ended the connection. If this caller's ctx
// ends first, or hard is true, the connection ends at once. s is a closing stage.
func (s *stage) join(ctx context.Context, hard bool) error {
	if s.session == nil {
		<-s.left
		return s.err
	}
	if !hard {
		select {
		case <-s.left:
			return s.err
		case <-ctx.Done():
		}
	}
	s.session.endOrderly(ctx, hard)
	<-s.left
	return s.err
}

// close ends s, waits until nothing of it is left, and returns what Disconnect is to
// return.
func (s *session) close(ctx context.Context, hard bool) error {
	s.stopSending()
	s.endOrderly(ctx, hard)
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

// endOrderly ends s: after the message that is being written, but when ctx ends at
// the latest, or at once if hard is true. It returns when s has ended.
func (s *session) endOrderly(ctx context.Context, hard bool) {
	if hard {
		s.end(ErrClosed, nil)
	}
	turn := s.turn // nil once it is taken here
	defer func() {
		if turn == nil {
			s.giveTurn() // nothing is written any more
		}
	}()
	written := func() { // no message is being written
		turn = nil
		if s.broken() == nil {
			s.end(ErrClosed, nil)
		} // else a write has failed, and the session ends within readOnLimit
	}
	select {
	case <-turn:
		written() // even if ctx has ended: there is nothing to wait for
	default:
	}
	for {
		select {
		case <-turn:
			written()
		case <-s.done:
			return
		case <-ctx.Done():
			s.end(fmt.Errorf("%sdisconnect: the connection was closed while a message was being written: %w",
				prefix(s.client.name()), contexts.Err(ctx)), nil)
			<-s.done
			return
		}
	}
}

// logEnd logs the end of s, once. An end of file after an answered quit is logged as
// an orderly end.
func (c *Client) logEnd(err error, s *session) {
	s.mu.Lock()
	quit := s.quitAnswered
	s.mu.Unlock()
	switch {
	case err == nil, quit && errors.Is(err, io.EOF):
		c.logger().Info("qmp: disconnected")
	default:
		c.logger().Error("qmp: connection ended", "error", err)
	}
}
