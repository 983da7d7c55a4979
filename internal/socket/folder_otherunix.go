//go:build unix && !linux && !darwin

package socket

import (
	"errors"

	"golang.org/x/sys/unix"
)

// openSearch opens a folder to work in it.
const openSearch = unix.O_RDONLY

// renameNew renames a file, and fails with EEXIST if there is something already.
func renameNew(from folder, name string, to folder, base string) error {
	return linkNew(from, name, to, base)
}

// exchange is more than these systems can.
func exchange(folder, string, folder, string) error { return errors.ErrUnsupported }
