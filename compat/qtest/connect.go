package qtest

import (
	"context"
	"fmt"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/socket"
)

// Dial connects to a QEMU that listens at addr: a path, unix:PATH, @name, host:port or
// tcp:host:port, as for [async.ParseAddress]. It tries once. That is enough if QEMU's
// monitor has answered before: QEMU listens for qtest by then. The error is an
// [*async.AddressError] if addr is not an address for qtest; otherwise it is the
// system's, or what ctx ended with. ctx limits Dial only.
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

// parseAddress parses addr, and refuses networks that Dial and Listen do not support.
func parseAddress(addr string) (async.Address, error) {
	a, err := async.ParseAddress(addr)
	if err != nil {
		return a, err
	}
	if a.Network != "unix" && a.Network != "tcp" {
		return a, &async.AddressError{Address: addr, Problem: a.Network + " is not for qtest: connect by other means and pass the connection to qtest.New"}
	}
	return a, nil
}
