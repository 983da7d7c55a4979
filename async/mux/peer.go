package mux

import (
	"fmt"
	"net"

	"github.com/goqmp/qmp/internal/socket"
)

// A Peer is who a user is, as the system says it.
type Peer struct {
	// Known says that the system has told who the process is that connected: over a unix
	// socket, on Linux and macOS. PID, UID and GID are those of the moment when it connected.
	// PID is 0 if the system does not tell it, or if the process is in a namespace that this
	// one does not see.
	Known         bool
	PID, UID, GID int

	Addr net.Addr // of the connection; of little use for a unix socket
}

// String returns "uid 1000 gid 1000 pid 4711", or the address.
func (p Peer) String() string {
	switch {
	case p.Known && p.PID != 0:
		return fmt.Sprintf("uid %d gid %d pid %d", p.UID, p.GID, p.PID)
	case p.Known:
		return fmt.Sprintf("uid %d gid %d", p.UID, p.GID)
	case p.Addr == nil || p.Addr.String() == "" || p.Addr.String() == "@":
		return "unknown"
	}
	return p.Addr.String()
}

// peerOf returns who is at the other end of conn.
func peerOf(conn net.Conn) Peer {
	p := Peer{Addr: conn.RemoteAddr()}
	if c, ok := socket.PeerOf(conn); ok {
		p.Known, p.PID, p.UID, p.GID = true, c.PID, c.UID, c.GID
	}
	return p
}
