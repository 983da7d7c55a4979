package async

import (
	"context"
	"net"

	"github.com/goqmp/qmp/internal/socket"
)

// Listen makes a socket that listens at addr (see [ParseAddress]), for a server that
// connects to the client. It does not wait: [Client.Accept] waits for the server. The
// client is [Connecting] after Listen. ctx bounds Listen only.
//
// The error is a [*StateError] if the client is not idle, an [*AddressError] if addr is
// not an address, or a [*ConnectError]; the client is idle then.
//
// Only the owner of a unix socket can connect to it, from the moment it is made. Listen
// replaces a stale socket, at which no program listens. It leaves any other file alone,
// and a socket at which a program listens: the error then matches syscall.EADDRINUSE
// and fs.ErrExist.
func (c *Client) Listen(ctx context.Context, addr string) error {
	where, err := ParseAddress(addr)
	if err != nil {
		return err
	}
	a := &attempt{client: c, line: &line{op: "listen", addr: addr}}
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

// Accept waits for one server to connect to the socket of [Client.Listen], stops
// listening, waits for the greeting and negotiates capabilities. ctx bounds all of
// that, and nothing after it. With AcceptTLS in [Options] it begins with TLS. With
// Options.Reconnect the client goes on listening until it is idle, and accepts the next
// server when the connection has ended unexpectedly. (A QEMU with the option reconnect
// connects by itself.)
//
// When Accept stops listening, it removes the file of a unix socket, unless another
// file has taken its place. If Accept is not called, Disconnect and Close do so.
//
// The error is a [*StateError] if the client does not listen, or if another Accept
// waits. Any other failure is a [*ConnectError]; the client is idle then, and does not
// listen any more. If ctx has already ended, Accept does nothing else, and the client
// goes on listening.
func (c *Client) Accept(ctx context.Context) error {
	a := &attempt{client: c, line: &line{op: "accept"}}
	if err := a.begin(ctx, listening, accepting); err != nil {
		return err
	}
	a.socket = a.at.socket
	if c.opts.Reconnect != nil {
		a.series = newSeries(&c.opts)
	}
	return a.connect()
}

// A listeningSocket is a [socket.Listener]. Tests replace it.
type listeningSocket interface {
	Accept(ctx context.Context) (net.Conn, error)
	Addr() net.Addr
	Close() error // removes the socket's file, too; may be called again
}
