//go:build !unix

package qmptest

import (
	"errors"
	"net"
	"os"
)

// readWithFDs is conn.Read: descriptors do not travel here.
func readWithFDs(conn net.Conn, p []byte) (n int, fds []int, err error) {
	n, err = conn.Read(p)
	return n, nil, err
}

func closeFDs([]int) {}

func newFiles([]int) []*os.File { return nil }

func socketPair() (client, server net.Conn, err error) {
	return nil, nil, errors.New("qmptest: this platform has no socket pairs")
}

func awaitUnread(*net.UnixConn) error {
	return errors.New("qmptest: this platform cannot tell whether a unix socket has unread bytes")
}
