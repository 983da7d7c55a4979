package socket

import (
	"errors"
	"io/fs"
	"net"
)

// NotReady reports whether err, of an attempt to connect, says that the server
// is not there yet, or has no room in its queue: a later attempt at the same
// address may succeed without anybody's doing anything about it here. It is one
// of these:
//
//   - there is no socket at the path, or nobody listens there or at the port;
//   - the queue of those who wait to be accepted is full (EAGAIN: that of a unix
//     socket on Linux; QEMU's monitor has room for two);
//   - what listened went away while this side was connecting (a reset; so does
//     a proxy whose own server is missing);
//   - the host or its network is not there, or does not answer in time; the same
//     of a dialer's own time limit;
//   - the name of the host cannot be looked up for the moment;
//   - over vsock: the guest does not run, or nobody listens in it.
//
// Everything else is final: missing rights, a path through a file, a socket of
// another type, an address that cannot be, a host name that does not exist.
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

// IsGone reports whether err, of a connection, says that the peer ended it. (An
// end in order is io.EOF.)
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
