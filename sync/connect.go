package qmpsync

import (
	"net"
	"time"
)

// Connect connects to the server at addr, waits for the greeting and negotiates
// capabilities, all within Options.ConnectLimit. [async.ParseAddress] says what
// addr may be. If the client is not idle, the error is an [*async.StateError]. Any
// other error is an [*async.ConnectError] or an [*async.AddressError], and the
// client is idle after it.
func (c *Client) Connect(addr string) error {
	ctx, cancel := within("connect", c.opts.connectLimit())
	defer cancel()
	return c.async.Connect(ctx, addr)
}

// ConnectUnnegotiated is [Client.Connect] without the handshake: it returns as soon
// as the connection is established. That holds for this one connection.
func (c *Client) ConnectUnnegotiated(addr string) error {
	ctx, cancel := within("connect", c.opts.connectLimit())
	defer cancel()
	return c.async.ConnectUnnegotiated(ctx, addr)
}

// Attach is [Client.Connect] over a connection that is already open. From then on
// the client owns conn and closes it, also if Attach fails. Only if the error is an
// [*async.StateError], conn stays the caller's.
func (c *Client) Attach(conn net.Conn) error {
	ctx, cancel := within("connect", c.opts.connectLimit())
	defer cancel()
	return c.async.Attach(ctx, conn)
}

// Listen listens at addr for one peer, which [Client.Accept] then takes. If the
// client is not idle, the error is an [*async.StateError]. After Listen the client
// is connecting. Listening has to begin within Options.ConnectLimit.
//
// Listen makes a unix socket so that only its owner can connect. It replaces the
// file of a stale socket, one at which nobody listens. If somebody listens at the
// path, or it is another kind of file, the error matches syscall.EADDRINUSE and
// fs.ErrExist.
func (c *Client) Listen(addr string) error {
	ctx, cancel := within("listen", c.opts.connectLimit())
	defer cancel()
	return c.async.Listen(ctx, addr)
}

// Accept waits for a peer to connect to the address of [Client.Listen], stops
// listening, waits for the greeting and negotiates, all within timeout. A timeout
// of 0 means no limit.
//
// When Accept stops listening, it removes the file of a unix socket, unless another
// file has taken its place. If no peer came, Disconnect and Close remove it.
//
// If the client does not listen, the error is an [*async.StateError]. Any other
// error is an [*async.ConnectError]; the client is idle after it and no longer
// listens. A negative timeout is the exception: Accept fails, and the client still
// listens.
func (c *Client) Accept(timeout time.Duration) error {
	ctx, cancel := within("accept", timeLimit{d: timeout})
	defer cancel()
	return c.async.Accept(ctx)
}

// Disconnect ends the connection and returns when nothing of it is left. It first
// finishes the message that is being written, unless the peer does not take it
// within Options.CloseLimit. Commands that wait for their reply end with an
// [*async.ExecInterruptedError].
//
// If the connection has already ended for another reason, Disconnect returns that
// reason, once. If the peer did not take the message in time, the error wraps an
// [*async.TimeoutError]. Otherwise it is nil. After Disconnect the client is idle, also
// if there was an error. If the client is connecting or listening, Disconnect stops that.
func (c *Client) Disconnect() error {
	ctx, cancel := within("disconnect", c.opts.closeLimit())
	defer cancel()
	return c.async.Disconnect(ctx)
}

// Close is [Client.Disconnect], but does not wait for the peer to take the message
// that is being written. It is meant for a defer.
func (c *Client) Close() error { return c.async.Close() }
