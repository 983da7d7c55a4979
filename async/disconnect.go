package async

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/goqmp/qmp/internal/contexts"
)

// Disconnect ends the connection and returns when nothing of it is left: no
// goroutine, no timer, no descriptor. It always completes. What is being
// written is finished first, unless ctx ends before that; calls that wait for
// an answer, or for their turn, end with an [*ExecInterruptedError].
//
// Where the connection has already ended by itself, the error is why, with
// anything else that went wrong attached; the client is idle afterwards. Of
// several callers, those that join the same end get the same error, later ones
// nil. An orderly end is nil. While the client is connecting or listening,
// Disconnect calls that off.
//
// It may be called from any goroutine, except inside a hook or a filter.
func (c *Client) Disconnect(ctx context.Context) error {
	return c.disconnect(ctx, false)
}

// Close is [Client.Disconnect] without waiting for the peer to take what is
// being written, for a defer.
func (c *Client) Close() error {
	return c.disconnect(context.Background(), true)
}

func (c *Client) disconnect(ctx context.Context, hard bool) error {
	for {
		at := c.now()
		switch at.what() {
		case idle:
			return nil
		case closing:
			return at.join(ctx, hard)
		}
		end := at.newClosing(at.doing != lost)
		if c.move(at, end) {
			return c.finish(ctx, at, end, hard)
		}
		// The client has just moved by itself: look again.
	}
}

// finish ends what the client was at, and moves it from end to idle.
func (c *Client) finish(ctx context.Context, at, end *stage, hard bool) error {
	switch at.doing {
	case listening:
		end.err = at.socket.Close()
	case running, lost:
		end.err = at.session.close(ctx, hard)
		if at.doing == running {
			c.logEnd(end.err, at.session)
		}
	default: // an attempt, which moves to idle when it has given up
		at.cancel(ErrClosed)
		<-end.left
		return nil
	}
	c.move(end, nil)
	return end.err
}

// join waits for an end that somebody else is busy with, and hurries it where
// this caller is in more of a hurry. s is closing.
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

// close ends s, and returns why it ended when nothing of it is left.
func (s *session) close(ctx context.Context, hard bool) error {
	s.stopSending()
	s.endOrderly(ctx, hard)
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

// endOrderly ends s when the message being written is finished, or at once if
// hard is true or when ctx ends. It returns when s has ended.
func (s *session) endOrderly(ctx context.Context, hard bool) {
	if hard {
		s.end(ErrClosed, nil)
	}
	turn := s.turn
	defer func() {
		if turn == nil { // it was taken, and nothing can be written any more
			s.giveTurn()
		}
	}()
	written := func() {
		turn = nil
		if s.broken() == nil {
			s.end(ErrClosed, nil)
		} // else the reader is finding out why, for a second at most
	}
	select {
	case <-turn:
		written() // also if ctx has ended already: there is nothing to wait for
	default:
	}
	for {
		select {
		case <-turn:
			written()
		case <-s.done:
			return
		case <-ctx.Done():
			s.end(fmt.Errorf("%sdisconnect: hung up on a peer that did not take a message in time: %w",
				prefix(s.client.name()), contexts.Err(ctx)), nil)
			<-s.done
			return
		}
	}
}

// sessionEnded learns from s that it has ended.
func (c *Client) sessionEnded(s *session) {
	at := c.now()
	if at.what() != running || at.session != s {
		return // a failed handshake, or an end that was asked for
	}
	s.mu.Lock()
	cause := s.report
	s.mu.Unlock()
	if c.move(at, &stage{doing: lost, session: s, lost: &ExecInterruptedError{Client: c.name(), Err: cause}}) {
		c.logEnd(cause, s)
	}
}

// logEnd logs the end of s, once. That the peer hangs up behind the
// reply to quit is in order.
func (c *Client) logEnd(err error, s *session) {
	s.mu.Lock()
	quit := s.quit
	s.mu.Unlock()
	switch {
	case err == nil, quit && errors.Is(err, io.EOF):
		c.logger().Info("qmp: disconnected")
	default:
		c.logger().Error("qmp: connection ended", "error", err)
	}
}
