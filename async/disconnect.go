package async

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	c.mu.Lock()
	switch {
	case c.ending != nil:
		e, s := c.ending, c.session
		c.mu.Unlock()
		return c.join(ctx, e, s, hard)
	case c.attempt != nil:
		a := c.attempt
		a.calledOff = true
		c.mu.Unlock()
		a.cancel(ErrClosed)
		<-a.done
		return nil
	case c.listener != nil:
		defer c.mu.Unlock()
		err := c.stopListening()
		c.setState(Disconnecting, true)
		c.setState(Idle, true)
		return err
	case c.session == nil:
		c.mu.Unlock()
		return nil
	}
	s := c.session
	e := &ending{done: make(chan struct{})}
	c.ending = e
	orderly := c.state == Running
	if orderly {
		c.setState(Disconnecting, true)
	}
	c.mu.Unlock()

	s.stopSending()
	s.endOrderly(ctx, hard)
	s.wg.Wait()

	s.mu.Lock()
	e.err = s.report
	quit := s.quit
	s.mu.Unlock()
	if orderly {
		c.logEnd(e.err, quit)
	}
	c.mu.Lock()
	c.session, c.ending, c.unasked = nil, nil, nil
	c.setState(Idle, orderly)
	c.mu.Unlock()
	close(e.done)
	return e.err
}

// join waits for an end that somebody else is busy with, and hurries it where
// this caller is in more of a hurry.
func (c *Client) join(ctx context.Context, e *ending, s *session, hard bool) error {
	if !hard {
		select {
		case <-e.done:
			return e.err
		case <-ctx.Done():
		}
	}
	s.endOrderly(ctx, hard)
	<-e.done
	return e.err
}

// endOrderly ends s when the message being written is finished, or at once if
// hard is true or when ctx ends. It returns when s has ended.
func (s *session) endOrderly(ctx context.Context, hard bool) {
	if hard {
		s.end(ErrClosed, nil)
	}
	turn := s.turn
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
				prefix(s.client.name()), contextError(ctx)), nil)
			<-s.done
			return
		}
	}
}

// sessionEnded learns from s that it has ended.
func (c *Client) sessionEnded(s *session) {
	c.mu.Lock()
	if c.session != s || c.state != Running {
		c.mu.Unlock()
		return // a failed handshake, or an end that was asked for
	}
	s.mu.Lock()
	cause, quit := s.report, s.quit
	s.mu.Unlock()
	c.unasked = &ExecInterruptedError{Client: c.name(), Err: cause}
	for _, l := range c.loadListeners() {
		l.connectionEnded(c.unasked)
	}
	c.setState(Disconnecting, false)
	c.mu.Unlock()
	c.logEnd(cause, quit)
}

// logEnd logs the end of a session, once. That the peer hangs up behind the
// reply to quit is in order.
func (c *Client) logEnd(err error, quit bool) {
	switch {
	case err == nil, quit && errors.Is(err, io.EOF):
		c.logger().Info("qmp: disconnected")
	default:
		c.logger().Error("qmp: connection ended", "error", err)
	}
}
