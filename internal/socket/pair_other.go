//go:build !unix

package socket

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// Pair returns an error: it needs a Unix system.
func Pair() (ours net.Conn, theirs *os.File, err error) {
	return nil, nil, fmt.Errorf("a pair of sockets needs a Unix system: %w", errors.ErrUnsupported)
}
