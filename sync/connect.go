package qmpsync

import (
	"net"
	"time"
)

// Connect connects to the server at addr (see [async.ParseAddress] for what
// addr may be), waits for the greeting and negotiates capabilities, all within
// Options.ConnectLimit. The client must be idle, or the error is an
// [*async.StateError]; any other failure is an [*async.ConnectError], or an
// [*async.AddressError], and leaves it idle.
func (c *Client) Connect(addr string) error {
	ctx, cancel := within("connect", c.opts.connectLimit())
	defer cancel()
	return c.async.Connect(ctx, addr)
}

// ConnectUnnegotiated is Connect without the handshake: it returns as soon as
// the connection is there. That holds for this one connection.
func (c *Client) ConnectUnnegotiated(addr string) error {
	ctx, cancel := within("connect", c.opts.connectLimit())
	defer cancel()
	return c.async.ConnectUnnegotiated(ctx, addr)
}

// Attach is Connect over a connection that is open already. The client takes
// conn over, and closes it, also if Attach fails for another reason than the
// client's state.
func (c *Client) Attach(conn net.Conn) error {
	ctx, cancel := within("connect", c.opts.connectLimit())
	defer cancel()
	return c.async.Attach(ctx, conn)
}

// Listen listens for one peer at addr; [Client.Accept] takes it. The client
// must be idle, or the error is an [*async.StateError]; it is connecting
// afterwards. A unix socket is made so that only its owner can connect. A stale
// one is replaced. Where somebody listens, or any other file is, the error matches
// syscall.EADDRINUSE and fs.ErrExist.
func (c *Client) Listen(addr string) error {
	ctx, cancel := within("listen", c.opts.connectLimit())
	defer cancel()
	return c.async.Listen(ctx, addr)
}

// Accept takes the peer that connects to where [Client.Listen] listens, stops
// listening, waits for the greeting and negotiates, all within timeout: 0 is no
// limit. When it stops listening, it removes the file of a unix socket, unless
// another file has taken its place; Disconnect and Close do so where no peer
// came. Without a listening client the error is an [*async.StateError]. Any
// other failure is an [*async.ConnectError], and the client is idle and no
// longer listens, except that a negative timeout changes nothing.
func (c *Client) Accept(timeout time.Duration) error {
	ctx, cancel := within("accept", timeLimit{d: timeout})
	defer cancel()
	return c.async.Accept(ctx)
}

// Disconnect ends the connection and returns when nothing of it is left. What
// is being written is finished first, unless the peer does not take it within
// Options.CloseLimit. Calls that wait end with an [*async.ExecInterruptedError].
//
// Where the connection has already ended by itself, the error is why, once; the
// client is idle afterwards. An orderly end is nil. While the client is
// connecting or listening, Disconnect calls that off.
func (c *Client) Disconnect() error {
	ctx, cancel := within("disconnect", c.opts.closeLimit())
	defer cancel()
	return c.async.Disconnect(ctx)
}

// Close is [Client.Disconnect] without waiting for the peer to take what is
// being written, for a defer.
func (c *Client) Close() error { return c.async.Close() }
