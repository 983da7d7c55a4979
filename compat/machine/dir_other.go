//go:build !unix

package machine

import (
	"io/fs"
	"os"
)

// isPrivate returns true: on this system the mode does not say who can enter.
func isPrivate(fs.FileInfo) bool { return true }

func removeEmptyDir(path string) error { return os.Remove(path) }
