package async

import (
	"context"
	"errors"
	"net"
	"time"

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
		if a.Network == "fd" && c.opts.Reconnect != nil {
			dial = func(context.Context) (net.Conn, error) { return nil, errOnce }
		}
	}
	return c.connect(ctx, &line{op: "connect", addr: addr, dial: dial, bare: bare})
}

// errOnce says that Reconnect is set, and the connection cannot be made again.
var errOnce = errors.New("async.Options.Reconnect needs a way to connect again, and a connection that is already open has none: " +
	"set async.Options.Dialer, or do not set Reconnect")

// Attach is [Client.Connect] over a connection that is already open. The client owns
// conn from then on, and closes it if Attach fails. Only if the error is a
// [*StateError], conn still belongs to the caller. With Options.Reconnect, the client
// connects again with Options.Dialer; without a Dialer, Attach fails.
func (c *Client) Attach(ctx context.Context, conn net.Conn) error {
	taken := false
	err := c.connect(ctx, &line{op: "connect", dial: func(ctx context.Context) (net.Conn, error) {
		switch {
		case c.opts.Reconnect != nil && c.opts.Dialer == nil:
			return nil, errOnce
		case taken:
			return c.opts.Dialer(ctx)
		}
		taken = true
		return conn, nil
	}})
	if _, wrongState := errors.AsType[*StateError](err); err != nil && !taken && !wrongState {
		conn.Close()
	}
	return err
}

// connect makes the first connection of l, and a session over it.
func (c *Client) connect(ctx context.Context, l *line) error {
	a := &attempt{client: c, line: l}
	if err := a.begin(ctx, idle, dialing); err != nil {
		return err
	}
	a.series = newSeries(&c.opts)
	return a.connect()
}

// connect makes the first connection of the line, and a session over it. It dials
// again, as often as the policy and the context allow, while the server is not there
// yet. The client is dialing or accepting before; then it is running, or idle again if
// connect returns an error.
func (a *attempt) connect() error {
	a.first = true
	var last error // of the last attempt that was not cut short
	for {
		opened, err := a.try()
		switch {
		case err == nil:
			return nil
		case opened:
			return a.fail(err)
		case a.ctx.Err() == nil:
			last = err
		case last == nil:
			return a.fail(endedWith(a.ctx, err))
		default:
			return a.fail(endedWith(a.ctx, last)) // it says more than err
		}
		if a.series == nil || !socket.NotReady(err) || a.permanent(err) != "" {
			return a.fail(err)
		}
		wait, why := a.series.failed(err)
		if why != "" {
			return a.fail(err)
		}
		if a.pause(wait) != nil {
			return a.fail(endedWith(a.ctx, err))
		}
	}
}

// try makes one attempt to connect: the client is running if err is nil. opened says
// that the connection was made.
func (a *attempt) try() (opened bool, err error) {
	a.reached = StageConnection
	if a.series != nil {
		a.series.attempts++
	}
	accepts := a.socket != nil
	ctx, stop := a.limited(!accepts) // a server may connect at any time
	defer stop()
	open := a.open
	if accepts {
		open = a.accept
	}
	conn, err := open(ctx)
	if err != nil {
		return false, err
	}
	if accepts {
		ctx, stop = a.limited(true)
		defer stop()
	}
	err = a.advance(&stage{doing: handshaking})
	if err == nil && !a.keepsListening() {
		err = a.closeSocket()
	}
	if accepts && a.ctx.Err() != nil {
		err = contexts.Err(a.ctx)
	}
	if err != nil {
		conn.Close()
		return true, err
	}
	if config := a.client.opts.AcceptTLS; accepts && config != nil {
		if conn, err = acceptTLS(ctx, conn, config); err != nil {
			return true, err
		}
	}
	return true, a.establish(ctx, conn)
}

// open dials once. ctx is that of one attempt.
func (a *attempt) open(ctx context.Context) (net.Conn, error) {
	a.dials++
	conn, err := a.dial(ctx)
	if conn == nil && err == nil {
		err = errors.New("async.Options.Dialer returned no connection")
	}
	if err == nil {
		return conn, nil
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done() // package net looks at the clock, and may do so before ctx's timer fires
	}
	if ctx.Err() != nil && a.ctx.Err() == nil {
		err = endedWith(ctx, err) // the limit of one attempt
	}
	return nil, err
}

// accept waits until a server connects.
func (a *attempt) accept(ctx context.Context) (net.Conn, error) {
	conn, err := a.socket.Accept(ctx)
	if err != nil && ctx.Err() != nil {
		err = contexts.Err(ctx)
	}
	return conn, err
}

// endedWith returns an error that matches err and why ctx ended.
func endedWith(ctx context.Context, err error) error {
	if errors.Is(err, ctx.Err()) {
		return contexts.Err(ctx)
	}
	return joinErrors(contexts.Err(ctx), err)
}

// establish makes a session over conn, does the handshake, unless bare is true, and
// calls OnConnect. Then the client is running, or establish returns an error and
// nothing is left of the session. The client is handshaking before. ctx is that of the
// attempt.
func (a *attempt) establish(ctx context.Context, conn net.Conn) error {
	a.reached = StageSession
	c := a.client
	h := newHandshake(c, a.bare)
	s := newSession(c, conn, a.addr, h)
	err := s.greetAndNegotiate(ctx, h)
	if err == nil {
		err = a.prepare(ctx, s)
	}
	if err == nil {
		err = a.run(s)
	}
	if err != nil {
		s.end(err, nil)
		s.wg.Wait()
	}
	return err
}

// run moves the client to running with s. After that the line belongs to the goroutine
// that connects again.
func (a *attempt) run(s *session) error {
	c := a.client
	next := &stage{doing: running, session: s}
	attempts := 0
	if c.opts.Reconnect != nil {
		next.line, a.since, attempts = a.line, time.Now(), a.series.attempts
	}
	release := s.hold()
	defer release()
	if err := a.advance(next); err != nil {
		return err
	}
	if a.lost != nil {
		s.log.Info("qmp: connected again", "attempts", attempts)
	} else {
		s.log.Debug("qmp: connected")
	}
	return nil
}
