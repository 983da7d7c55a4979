//go:build unix && !linux && !darwin

package socket

import (
	"errors"

	"golang.org/x/sys/unix"
)

// openSearch opens a folder to work in it.
const openSearch = unix.O_RDONLY

// renameNew renames a file. It fails with EEXIST if the new name exists.
func renameNew(from folder, name string, to folder, base string) error {
	return linkNew(from, name, to, base)
}

// exchange returns errors.ErrUnsupported: these systems cannot exchange files.
func exchange(folder, string, folder, string) error { return errors.ErrUnsupported }
