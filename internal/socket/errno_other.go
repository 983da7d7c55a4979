//go:build !unix

package socket

import (
	"syscall"
)

// The error numbers of Winsock. For the POSIX names, package syscall has numbers of
// its own on Windows, which Winsock does not return.
const (
	wsaWouldBlock      = syscall.Errno(10035)
	wsaNetDown         = syscall.Errno(10050)
	wsaNetUnreachable  = syscall.Errno(10051)
	wsaConnAborted     = syscall.Errno(10053)
	wsaConnReset       = syscall.Errno(10054)
	wsaTimedOut        = syscall.Errno(10060)
	wsaConnRefused     = syscall.Errno(10061)
	wsaHostDown        = syscall.Errno(10064)
	wsaHostUnreachable = syscall.Errno(10065)
)

// IsReset reports whether err says that the peer reset the connection.
func IsReset(err error) bool { return isAny(err, syscall.ECONNRESET, wsaConnReset) }

func isRefused(err error) bool { return isAny(err, syscall.ECONNREFUSED, wsaConnRefused) }
func isPipe(err error) bool    { return isAny(err, syscall.EPIPE, wsaConnAborted) }

// isAbsent reports whether err is one of the system's errors, other than
// "refused", for which [NotReady] is true.
func isAbsent(err error) bool {
	return isAny(err, syscall.EAGAIN, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.ETIMEDOUT, syscall.EHOSTUNREACH,
		syscall.ENETUNREACH, wsaWouldBlock, wsaNetDown, wsaNetUnreachable, wsaConnAborted, wsaConnReset, wsaTimedOut,
		wsaHostDown, wsaHostUnreachable)
}
