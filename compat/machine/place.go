package machine

import (
	"os"
	"path/filepath"
	"strings"
)

// maxSocketDir is how long the path of the directory for sockets may be, in bytes.
// The address of a unix socket has room for about 100 bytes, and the sockets' own
// names need a part of that.
const maxSocketDir = 64

// dirPattern is how the names of directories begin.
const dirPattern = "qmp-"

// A place is what a machine has in the file system: a directory, perhaps a second one
// for sockets, and the keeper that removes them if this program ends without doing
// so.
type place struct {
	dir     *privateDir
	sockets *privateDir // its path is short; the same as dir if the path of dir is
	keeper  *keeper     // nil if there is none
}

// newPlace makes the directories in parent, with mode 0700. before, unless nil, is
// the machine's place of an earlier launch. Its names may be on the command line, so
// newPlace uses them again unless they are taken. If keep is true there is a keeper.
func newPlace(parent string, before *place, keep bool) (*place, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	// The process may have another working directory.
	parent, err := filepath.Abs(parent)
	if err != nil {
		return nil, err
	}
	p := &place{}
	if before != nil {
		p.dir, err = makeDirAgain(before.dir.path, dirPattern)
	} else {
		p.dir, err = makeDir(parent, dirPattern)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case len(p.dir.path) <= maxSocketDir:
		p.sockets = p.dir
	case before != nil && before.sockets != before.dir:
		p.sockets, err = makeDirAgain(before.sockets.path, dirPattern)
	default:
		p.sockets, err = makeDir(shortTempDir(), dirPattern)
	}
	if err != nil {
		return nil, also(err, p.dir.remove())
	}
	if keep {
		p.keeper = startKeeper(p.dirs()...)
	}
	return p, nil
}

// openPlace opens the place of a machine that another program has launched.
func openPlace(dir, sockets string) (p *place, err error) {
	p = &place{}
	if p.dir, err = openDir(dir); err != nil {
		return nil, err
	}
	p.sockets = p.dir
	if sockets != dir {
		if p.sockets, err = openDir(sockets); err != nil {
			p.dir.close()
			return nil, err
		}
	}
	return p, nil
}

// close closes the directories, and does not remove them.
func (p *place) close() {
	for _, d := range p.dirs() {
		d.close()
	}
}

func (p *place) dirs() []*privateDir {
	if p.sockets == p.dir {
		return []*privateDir{p.dir}
	}
	return []*privateDir{p.dir, p.sockets}
}

// remove kills what is left of the keeper's process group, and removes the
// directories.
func (p *place) remove() (err error) {
	p.keeper.stop()
	for _, d := range p.dirs() {
		err = also(err, d.remove())
	}
	return err
}

// moved replaces the paths of before by those of p, in args.
func (p *place) moved(before *place, args []string) {
	if before == nil {
		return
	}
	for i := range args {
		for _, path := range [][2]string{{before.dir.path, p.dir.path}, {before.sockets.path, p.sockets.path}} {
			args[i] = replacePath(args[i], path[0], path[1])
			args[i] = replacePath(args[i], Escape(path[0]), Escape(path[1]))
		}
	}
}

// replacePath replaces old by path in arg, where old is a whole path or the first
// part of one: "/tmp/a" in "/tmp/a/x", but not in "/tmp/ab".
func replacePath(arg, old, path string) string {
	if old == path {
		return arg
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(arg, old)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if after == "" || strings.IndexByte("/,:", after[0]) >= 0 {
			b.WriteString(path)
		} else {
			b.WriteString(old)
		}
		arg = after
	}
}
