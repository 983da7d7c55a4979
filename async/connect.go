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

// Connect connects to the server at addr (see [ParseAddress] for what addr may be),
// waits for the greeting and negotiates capabilities. ctx bounds all of that, and
// nothing after it. Connect dials once, unless Options.Backoff is set.
//
// The error is a [*StateError] if the client is not idle, and an [*AddressError] if
// addr is not an address. Any other failure is a [*ConnectError]; the client is idle
// then. If ctx has already ended, Connect does nothing else. If Disconnect or Close
// cancels Connect, the error matches [ErrClosed] and context.Canceled.
//
// If the server hangs up immediately after its reply to the negotiation, Connect may
// return that as an error. Or it may succeed, and Disconnect then returns the cause.
func (c *Client) Connect(ctx context.Context, addr string) error {
	return c.connectTo(ctx, addr, false)
}

// ConnectUnnegotiated is [Client.Connect] without the handshake. It returns as soon
// as the connection is made, and does not wait for a greeting or send
// qmp_capabilities, whatever SkipGreeting and SkipNegotiation in [Options] say. The
// next Connect follows the options again.
func (c *Client) ConnectUnnegotiated(ctx context.Context, addr string) error {
	return c.connectTo(ctx, addr, true)
}

// connectTo is Connect, or ConnectUnnegotiated if bare is true.
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

// Attach is [Client.Connect] over a connection that is already open. The client owns
// conn from then on, and closes it if Attach fails. Only if the error is a
// [*StateError], conn still belongs to the caller.
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

// connect makes a connection with dial, and a session over it. addr is for errors. bare
// leaves out the handshake.
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

// establish makes a session over conn and does the handshake, unless bare is true.
// Then the attempt is over: the client is running, or idle again if establish returns
// an error. The client is handshaking before.
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

// dial makes a connection. It calls dial once, or as often as the policy and the
// context allow if Options.Backoff is set.
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
			<-ctx.Done() // package net looks at the clock, and may do so before ctx's timer fires
		}
		if err != nil && ctx.Err() != nil && last != nil {
			return backoff.Permanent(last) // the last full attempt says more than this interrupted one
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
		return nil, joinErrors(contexts.Err(ctx), last)
	case ctx.Err() != nil:
		return nil, contexts.Err(ctx)
	}
	return nil, last
}
