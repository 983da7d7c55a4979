package async

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/goqmp/qmp/internal/contexts"
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
	a := &attempt{client: c, op: "connect", addr: addr}
	if err := a.begin(ctx, idle, dialing); err != nil {
		return err
	}
	conn, err := a.dial(dial)
	if err != nil {
		return a.fail(err)
	}
	if err := a.advance(&stage{doing: handshaking}); err != nil {
		conn.Close()
		return a.fail(err)
	}
	return a.establish(conn, bare)
}

// establish makes a session over conn, and ends the attempt either way. The client
// is handshaking.
func (a *attempt) establish(conn net.Conn, bare bool) error {
	a.reached = StageSession
	h := newHandshake(a.client, bare)
	s := newSession(a.client, conn, a.addr, h)
	err := s.greetAndNegotiate(a.ctx, h)
	if err == nil {
		err = a.advance(&stage{doing: running, session: s})
	}
	if err != nil {
		s.end(err, nil)
		s.wg.Wait()
		return a.fail(err)
	}
	s.log.Debug("qmp: connected")
	return nil
}

// dial dials, again and again if the policy says so.
func (a *attempt) dial(dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	c, ctx := a.client, a.ctx
	var conn net.Conn
	var last error
	once := func() error {
		a.dials++
		var err error
		conn, err = dial(ctx)
		if conn == nil && err == nil {
			err = errors.New("async.Options.Dialer returned no connection")
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
		return nil, collect(contexts.Err(ctx), last)
	case ctx.Err() != nil:
		return nil, collect(contexts.Err(ctx))
	}
	return nil, last
}
