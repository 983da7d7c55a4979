package socket

import "net"

// A unixConn is a connection over a unix socket. Its addresses, and those in its
// errors, are the paths that the caller used. The system's addresses are the paths
// at which a socket was bound. For our listener that is the temporary folder in
// which the socket was made. For another program it is a path that may be relative
// to that program's working directory.
type unixConn struct {
	*net.UnixConn
	local, remote net.Addr
}

func (c *unixConn) LocalAddr() net.Addr  { return c.local }
func (c *unixConn) RemoteAddr() net.Addr { return c.remote }

func (c *unixConn) Read(b []byte) (int, error) {
	n, err := c.UnixConn.Read(b)
	return n, c.named(err)
}

func (c *unixConn) Write(b []byte) (int, error) {
	n, err := c.UnixConn.Write(b)
	return n, c.named(err)
}

func (c *unixConn) Close() error      { return c.named(c.UnixConn.Close()) }
func (c *unixConn) CloseWrite() error { return c.named(c.UnixConn.CloseWrite()) }

func (c *unixConn) named(err error) error { return named(err, c.local, c.remote) }

// named replaces the addresses in an error of package net.
func named(err error, local, remote net.Addr) error {
	if e, ok := err.(*net.OpError); ok { //nolint:errorlint // returned bare
		e.Source, e.Addr = local, remote
	}
	return err
}

// asUnix returns the *net.UnixConn that conn is or contains.
func asUnix(conn net.Conn) (*net.UnixConn, bool) {
	switch c := conn.(type) {
	case *net.UnixConn:
		return c, true
	case *unixConn:
		return c.UnixConn, true
	}
	return nil, false
}
