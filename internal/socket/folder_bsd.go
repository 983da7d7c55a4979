//go:build unix && !linux

package socket

import "golang.org/x/sys/unix"

const (
	sunPathLen = len(unix.RawSockaddrUnix{}.Path)
	sendFlags  = 0 // the Go runtime ignores SIGPIPE for sockets
	chmodFlags = unix.AT_SYMLINK_NOFOLLOW
)

// throughFD returns "", because these systems have no path to an open folder.
func throughFD(folder, string) string { return "" }
