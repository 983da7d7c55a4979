//go:build !unix

package socket

import (
	"errors"
	"syscall"
)

// Winsock's numbers, which differ from those that package syscall invents.
const (
	wsaConnAborted = syscall.Errno(10053)
	wsaConnReset   = syscall.Errno(10054)
	wsaConnRefused = syscall.Errno(10061)
)

// IsReset reports whether err says that the peer reset the connection.
func IsReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, wsaConnReset)
}

func isRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, wsaConnRefused)
}

func isPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, wsaConnAborted)
}
