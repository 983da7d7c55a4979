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

// Listen listens at addr, which is as for [Dial]. Only its owner can connect to
// a unix socket. A stale one, at which nobody listens, is replaced. Any other
// file, and a path where somebody listens, is an error that matches
// syscall.EADDRINUSE and fs.ErrExist. Close the listener when QEMU is there.
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

// Addr returns where it listens, with the port that the system chose for port 0.
func (l *Listener) Addr() net.Addr { return l.socket.Addr() }

// Accept takes the next QEMU that connects. It goes on listening; Close stops
// that, and removes a unix socket's file. When ctx ends, the error is what it
// ended with, and the listener is closed.
func (l *Listener) Accept(ctx context.Context) (*Client, error) {
	conn, err := l.socket.Accept(ctx)
	if err != nil {
		return nil, fmt.Errorf("qtest: accept at %v: %w", l.Addr(), err)
	}
	return New(conn), nil
}

// Close stops listening, and removes the file of a unix socket. An Accept that
// waits fails. It may be called any number of times.
func (l *Listener) Close() error { return l.socket.Close() }
