package socket

import (
	"errors"

	"golang.org/x/sys/unix"
)

// openSearch opens a folder to work in it. It needs no permission to read the
// folder.
const openSearch = unix.O_SEARCH

// renameNew renames a file. It fails with EEXIST if the new name exists.
func renameNew(from folder, name string, to folder, base string) error {
	err := unix.RenameatxNp(from.fd(), name, to.fd(), base, unix.RENAME_EXCL)
	if err == unix.ENOTSUP {
		return linkNew(from, name, to, base)
	}
	return err
}

// exchange exchanges two files, or returns errors.ErrUnsupported.
func exchange(from folder, name string, to folder, base string) error {
	err := unix.RenameatxNp(from.fd(), name, to.fd(), base, unix.RENAME_SWAP)
	if err == unix.ENOTSUP {
		return errors.ErrUnsupported
	}
	return err
}
