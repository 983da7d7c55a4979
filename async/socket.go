package async

import (
	"errors"
	"fmt"
	"syscall"
)

// SyscallConn gives access to the socket of the present connection, to ask the
// system about it: the peer's credentials, say. Reading from it or writing to it
// breaks the connection. Without a connection the error is a [*StateError]; one
// that is no socket of the system (TLS, an in-memory pipe) gives one that
// matches errors.ErrUnsupported.
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

// CanSendFiles reports whether commands can take file descriptors along: the
// client is connected, over a unix socket, on a system that passes them.
func (c *Client) CanSendFiles() bool {
	s, err := c.running("send file descriptors")
	return err == nil && s.out.CheckFiles() == nil
}
