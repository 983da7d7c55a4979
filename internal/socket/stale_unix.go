//go:build unix

package socket

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// probe reports, with a nil error, that somebody has a stream socket open at path.
// It asks with a datagram socket: a connection would be the one that a listening
// client accepts.
func probe(path string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: path})
	switch {
	case err == nil:
		conn.Close()
		return os.NewSyscallError("connect", unix.EPROTOTYPE) // a datagram socket
	case errors.Is(err, unix.EPROTOTYPE):
		return nil
	}
	return err
}
