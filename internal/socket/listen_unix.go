//go:build unix

package socket

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/goqmp/qmp/internal/contexts"
)

// Names in the folder in which a socket is made.
const (
	made  = "s"     // the socket
	aside = "stale" // what was in its place
)

// listenUnix makes a socket in a new folder that only its owner can enter, and
// moves it to path when it listens. So nobody sees a socket that others can
// connect to, or one that does not listen yet.
//
// The folder of path may belong to somebody else, who can rename everything in
// it at any moment. So every call is relative to a folder that is open, none
// follows a link, and what is removed is one name that this function has made.
// Whoever can rename in that folder can put a socket of their own at path, which
// nobody can help.
func listenUnix(ctx context.Context, path string) (l *Listener, err error) {
	at, base := filepath.Split(path)
	dir, err := openFolder(unix.AT_FDCWD, cmp.Or(at, "."))
	if err != nil {
		return nil, listenError(path, "open", err)
	}
	defer func() {
		if l == nil {
			dir.Close()
		}
	}()
	if _, err := checkStale(dir, base, path); err != nil {
		return nil, err
	}
	w, err := newWorkshop(dir, path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if removeErr := w.remove(); removeErr != nil && l != nil {
			err = also(listenError(path, "rmdir", removeErr), l.Close())
			l = nil
		}
	}()
	ln, err := w.listen(path)
	if err != nil {
		return nil, err
	}
	file := &socketFile{dir: dir, base: base}
	if file.id, err = identify(w.dir, made); err == nil {
		err = w.place(ctx, file, path)
	}
	if err != nil {
		return nil, also(err, ln.Close())
	}
	return &Listener{listener: ln, addr: unixAddr(path), file: file}, nil
}

// A folder is an open folder. What is done in it is done there, whatever takes
// its place.
type folder struct{ *os.File }

func openFolder(in int, name string) (folder, error) {
	flags := unix.O_CLOEXEC | unix.O_DIRECTORY | openSearch
	if in != unix.AT_FDCWD {
		flags |= unix.O_NOFOLLOW
	}
	for {
		fd, err := unix.Openat(in, name, flags, 0)
		if err == nil {
			return folder{os.NewFile(uintptr(fd), name)}, nil
		}
		if err != unix.EINTR {
			return folder{}, err
		}
	}
}

func (f folder) fd() int { return int(f.Fd()) }

// A fileID tells one file from all others for as long as the file exists.
type fileID struct{ dev, ino uint64 }

// identify returns the id of the socket that stands at name. A folder's owner
// who puts something else there gains nothing, but that is an error at once.
func identify(dir folder, name string) (fileID, error) {
	st, err := lstat(dir, name)
	if err != nil {
		return fileID{}, os.NewSyscallError("stat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK || st.Mode&0o077 != 0 {
		return fileID{}, fmt.Errorf("the socket that was made has mode %04o, which others could use: the file system does not keep modes, or somebody has put another file in its place", st.Mode&0o7777)
	}
	return idOf(st), nil
}

func idOf(st unix.Stat_t) fileID {
	return fileID{uint64(st.Dev), uint64(st.Ino)} //nolint:unconvert // of other types on some systems
}

func lstat(dir folder, name string) (st unix.Stat_t, err error) {
	for {
		err = unix.Fstatat(dir.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err != unix.EINTR {
			return st, err
		}
	}
}

// A socketFile is the file of a listening socket.
type socketFile struct {
	dir  folder // open until remove
	base string // in dir
	id   fileID
}

// remove removes the file, unless another has taken its place.
func (f *socketFile) remove() error {
	if f == nil {
		return nil
	}
	var err error
	st, statErr := lstat(f.dir, f.base)
	// While the socket is open, no other file gets its number.
	if statErr == nil && idOf(st) == f.id {
		err = unix.Unlinkat(f.dir.fd(), f.base, 0)
	}
	if err != nil && err != unix.ENOENT {
		err = &os.PathError{Op: "remove", Path: filepath.Join(f.dir.Name(), f.base), Err: err}
	} else {
		err = nil
	}
	return also(err, f.dir.Close())
}

// A workshop is the folder in which a socket is made.
type workshop struct {
	parent folder
	name   string // in parent
	dir    folder
	keep   bool // there is something in it that is not ours and has no other place
}

func newWorkshop(parent folder, path string) (*workshop, error) {
	for {
		w := &workshop{parent: parent, name: ".q" + rand.Text()[:12]}
		err := unix.Mkdirat(parent.fd(), w.name, 0o700)
		if err == unix.EEXIST || err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, listenError(path, "mkdir", err)
		}
		if w.dir, err = openFolder(parent.fd(), w.name); err == nil {
			if err = w.checkOwner(); err != nil {
				w.dir.Close()
				w.dir = folder{}
			}
		}
		if err != nil {
			_ = w.remove() // of somebody else's folder nothing
			return nil, listenError(path, "open", err)
		}
		return w, nil
	}
}

// checkOwner makes sure that the folder is one that nobody else can change,
// whoever may have put it in the place of the one that was made.
func (w *workshop) checkOwner() error {
	var st unix.Stat_t
	if err := unix.Fstat(w.dir.fd(), &st); err != nil {
		return err
	}
	if st.Mode&0o077 != 0 || int(st.Uid) != os.Geteuid() {
		return unix.EPERM
	}
	return nil
}

// remove removes the folder, and first what is left in it: the socket, if it
// did not get to its place, or the stale one. It removes these names alone,
// follows no link, and leaves a folder that has something else in it.
func (w *workshop) remove() error {
	if w.dir.File != nil {
		defer w.dir.Close()
	}
	if w.keep {
		return nil
	}
	if w.dir.File != nil {
		if err := unix.Unlinkat(w.dir.fd(), made, 0); err != nil && err != unix.ENOENT {
			return err
		}
	}
	err := unix.Unlinkat(w.parent.fd(), w.name, unix.AT_REMOVEDIR)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ENOTEMPTY || err == unix.EEXIST {
		return nil // the owner of the parent has moved it, and put something else there
	}
	return err
}

// listen makes the socket. Its owner alone can connect to it, whatever the umask
// is. Until its mode is right the folder keeps others out.
func (w *workshop) listen(path string) (*net.UnixListener, error) {
	ln, err := net.ListenUnix("unix", unixAddr(w.addressOf(w.dir, made)))
	if err != nil {
		return nil, named(err, nil, unixAddr(path))
	}
	ln.SetUnlinkOnClose(false)
	if err := unix.Fchmodat(w.dir.fd(), made, 0o600, chmodFlags); err != nil {
		return nil, also(listenError(path, "chmod", err), ln.Close())
	}
	return ln, nil
}

// addressOf returns a path by which name in dir can be connected to, or bound.
func (w *workshop) addressOf(dir folder, name string) string {
	if p := throughFD(dir, name); p != "" {
		return p
	}
	if dir == w.dir {
		return filepath.Join(w.parent.Name(), w.name, name)
	}
	return filepath.Join(dir.Name(), name)
}

// place moves the socket to where it is to be, and removes a stale one that is
// there. At any moment a socket is there: the stale one, or this one. So of
// several that do this at once one comes to listen there.
func (w *workshop) place(ctx context.Context, file *socketFile, path string) error {
	dir, base := file.dir, file.base
	for ctx.Err() == nil {
		err := renameNew(w.dir, made, dir, base)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EEXIST) {
			return listenError(path, "rename", err)
		}
		stale, err := checkStale(dir, base, path)
		if err != nil {
			return err
		}
		if !stale {
			continue // it has just gone
		}
		err = exchange(w.dir, made, dir, base)
		switch {
		case errors.Is(err, unix.ENOENT):
			continue
		case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
			return &inUseError{path, "nobody listens at the socket there, but it belongs to another user", os.NewSyscallError("rename", err)}
		case errors.Is(err, errors.ErrUnsupported):
			if err := w.takeAway(file, path); err != nil {
				return err
			}
			continue
		case err != nil:
			return listenError(path, "rename", err)
		}
		// The other file is here now, where only we can change it: this is certain.
		if _, err := checkStale(w.dir, made, path); err == nil {
			return nil // remove removes it
		}
		return w.giveBack(ctx, file, path)
	}
	return contexts.Err(ctx)
}

// mostSwaps bounds how often giveBack tries. Of ten that listen at one path at
// once none needs more than a dozen.
const mostSwaps = 1000

// giveBack returns a file that was not stale after all to its place, and takes
// our own socket from there.
//
// Several may do that at once, each with a file in its hands that another has
// put there. Each goes on until it has its own socket back, so that in the end
// the file is there that nobody takes.
func (w *workshop) giveBack(ctx context.Context, file *socketFile, path string) error {
	why := justCome(path)
	for range mostSwaps {
		if ctx.Err() != nil {
			break
		}
		err := exchange(w.dir, made, file.dir, file.base)
		if errors.Is(err, unix.ENOENT) { // there is nothing at path now
			if err = renameNew(w.dir, made, file.dir, file.base); err == nil {
				return why
			}
		}
		if err != nil && !errors.Is(err, unix.EEXIST) {
			why = also(why, listenError(path, "rename", err))
			break
		}
		if st, err := lstat(w.dir, made); err == nil && idOf(st) == file.id {
			return why
		}
	}
	return w.keepAside(file, made, why)
}

// takeAway removes a stale socket where files cannot be exchanged. It moves the
// socket into the folder first, to see that it is the stale one. If it is not,
// it goes back.
func (w *workshop) takeAway(file *socketFile, path string) error {
	err := unix.Renameat(file.dir.fd(), file.base, w.dir.fd(), aside)
	if err == unix.ENOENT {
		return nil
	}
	if err == nil {
		if _, err = checkStale(w.dir, aside, path); err == nil {
			err = unix.Unlinkat(w.dir.fd(), aside, 0)
		} else if linkNew(w.dir, aside, file.dir, file.base) == nil {
			return justCome(path)
		} else {
			return w.keepAside(file, aside, justCome(path))
		}
	}
	return listenError(path, "rename", err)
}

func justCome(path string) error {
	return &inUseError{path, "what is there has only just come, and is left alone", nil}
}

// keepAside says that a file of somebody else's could not be given back.
func (w *workshop) keepAside(file *socketFile, name string, why error) error {
	w.keep = true
	return fmt.Errorf("%w; another file that was there has been moved to %s", why, filepath.Join(file.dir.Name(), w.name, name))
}
