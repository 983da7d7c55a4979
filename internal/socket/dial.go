package socket

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Dial makes one attempt to connect to name on a network: "unix" with a path or
// @name, "tcp" with host:port, "vsock" with cid:port, or "fd" with the number of
// an inherited descriptor.
func Dial(ctx context.Context, network, name string) (net.Conn, error) {
	switch network {
	case "fd":
		return dialFD(name)
	case "vsock":
		cid, port, err := SplitVsock(name)
		if err != nil {
			return nil, err
		}
		return dialVsock(ctx, cid, port)
	case "unix":
		if err := checkPath(name); err != nil {
			return nil, err
		}
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, name)
	if err != nil {
		return nil, err
	}
	if u, ok := conn.(*net.UnixConn); ok {
		return &unixConn{UnixConn: u, local: u.LocalAddr(), remote: unixAddr(name)}, nil
	}
	return conn, nil
}

// SplitVsock parses "cid:port".
func SplitVsock(text string) (cid, port uint32, err error) {
	c, p, ok := strings.Cut(text, ":")
	if !ok {
		return 0, 0, fmt.Errorf("no port after the context id %q", text)
	}
	n, err := strconv.ParseUint(c, 10, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("context id %q is not a number of 32 bits", c)
	}
	m, err := strconv.ParseUint(p, 10, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("port %q is not a number of 32 bits", p)
	}
	return uint32(n), uint32(m), nil
}

// maxUnixPath is the length of the longest path of a unix socket on this system,
// in bytes, without the zero byte at its end: sizeof(sun_path) - 1.
const maxUnixPath = sunPathLen - 1

// checkPath returns an error for a path that is too long. The system's own error
// is just "invalid argument".
func checkPath(path string) error {
	if len(path) > maxUnixPath {
		return fmt.Errorf("path of %d bytes is longer than the %d bytes that a unix socket can have on this system; use a shorter one, or a relative one", len(path), maxUnixPath)
	}
	return nil
}
