//go:build !unix

package pybridge

import (
	"errors"
	"net"
	"os"
)

func fileOf(int) (*os.File, error) {
	return nil, errors.New("descriptors cannot be used on this system")
}

func connOf(int) (net.Conn, error) {
	return nil, errors.New("an open socket cannot be used on this system: give its address")
}
