//go:build unix

// Helpers of the tests that need a pair of unix sockets.
package async_test

import (
	"net"
	"os"
	"syscall"
	"testing"
)

// socketPairFDs returns the descriptors of a pair of unix sockets.
func socketPairFDs(t testing.TB) [2]int {
	t.Helper()
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return fds
}

// socketPair returns the two ends of a pair of unix sockets, which are closed
// when the test is over.
func socketPair(t testing.TB) (client, server *net.UnixConn) {
	t.Helper()
	fds := socketPairFDs(t)
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		conn, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = conn.(*net.UnixConn)
		t.Cleanup(func() { conn.Close() })
	}
	return conns[0], conns[1]
}
