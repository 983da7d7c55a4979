//go:build unix

package qmptest

import (
	"io"
	"net"
	"os"
	"syscall"
)

// awaitUnread waits until conn has bytes to read, or until its read deadline. It
// does not read them.
func awaitUnread(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peekErr error
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		for {
			n, _, e := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
			switch {
			case e == syscall.EINTR:
				continue
			case e == syscall.EAGAIN:
				return false
			case e != nil:
				peekErr = os.NewSyscallError("recvfrom", e)
			case n == 0:
				peekErr = io.EOF
			}
			return true
		}
	})
	if err != nil {
		return err
	}
	return peekErr
}
