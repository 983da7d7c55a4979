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
	var p Peer
	var optErr error
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
		if err != nil {
			optErr = err
			return
		}
		p.UID = int(cred.Uid)
		if cred.Ngroups > 0 {
			p.GID = int(cred.Groups[0])
		}
		if pid, err := unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID); err == nil {
			p.PID = pid
		}
	})
	return p, err == nil && optErr == nil
}
