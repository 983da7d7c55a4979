//go:build unix

// Helpers of the tests over unix sockets.
package async_test

import (
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/goqmp/qmp/async"
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

// accepts lets a script connect to the address where c listens, and executes a
// command.
func accepts(t *testing.T, c *async.Client, network, addr string) {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	server := newTokenServer(conn, "oob")
	go server.serve()
	wantNil(t, "Accept", c.Accept(t.Context()))
	execute(t, c, "x", `"x"`)
	if c.ListenAddr() != nil {
		t.Errorf("ListenAddr after Accept: got %v, want none", c.ListenAddr())
	}
	if again, err := net.Dial(network, addr); err == nil {
		again.Close()
		t.Errorf("after Accept, something still listens at %s", addr)
	}
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	server.wait()
}
