//go:build unix

package socket

import (
	"errors"

	"golang.org/x/sys/unix"
)

// IsReset reports whether err says that the peer reset the connection.
func IsReset(err error) bool { return errors.Is(err, unix.ECONNRESET) }

func isRefused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }
func isPipe(err error) bool    { return errors.Is(err, unix.EPIPE) }

// isAbsent reports whether err is one of the system's errors, other than
// "refused", for which [NotReady] is true.
func isAbsent(err error) bool {
	return isAny(err, unix.EAGAIN, unix.ECONNRESET, unix.ECONNABORTED, unix.ETIMEDOUT,
		unix.EHOSTUNREACH, unix.EHOSTDOWN, unix.ENETUNREACH, unix.ENETDOWN, unix.ENODEV)
}
