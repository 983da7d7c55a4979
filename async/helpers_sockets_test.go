// Helpers of the tests over real sockets.
package async_test

import (
	"net"
	"testing"
)

// realPair returns the two ends of a connection over a unix socket or over TCP.
func realPair(t *testing.T, unix bool) (near, far net.Conn) {
	t.Helper()
	network, addr := "tcp", "127.0.0.1:0"
	if unix {
		network, addr = "unix", socketPath(t)
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if near, err = net.Dial(network, ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}
