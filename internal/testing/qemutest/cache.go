package qemutest

import (
	"os"
	"path/filepath"
)

// Cache returns the path of a file in the folder that the scripts of this project fill
// with what they fetch: QMP_TEST_CACHE, or goqmp in the user's cache folder. The path may
// not exist.
func Cache(elem ...string) (string, error) {
	dir := os.Getenv("QMP_TEST_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(user, "goqmp")
	}
	return filepath.Join(append([]string{dir}, elem...)...), nil
}
