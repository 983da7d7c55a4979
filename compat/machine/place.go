package machine

import (
	"os"
	"path/filepath"
)

// maxSocketDir is how long the directory of the sockets may be: the address of a
// unix socket has room for some 100 bytes, and the names in there need a part of
// that.
const maxSocketDir = 64

// A place is where a machine lives: a directory, perhaps one more for sockets,
// and the keeper that removes them should this program end without doing so.
type place struct {
	dir     string
	sockets string  // short; mostly the same as dir
	keeper  *keeper // nil where there is none
}

// newPlace makes the directories in parent, with mode 0700. before, unless nil,
// is the machine's place of an earlier launch, whose names are used again: they
// may be on its command line.
func newPlace(parent string, before *place) (_ *place, err error) {
	if parent == "" {
		parent = os.TempDir()
	}
	// A relative path would change its meaning for a process that goes elsewhere.
	if parent, err = filepath.Abs(parent); err != nil {
		return nil, err
	}
	p := &place{}
	if before != nil {
		*p = place{dir: before.dir, sockets: before.sockets}
		err = os.Mkdir(p.dir, 0o700)
	} else {
		p.dir, err = os.MkdirTemp(parent, "qmp-")
	}
	if err != nil {
		return nil, err
	}
	switch {
	case before != nil && p.sockets != p.dir:
		err = os.Mkdir(p.sockets, 0o700)
	case before == nil && len(p.dir) > maxSocketDir:
		p.sockets, err = os.MkdirTemp(shortTempDir(), "qmp-")
	case before == nil:
		p.sockets = p.dir
	}
	if err != nil {
		return nil, also(err, os.RemoveAll(p.dir))
	}
	p.keeper = startKeeper(p.dir, p.sockets)
	return p, nil
}

// TempDir makes a directory that only its owner can enter, and that goes even if
// this program does not get to remove it: a panic or a SIGKILL is noticed as that of
// a machine is (see the package's comment). parent and pattern are as for
// [os.MkdirTemp], and dir is absolute. remove removes dir with all that is in it; it
// is to be called once.
func TempDir(parent, pattern string) (dir string, remove func() error, err error) {
	if parent == "" {
		parent = os.TempDir()
	}
	if parent, err = filepath.Abs(parent); err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp(parent, pattern); err != nil {
		return "", nil, err
	}
	k := startKeeper(dir)
	return dir, func() error {
		k.stop()
		return os.RemoveAll(dir)
	}, nil
}

// remove removes everything, processes of the keeper's group that are still there
// included.
func (p *place) remove() error {
	p.keeper.stop()
	err := os.RemoveAll(p.dir)
	if p.sockets != p.dir {
		err = also(err, os.RemoveAll(p.sockets))
	}
	return err
}
