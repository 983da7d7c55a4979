package agent

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/socket"
)

// A Client executes commands of one guest agent. All methods may be called concurrently.
// A Client must not be copied. It is an [async.Caller], so the functions of package qga
// take it.
type Client struct {
	opts   Options
	engine *async.Client
	wire   wire
	turn   chan struct{} // has one token; a command has it if the agent does not send ids back
	trust  trust
	offer  offer
	ends   ends

	another func(context.Context) (*Client, error) // makes another client of this agent; nil after Attach
}

// Dial connects to the guest agent at addr, and waits until it answers. See
// [async.ParseAddress] for what addr may be. If Options.Engine has a Dialer, addr only
// names the connection in errors.
//
// An agent that is not running yet, for example because the guest still boots, looks like
// silence. Dial asks it from time to time until ctx ends, so a caller that waits for the
// guest gives Dial a context with a longer deadline. If the socket does not exist yet,
// Dial fails immediately, unless Options.Engine has a Backoff.
//
// With Options.Engine.Reconnect the client connects again by itself, and resynchronizes
// each time. A Cmd that runs in the guest goes on then. Programs and files of the guest are
// not affected by a connection's end.
//
// The errors are those of [async.Client.Connect], and those of the command guest-info,
// which is the first that Dial executes.
func Dial(ctx context.Context, addr string, opts *Options) (*Client, error) {
	c := newClient(opts)
	dial := c.opts.Engine.Dialer
	if dial == nil {
		address, err := async.ParseAddress(addr)
		if err != nil {
			return nil, err
		}
		dial = func(ctx context.Context) (net.Conn, error) { return socket.Dial(ctx, address.Network, address.Name) }
	}
	c.another = func(ctx context.Context) (*Client, error) { return Dial(ctx, addr, &c.opts) }
	return c.connect(ctx, addr, dial)
}

// Attach is [Dial] over a connection that is already open, such as one that was accepted
// from a QEMU that connects to this side. The client owns conn from then on, and closes
// it if Attach fails.
func Attach(ctx context.Context, conn net.Conn, opts *Options) (*Client, error) {
	taken := false
	c, err := newClient(opts).connect(ctx, "", func(context.Context) (net.Conn, error) {
		if taken {
			return nil, errors.New("the connection that was given to agent.Attach has ended")
		}
		taken = true
		return conn, nil
	})
	if err != nil && !taken {
		conn.Close()
	}
	return c, err
}

func newClient(opts *Options) *Client {
	c := &Client{turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	c.trust.init()
	c.ends.init()
	if opts != nil {
		c.opts = *opts
	}
	return c
}

// connect connects with dial, and asks the agent what it offers. addr is for errors.
func (c *Client) connect(ctx context.Context, addr string, dial func(context.Context) (net.Conn, error)) (*Client, error) {
	c.engine = async.New(c.engineOptions(dial))
	if err := c.engine.Connect(ctx, addr); err != nil {
		return nil, err
	}
	if c.reconnects() {
		return c, nil // OnConnect has done the rest
	}
	if err := c.greet(ctx, c.engine); err != nil {
		_ = c.engine.Close() // err says more
		return nil, err
	}
	return c, nil
}

// reconnects reports whether the client connects again by itself.
func (c *Client) reconnects() bool { return c.opts.Engine.Reconnect != nil }

// greet executes guest-info by caller, the first command on a connection. The reply also
// shows whether the agent sends ids back.
func (c *Client) greet(ctx context.Context, caller async.Caller) error {
	err := c.ask(ctx, caller)
	if err != nil && c.wire.one() { // the agent has refused the id
		err = c.ask(ctx, caller)
	}
	return err
}

// Close ends the connection immediately, as [async.Client.Close] does. It returns why the
// connection had ended before, or nil.
func (c *Client) Close() error { return c.engine.Close() }

// Disconnect ends the connection after the message that is being written, as
// [async.Client.Disconnect] does.
func (c *Client) Disconnect(ctx context.Context) error { return c.engine.Disconnect(ctx) }

// Done returns a channel that is closed when the connection has ended, as
// [async.Client.Done] does. [Client.Err] then returns the cause.
func (c *Client) Done() <-chan struct{} { return c.engine.Done() }

// Err returns why the connection ended, as [async.Client.Err] does.
func (c *Client) Err() error { return c.engine.Err() }

// isInterruption reports whether err says that the connection has ended, or that there is
// none at the moment, although the client is going to connect again.
func (c *Client) isInterruption(ctx context.Context, err error) bool {
	_, interrupted := errors.AsType[*async.ExecInterruptedError](err)
	_, state := errors.AsType[*async.StateError](err)
	return (interrupted || state) && ctx.Err() == nil && c.reconnects() && !c.isOver()
}

// again calls f, and calls it again if the connection ends meanwhile and the client connects
// again. f may be executed several times in the guest.
func (c *Client) again(ctx context.Context, f func() error) error {
	for {
		err := f()
		if !c.isInterruption(ctx, err) {
			return err
		}
		timer := time.NewTimer(longestLook)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return contexts.Err(ctx)
		}
	}
}

// isOver reports whether the client has no connection, and is not going to have one.
func (c *Client) isOver() bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}
