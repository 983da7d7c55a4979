package mux

import (
	"context"
	"net"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/socket"
)

// Listen makes a listener for [Mux.Serve] at addr, which is as in [async.ParseAddress]. ctx
// bounds this call only.
//
// Only the owner of a unix socket can connect to it, from the moment it is made. Listen
// replaces a stale socket, at which no program listens. It leaves any other file alone, and a
// socket at which a program listens: the error then matches syscall.EADDRINUSE and
// fs.ErrExist. Close removes the socket's file, unless another file has taken its place.
//
// Everybody who reaches a TCP port can connect to it: QMP has no password. See
// [tls.NewListener] for one that asks for certificates.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	where, err := async.ParseAddress(addr)
	if err != nil {
		return nil, err
	}
	ln, err := socket.Listen(ctx, where.Network, where.Name)
	if err != nil {
		return nil, err
	}
	return listener{ln}, nil
}

// A listener is a socket.Listener as a net.Listener.
type listener struct{ *socket.Listener }

// Accept waits for the next user.
func (l listener) Accept() (net.Conn, error) {
	return l.Listener.Accept(context.Background())
}
