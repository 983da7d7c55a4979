package socket

import (
	"errors"
	"io/fs"
	"net"
)

// NotReady reports whether err, the error of an attempt to connect, says that the
// server is not there yet or that its queue is full. A later attempt at the same
// address may succeed although nothing changes on this side. NotReady is true if:
//
//   - there is no socket at the path, or nobody listens at the path or port;
//   - the queue of connections that wait to be accepted is full (EAGAIN, for a
//     unix socket on Linux; the queue of QEMU's monitor holds two);
//   - the connection was reset while it was made: the server stopped listening, or
//     a proxy did not find its own server;
//   - the host or its network cannot be reached or does not answer in time, or a
//     dialer's own time limit passed;
//   - the name of the host cannot be looked up at the moment;
//   - over vsock, the guest does not run, or nobody listens in it.
//
// NotReady is false for everything else: missing permission, a path through a
// file, a socket of another type, an address that cannot exist, a host name that
// does not exist.
func NotReady(err error) bool {
	if err == nil {
		return false
	}
	var lookup *net.DNSError
	if errors.As(err, &lookup) {
		return lookup.IsTemporary || lookup.IsTimeout
	}
	var limit interface{ Timeout() bool }
	return errors.Is(err, fs.ErrNotExist) || isRefused(err) || isAbsent(err) || errors.As(err, &limit) && limit.Timeout()
}

// IsGone reports whether err, of a read or write, says that the peer ended the
// connection by a reset, or closed it before the write. (A read after an orderly
// end returns io.EOF, for which IsGone is false.)
func IsGone(err error) bool { return IsReset(err) || isPipe(err) }

// isAny reports whether err matches one of targets.
func isAny[T error](err error, targets ...T) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
