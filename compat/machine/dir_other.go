//go:build !unix

package machine

import (
	"io/fs"
	"os"
)

// isPrivate holds: modes say nothing here.
func isPrivate(fs.FileInfo) bool { return true }

func removeEmptyDir(path string) error { return os.Remove(path) }
