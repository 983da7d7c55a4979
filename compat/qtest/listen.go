package qtest

import (
	"context"
	"fmt"
	"net"

	"github.com/goqmp/qmp/internal/socket"
)

// A Listener waits for a QEMU that connects. All methods may be called
// concurrently.
type Listener struct{ socket *socket.Listener }

// Listen listens at addr, which has the form that [Dial] takes. Only this user can
// connect to a unix socket. Listen replaces a stale socket, at which nobody listens.
// If there is any other file, or another program listens there, the error matches
// syscall.EADDRINUSE and fs.ErrExist. If addr is not an address for qtest, it is an
// [*async.AddressError]. Close the listener after QEMU has connected.
func Listen(addr string) (*Listener, error) {
	a, err := parseAddress(addr)
	if err != nil {
		return nil, err
	}
	l, err := socket.Listen(context.Background(), a.Network, a.Name)
	if err != nil {
		return nil, fmt.Errorf("qtest: %w", err)
	}
	return &Listener{l}, nil
}

// Addr returns the address at which l listens. For port 0 it has the port that the
// system has chosen.
func (l *Listener) Addr() net.Addr { return l.socket.Addr() }

// Accept waits for the next QEMU that connects, and returns a client for it. The
// listener goes on listening after that; Close stops it. When ctx ends, the listener
// is closed, and the error is what ctx ended with. After Close the error matches
// net.ErrClosed.
func (l *Listener) Accept(ctx context.Context) (*Client, error) {
	conn, err := l.socket.Accept(ctx)
	if err != nil {
		return nil, fmt.Errorf("qtest: accept at %v: %w", l.Addr(), err)
	}
	return New(conn), nil
}

// Close stops listening, and removes the file of a unix socket. An Accept that waits
// fails. Clients that Accept has returned stay connected. Close may be called any
// number of times.
func (l *Listener) Close() error { return l.socket.Close() }
