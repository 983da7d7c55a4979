//go:build unix

package socket

import (
	"net"
	"os"
)

// Pair returns two unix sockets that are connected to each other: ours as a
// connection, theirs as a file, which a process can inherit or [net.FileConn] can
// take. The caller closes both. Both have the flag close-on-exec.
func Pair() (ours net.Conn, theirs *os.File, err error) {
	fds, err := socketpair()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	f := os.NewFile(uintptr(fds[0]), "socketpair")
	theirs = os.NewFile(uintptr(fds[1]), "socketpair")
	ours, err = net.FileConn(f)
	err = also(err, f.Close()) // the connection has its own descriptor
	if err == nil {
		return ours, theirs, nil
	}
	if ours != nil {
		err = also(err, ours.Close())
	}
	return nil, nil, also(err, theirs.Close())
}
