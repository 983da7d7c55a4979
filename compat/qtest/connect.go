package qtest

import (
	"context"
	"fmt"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/socket"
)

// Dial connects to a QEMU that listens at addr: a path, unix:PATH, @name,
// host:port or tcp:host:port, as [async.ParseAddress] has it. It tries once: QEMU
// listens as soon as its monitor answers.
func Dial(ctx context.Context, addr string) (*Client, error) {
	a, err := parseAddress(addr)
	if err != nil {
		return nil, err
	}
	conn, err := socket.Dial(ctx, a.Network, a.Name)
	if err != nil {
		return nil, fmt.Errorf("qtest: %w", err)
	}
	return New(conn), nil
}

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
