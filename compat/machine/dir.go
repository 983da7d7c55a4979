package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A privateDir is a directory that this program has made, and that only this user
// can enter. It stays open. Another user who owns the parent directory can replace
// it by something else, which must not be emptied or removed: the open root still
// refers to the directory that was made.
type privateDir struct {
	path string
	root *os.Root
}

// makeDir makes a directory with a new name, as [os.MkdirTemp] does.
func makeDir(parent, pattern string) (*privateDir, error) {
	path, err := os.MkdirTemp(parent, pattern)
	if err != nil {
		return nil, err
	}
	return openNewDir(path)
}

// makeDirAgain makes a directory with a name that was used before, or with a new
// name in the same parent if that name is taken.
func makeDirAgain(path, pattern string) (*privateDir, error) {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return makeDir(filepath.Dir(path), pattern)
	}
	if err != nil {
		return nil, err
	}
	return openNewDir(path)
}

// openNewDir opens a directory that was just made. One that is not empty is another
// one.
func openNewDir(path string) (*privateDir, error) {
	d, err := openDir(path)
	if err != nil {
		return nil, err
	}
	names, err := d.names()
	if err == nil && len(names) > 0 {
		err = d.replaced()
	}
	if err != nil {
		return nil, also(err, d.root.Close())
	}
	return d, nil
}

// openDir opens a directory that belongs to this user and that no other user can
// enter.
func openDir(path string) (*privateDir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	d := &privateDir{path: path, root: root}
	info, err := root.Stat(".")
	switch {
	case err != nil:
	case !d.isAt(path), !isPrivate(info):
		err = d.replaced()
	default:
		return d, nil
	}
	return nil, also(err, root.Close())
}

// isAt reports whether path is this directory, and not a link to it.
func (d *privateDir) isAt(path string) bool {
	there, err := os.Lstat(path)
	if err != nil {
		return false
	}
	here, err := d.root.Stat(".")
	return err == nil && os.SameFile(here, there)
}

func (d *privateDir) replaced() error {
	return fmt.Errorf("%s: another process has replaced this program's directory: choose a parent directory that only this user can write to, or one like /tmp (machine.Options.TempDir)", d.path)
}

func (d *privateDir) names() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// open returns the directory as a file, for another process to inherit. It returns
// nil if that fails.
func (d *privateDir) open() *os.File {
	f, err := d.root.Open(".")
	if err != nil {
		return nil
	}
	return f
}

// remove removes what is in the directory. Then it removes the directory, if that
// still has its name. It does not follow links.
func (d *privateDir) remove() error {
	names, err := d.names()
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // somebody has removed it already
	}
	for _, name := range names {
		err = also(err, d.root.RemoveAll(name))
	}
	there := d.isAt(d.path)
	err = also(err, d.root.Close())
	if !there {
		if _, statErr := os.Lstat(d.path); errors.Is(statErr, fs.ErrNotExist) {
			return err
		}
		return also(err, d.replaced())
	}
	return also(err, removeEmptyDir(d.path))
}

// close closes the directory, and does not remove it.
func (d *privateDir) close() { _ = d.root.Close() }
