//go:build unix

package socket

import (
	"net"
	"os"
)

// Pair returns the two ends of a pair of unix sockets: ours as a connection,
// theirs as a file, for a process to inherit or for [net.FileConn]. Both are
// closed on exec.
func Pair() (ours net.Conn, theirs *os.File, err error) {
	fds, err := socketpair()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	f := os.NewFile(uintptr(fds[0]), "socketpair")
	theirs = os.NewFile(uintptr(fds[1]), "socketpair")
	ours, err = net.FileConn(f)
	err = also(err, f.Close()) // the connection has a descriptor of its own
	if err == nil {
		return ours, theirs, nil
	}
	if ours != nil {
		err = also(err, ours.Close())
	}
	return nil, nil, also(err, theirs.Close())
}
