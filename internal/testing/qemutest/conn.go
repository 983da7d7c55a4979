package qemutest

import (
	"net"
	"testing"
	"time"
)

// Conn connects to a unix socket as soon as a program listens there, for a test that
// writes and reads bytes. The connection has the deadline [Patience], and is closed when
// the test ends.
func Conn(t testing.TB, path string) net.Conn {
	t.Helper()
	for limit := time.Now().Add(Patience); ; time.Sleep(DialEvery) {
		c, err := net.Dial("unix", path)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			c.SetDeadline(time.Now().Add(Patience))
			return c
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
}
