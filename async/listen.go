package async

import (
	"context"
	"net"

	"github.com/goqmp/qmp/internal/contexts"
	"github.com/goqmp/qmp/internal/socket"
)

// Listen listens for one peer at addr; [Client.Accept] takes it. The client is
// Connecting meanwhile. It must be idle before, and is idle again if the error
// is a [*ConnectError].
//
// A unix socket is made so that only its owner can connect, from its first
// moment. A stale socket, at which nobody listens, is replaced. Any other file is
// left alone, and so is a socket at which somebody listens: the error matches
// syscall.EADDRINUSE and fs.ErrExist.
func (c *Client) Listen(ctx context.Context, addr string) error {
	where, err := ParseAddress(addr)
	if err != nil {
		return err
	}
	a := &attempt{client: c, op: "listen", addr: addr}
	if err := a.begin(ctx, idle, binding); err != nil {
		return err
	}
	ln, err := socket.Listen(a.ctx, where.Network, where.Name)
	if err != nil {
		return a.fail(err)
	}
	if err := a.advance(&stage{doing: listening, socket: ln}); err != nil {
		return a.fail(joinErrors(err, ln.Close()))
	}
	return nil
}

// Accept takes the peer that connects to where [Client.Listen] listens, stops
// listening, waits for the greeting and negotiates, all bounded by ctx. When it
// stops listening, it removes the file of a unix socket, unless another file has
// taken its place; Disconnect and Close do so where no peer came. Without
// a listening client the error is a [*StateError]. Any other failure is a
// [*ConnectError], and the client is idle and no longer listens, except that a
// ctx which has already ended changes nothing.
func (c *Client) Accept(ctx context.Context) error {
	a := &attempt{client: c, op: "accept"}
	if err := a.begin(ctx, listening, accepting); err != nil {
		return err
	}
	ln := a.at.socket
	conn, err := ln.Accept(a.ctx)
	if err == nil {
		err = a.advance(&stage{doing: handshaking})
	}
	if closeErr := ln.Close(); err == nil {
		err = closeErr
	}
	if a.ctx.Err() != nil {
		err = contexts.Err(a.ctx)
	}
	if err != nil {
		if conn != nil {
			conn.Close()
		}
		return a.fail(err)
	}
	return a.establish(conn, false)
}

// A listeningSocket is a [socket.Listener], or what a test puts in its place.
type listeningSocket interface {
	Accept(ctx context.Context) (net.Conn, error)
	Addr() net.Addr
	Close() error // and removes the socket's file; may be called again
}
