package qtest

import (
	"context"
	"fmt"
	"net"

	"github.com/goqmp/qmp/async"
)

// Dial connects to a QEMU that listens at addr: a path, unix:PATH, @name,
// host:port or tcp:host:port, as [async.ParseAddress] has it. It tries once: QEMU
// listens as soon as its monitor answers.
func Dial(ctx context.Context, addr string) (*Client, error) {
	a, err := parseAddress(addr)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, a.Network, a.Name)
	if err != nil {
		return nil, fmt.Errorf("qtest: %w", err)
	}
	return New(conn), nil
}

// A Listener waits for a QEMU that connects.
type Listener struct {
	listener net.Listener
}

// Listen listens at addr, which is as for [Dial]. Whoever can connect to a unix
// socket gets in: put it into a directory that only its owner can enter. Close
// the listener when QEMU is there.
func Listen(addr string) (*Listener, error) {
	a, err := parseAddress(addr)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen(a.Network, a.Name)
	if err != nil {
		return nil, fmt.Errorf("qtest: %w", err)
	}
	return &Listener{listener: l}, nil
}

// Addr returns where it listens, with the port that the system chose for port 0.
func (l *Listener) Addr() net.Addr { return l.listener.Addr() }

// Accept takes the next QEMU that connects. When ctx ends, the error is what it
// ended with, and the listener is closed.
func (l *Listener) Accept(ctx context.Context) (*Client, error) {
	stop := context.AfterFunc(ctx, func() { l.listener.Close() })
	defer stop()
	conn, err := l.listener.Accept()
	switch {
	case err == nil:
		return New(conn), nil
	case ctx.Err() != nil:
		err = contextError(ctx)
	}
	return nil, fmt.Errorf("qtest: accept at %v: %w", l.Addr(), err)
}

// Close stops listening, and removes a unix socket. An Accept that waits fails.
func (l *Listener) Close() error { return l.listener.Close() }

func parseAddress(addr string) (async.Address, error) {
	a, err := async.ParseAddress(addr)
	if err != nil {
		return a, err
	}
	if a.Network != "unix" && a.Network != "tcp" {
		return a, &async.AddressError{Address: addr, Problem: a.Network + " is not for qtest; make the connection and hand it to New"}
	}
	return a, nil
}
