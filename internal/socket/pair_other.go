//go:build !unix

package socket

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// Pair is for Unix systems.
func Pair() (ours net.Conn, theirs *os.File, err error) {
	return nil, nil, fmt.Errorf("pairs of sockets on this system: %w", errors.ErrUnsupported)
}
