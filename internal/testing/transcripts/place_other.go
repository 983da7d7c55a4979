//go:build !unix

package transcripts

import (
	"net"
	"testing"
)

// reservePort returns an address of 127.0.0.1 at which nobody listened just now.
func reservePort(testing.TB) (string, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
