package socket

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	sunPathLen = len(unix.RawSockaddrUnix{}.Path)
	sendFlags  = unix.MSG_NOSIGNAL

	// openSearch opens a folder to work in it. It needs no permission to read the
	// folder.
	openSearch = unix.O_PATH

	// chmodFlags is 0, because before Linux 6.6 this call takes no flags. It is not
	// necessary to forbid following a link: only the owner can change the folder,
	// and the library puts no link there.
	chmodFlags = 0
)

// throughFD returns a path to name in dir, or "" if that is not possible. The path
// is short even if dir's own path is long, and leads to the folder that is open,
// even if dir's own path now leads to another.
func throughFD(dir folder, name string) string {
	p := "/proc/self/fd/" + strconv.Itoa(dir.fd()) + "/" + name
	if len(p) >= sunPathLen || unix.Access("/proc/self/fd", unix.F_OK) != nil {
		return ""
	}
	return p
}

// renameNew renames a file. It fails with EEXIST if the new name exists.
func renameNew(from folder, name string, to folder, base string) error {
	err := unix.Renameat2(from.fd(), name, to.fd(), base, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // the file system does not support the flag
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
