package async

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/goqmp/qmp/internal/socket"
)

// Connect connects to the server at addr (see [ParseAddress] for what addr may
// be), waits for the greeting and negotiates capabilities. ctx bounds all of
// that and nothing behind it. The client must be idle, or the error is a
// [*StateError]; any other failure is a [*ConnectError], or an
// [*AddressError], and leaves it idle. A ctx that has already ended changes
// nothing. A Connect that a Disconnect has called off returns a [*ConnectError]
// that matches [ErrClosed], and context.Canceled too.
//
// Where the server hangs up right behind its answer to the negotiation, Connect
// may fail with that, or succeed, and the end is then to be collected with
// Disconnect.
func (c *Client) Connect(ctx context.Context, addr string) error {
	return c.connectTo(ctx, addr, false)
}

// ConnectUnnegotiated is [Client.Connect] without the handshake: it returns as
// soon as the connection is there, for this one connection, whatever
// Options.SkipGreeting and Options.SkipNegotiation say.
func (c *Client) ConnectUnnegotiated(ctx context.Context, addr string) error {
	return c.connectTo(ctx, addr, true)
}

func (c *Client) connectTo(ctx context.Context, addr string, bare bool) error {
	dial := c.opts.Dialer
	if dial == nil {
		a, err := ParseAddress(addr)
		if err != nil {
			return err
		}
		dial = a.dial
	}
	return c.connect(ctx, addr, dial, bare)
}

// Attach is [Client.Connect] over a connection that is open already. The
// client takes conn over, and closes it if Attach fails; only with a
// [*StateError] conn stays the caller's.
func (c *Client) Attach(ctx context.Context, conn net.Conn) error {
	taken := false
	err := c.connect(ctx, "", func(context.Context) (net.Conn, error) {
		taken = true
		return conn, nil
	}, false)
	if _, wrongState := errors.AsType[*StateError](err); err != nil && !taken && !wrongState {
		conn.Close()
	}
	return err
}

func (c *Client) connect(ctx context.Context, addr string, dial func(context.Context) (net.Conn, error), bare bool) error {
	e := &ConnectError{Op: "connect", Address: addr, Stage: StageConnection, Client: c.name()}
	if ctx.Err() != nil {
		e.Err = contextError(ctx)
		return e
	}
	c.mu.Lock()
	if c.state != Idle {
		defer c.mu.Unlock()
		return c.stateError("connect", Idle)
	}
	ctx, a := c.begin(ctx)
	c.setState(Connecting, false)
	c.mu.Unlock()

	conn, err := c.dial(ctx, dial, &e.Attempts)
	if err != nil {
		e.Err = err
		return c.failed(a, e)
	}
	return c.establish(ctx, a, conn, e, bare)
}

// begin notes an attempt, so that Disconnect can end it. mu is held.
func (c *Client) begin(ctx context.Context) (context.Context, *attempt) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.attempt = &attempt{cancel: cancel, done: make(chan struct{})}
	return ctx, c.attempt
}

// establish makes a session over conn and ends the attempt either way.
func (c *Client) establish(ctx context.Context, a *attempt, conn net.Conn, e *ConnectError, bare bool) error {
	e.Stage = StageSession
	s := newSession(c, conn, bare)
	g, err := s.handshake(ctx)
	if err == nil {
		err = c.adopt(s, a, g)
	}
	if err != nil {
		s.end(err, nil)
		s.wg.Wait()
		e.Err = err
		return c.failed(a, e)
	}
	s.log.Debug("qmp: connected")
	return nil
}

// adopt makes s the client's session, unless the attempt has been called off
// or s has ended meanwhile.
func (c *Client) adopt(s *session, a *attempt, g *Greeting) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.calledOff {
		return ErrClosed
	}
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if ended {
		return s.whyHandshakeEnded()
	}
	c.session, c.greeting = s, g
	c.setState(Running, false)
	c.endAttempt(a)
	return nil
}

// failed rolls an attempt back to Idle.
func (c *Client) failed(a *attempt, err error) error {
	c.mu.Lock()
	level := slog.LevelError
	if a.calledOff {
		level = slog.LevelInfo
	}
	c.mu.Unlock()
	c.logger().Log(context.Background(), level, "qmp: no connection", "error", err)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.setState(Disconnecting, a.calledOff)
	c.setState(Idle, a.calledOff)
	c.endAttempt(a)
	return err
}

// endAttempt lets go of the attempt. mu is held.
func (c *Client) endAttempt(a *attempt) {
	a.cancel(nil)
	c.attempt = nil
	close(a.done)
}

// dial dials, again and again if the policy says so.
func (c *Client) dial(ctx context.Context, dial func(context.Context) (net.Conn, error), attempts *int) (net.Conn, error) {
	var conn net.Conn
	var last error
	once := func() error {
		*attempts++
		var err error
		conn, err = dial(ctx)
		if conn == nil && err == nil {
			err = errors.New("Options.Dialer returned no connection")
		}
		if deadline, ok := ctx.Deadline(); err != nil && ok && !time.Now().Before(deadline) {
			<-ctx.Done() // package net looks at the clock itself, and may be ahead of ctx's timer
		}
		if err != nil && ctx.Err() != nil && last != nil {
			return backoff.Permanent(last) // tells more than that this dial was broken off
		}
		last = err
		if last != nil && (ctx.Err() != nil || !socket.NotReady(last)) {
			return backoff.Permanent(last)
		}
		return last
	}
	var policy Backoff
	if c.opts.Backoff != nil {
		policy = c.opts.Backoff()
	}
	if policy == nil {
		_ = once()
	} else {
		_ = backoff.Retry(once, backoff.WithContext(policy, ctx))
	}
	switch {
	case last == nil:
		return conn, nil
	case ctx.Err() != nil && !errors.Is(last, ctx.Err()):
		return nil, collect(contextError(ctx), last)
	case ctx.Err() != nil:
		return nil, collect(contextError(ctx))
	}
	return nil, last
}
