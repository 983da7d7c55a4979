//go:build !unix

package transcripts

import (
	"net"
	"testing"
)

// reservePort returns an address of 127.0.0.1 that was free a moment ago. Another
// program may take it.
func reservePort(testing.TB) (string, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
