//go:build !unix

package socket

import (
	"syscall"
)

// Winsock's numbers, which differ from those that package syscall invents.
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

// isAbsent is for what a system says where nobody is, other than "refused".
func isAbsent(err error) bool {
	return isAny(err, syscall.EAGAIN, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.ETIMEDOUT, syscall.EHOSTUNREACH,
		syscall.ENETUNREACH, wsaWouldBlock, wsaNetDown, wsaNetUnreachable, wsaConnAborted, wsaConnReset, wsaTimedOut,
		wsaHostDown, wsaHostUnreachable)
}
