package machine

import (
	"os"
	"path/filepath"
	"strings"
)

// maxSocketDir is how long the directory of the sockets may be: the address of a
// unix socket has room for some 100 bytes, and the names in there need a part of
// that.
const maxSocketDir = 64

// dirPattern is what the names of directories are made of.
const dirPattern = "qmp-"

// A place is where a machine lives: a directory, perhaps one more for sockets,
// and the keeper that removes them should this program end without doing so.
type place struct {
	dir     *privateDir
	sockets *privateDir // has a short name; mostly the same as dir
	keeper  *keeper     // nil where there is none
}

// newPlace makes the directories in parent, with mode 0700. before, unless nil,
// is the machine's place of an earlier launch, whose names are used again if
// nobody else has taken them: they may be on its command line. keep asks for a
// keeper.
func newPlace(parent string, before *place, keep bool) (*place, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	// A relative path would change its meaning for a process that goes elsewhere.
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

// letGo closes a place that stays.
func (p *place) letGo() {
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

// remove removes everything, processes of the keeper's group that are still there
// included.
func (p *place) remove() (err error) {
	p.keeper.stop()
	for _, d := range p.dirs() {
		err = also(err, d.remove())
	}
	return err
}

// moved replaces the paths of the place before in args by those of p.
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

// replacePath replaces old in arg, where it is a whole path or the beginning of
// one.
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
