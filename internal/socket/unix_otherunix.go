//go:build unix && !linux

package socket

import (
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	sunPathLen = len(unix.RawSockaddrUnix{}.Path)
	sendFlags  = 0 // the Go runtime keeps SIGPIPE off sockets
)

// bindIn listens at name in dir.
func bindIn(dir, name string) (*net.UnixListener, error) {
	path := filepath.Join(dir, name)
	if err := checkPath(path); err != nil {
		return nil, err
	}
	return net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
}

// moveNew renames from to to. What stood there was removed before; a file that
// came in between is lost, since these systems cannot rename without replacing.
func moveNew(from, to string) error { return os.Rename(from, to) }
