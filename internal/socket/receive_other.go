//go:build !unix

package socket

import (
	"net"
	"os"
)

// Read is conn.Read: on this system descriptors cannot be received.
func Read(conn net.Conn, p []byte) (n int, fds []int, err error) {
	n, err = conn.Read(p)
	return n, nil, err
}

// CloseFDs closes descriptors that [Read] returned.
func CloseFDs([]int) {}

// Files makes files from descriptors that [Read] returned.
func Files([]int) []*os.File { return nil }
