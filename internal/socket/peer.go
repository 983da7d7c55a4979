package socket

import "net"

// A Peer is the process at the other end of a unix socket, at the moment when it connected.
type Peer struct{ PID, UID, GID int } // a PID of 0 is not known

// PeerOf returns who is at the other end of conn. It reports false if conn is not a unix
// socket, or if the system does not tell.
func PeerOf(conn net.Conn) (Peer, bool) {
	if c, ok := asUnix(conn); ok {
		return peerOf(c)
	}
	return Peer{}, false
}
