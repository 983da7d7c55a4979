//go:build unix && !linux

package socket

import "golang.org/x/sys/unix"

const (
	sunPathLen = len(unix.RawSockaddrUnix{}.Path)
	sendFlags  = 0 // the Go runtime keeps SIGPIPE off sockets
	chmodFlags = unix.AT_SYMLINK_NOFOLLOW
)

// throughFD returns nothing: these systems have no such path.
func throughFD(folder, string) string { return "" }
