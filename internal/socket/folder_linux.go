package socket

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	sunPathLen = len(unix.RawSockaddrUnix{}.Path)
	sendFlags  = unix.MSG_NOSIGNAL

	// openSearch opens a folder to work in it, even if it may not be read.
	openSearch = unix.O_PATH

	// chmodFlags is nothing: before Linux 6.6 the system knows no flags here. In
	// a folder that only its owner can change there is no link to follow.
	chmodFlags = 0
)

// throughFD returns a path to name in dir that is short, however long dir's is,
// and that means dir itself, whatever stands at dir's path by now.
func throughFD(dir folder, name string) string {
	p := "/proc/self/fd/" + strconv.Itoa(dir.fd()) + "/" + name
	if len(p) >= sunPathLen || unix.Access("/proc/self/fd", unix.F_OK) != nil {
		return ""
	}
	return p
}

// renameNew renames a file, and fails with EEXIST if there is something already.
func renameNew(from folder, name string, to folder, base string) error {
	err := unix.Renameat2(from.fd(), name, to.fd(), base, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // the file system lacks that flag
		return linkNew(from, name, to, base)
	}
	return err
}

// exchange exchanges two files, or returns errors.ErrUnsupported.
func exchange(from folder, name string, to folder, base string) error {
	err := unix.Renameat2(from.fd(), name, to.fd(), base, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return errors.ErrUnsupported
	}
	return err
}
