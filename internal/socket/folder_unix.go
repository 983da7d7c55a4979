//go:build unix

package socket

import "golang.org/x/sys/unix"

// linkNew is renameNew for a system that cannot rename without replacing.
func linkNew(from folder, name string, to folder, base string) error {
	if err := unix.Linkat(from.fd(), name, to.fd(), base, 0); err != nil {
		return err
	}
	return unix.Unlinkat(from.fd(), name, 0)
}
