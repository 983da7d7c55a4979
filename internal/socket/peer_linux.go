package socket

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerOf returns the credentials that the kernel noted when the peer connected.
func peerOf(conn *net.UnixConn) (Peer, bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return Peer{}, false
	}
	var cred *unix.Ucred
	var optErr error
	err = raw.Control(func(fd uintptr) {
		cred, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || optErr != nil {
		return Peer{}, false
	}
	return Peer{PID: int(cred.Pid), UID: int(cred.Uid), GID: int(cred.Gid)}, true
}
