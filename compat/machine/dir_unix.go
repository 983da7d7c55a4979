//go:build unix

package machine

import (
	"io/fs"
	"os"
	"syscall"
)

// isPrivate reports whether only this user can enter a directory.
func isPrivate(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().Perm()&0o077 == 0 && int(stat.Uid) == os.Geteuid()
}

// removeEmptyDir removes a directory that is empty, and nothing else.
func removeEmptyDir(path string) error {
	if err := syscall.Rmdir(path); err != nil {
		return &fs.PathError{Op: "rmdir", Path: path, Err: err}
	}
	return nil
}
