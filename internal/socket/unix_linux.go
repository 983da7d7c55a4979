package socket

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	sunPathLen = len(unix.RawSockaddrUnix{}.Path)
	sendFlags  = unix.MSG_NOSIGNAL
)

// bindIn listens at name in dir. The way through /proc keeps the address short
// however long dir is.
func bindIn(dir, name string) (*net.UnixListener, error) {
	path := filepath.Join(dir, name)
	if len(path) > maxUnixPath {
		d, err := os.Open(dir)
		if err != nil {
			return nil, err
		}
		defer d.Close()
		path = "/proc/self/fd/" + strconv.Itoa(int(d.Fd())) + "/" + name
	}
	return net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
}

// moveNew renames from to to, and fails if there is something.
func moveNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		if err = os.Link(from, to); err == nil { // a file system without that flag
			return os.Remove(from)
		}
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
