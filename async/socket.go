package async

import (
	"errors"
	"fmt"
	"syscall"
)

// SyscallConn returns the socket of the present connection, to ask the system about it,
// such as for the credentials of the server's process. Do not read from it or write to
// it: that breaks the connection. The error is a [*StateError] if the client is not
// running. It matches errors.ErrUnsupported if the connection is not a socket of the
// system, but TLS or an in-memory pipe, say.
func (c *Client) SyscallConn() (syscall.RawConn, error) {
	s, err := c.running("get the socket")
	if err != nil {
		return nil, err
	}
	socket, ok := s.conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("%sthe connection is a %T, not a socket: %w", prefix(c.name()), s.conn, errors.ErrUnsupported)
	}
	return socket.SyscallConn()
}

// CanSendFiles reports whether file descriptors can be sent with commands: the client is
// running, and its connection is a unix socket, on a system that can send them.
func (c *Client) CanSendFiles() bool {
	s, err := c.running("send file descriptors")
	return err == nil && s.out.CheckFiles() == nil
}
