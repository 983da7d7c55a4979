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

// The names of files in the folder in which a socket is made.
const (
	made  = "s"     // the new socket; after an exchange, the file that was at its path
	aside = "stale" // the file that was at its path, where files cannot be exchanged
)

// listenUnix makes a socket in a new folder that only its owner can enter. When
// the socket listens, it moves it to path. So at path the socket never has a mode
// that lets others connect, and never does not listen yet.
//
// The folder of path may belong to another user, who can rename everything in it
// at any moment. So every system call names a file relative to an open folder,
// none follows a link, and only names that this function made are removed. Another
// user who can rename files in that folder can put a socket at path. That cannot
// be prevented.
//
// If gid is not ownerOnly, the members of that group can connect, too.
func listenUnix(ctx context.Context, path string, gid int) (l *Listener, err error) {
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
	if file.id, err = identify(w.dir, made); err == nil && gid != ownerOnly {
		err = w.share(gid, path)
	}
	if err == nil {
		err = w.place(ctx, file, path)
	}
	if err != nil {
		return nil, also(err, ln.Close())
	}
	return &Listener{listener: ln, addr: unixAddr(path), file: file}, nil
}

// A folder is an open folder. A call relative to it works in that folder, even if
// there is another one at its path now.
type folder struct{ *os.File }

// openFolder opens the folder name in the folder in. If in is AT_FDCWD, name is a
// path like any other. Otherwise openFolder does not follow a link.
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

// A fileID tells a file from all others that exist at the same time.
type fileID struct{ dev, ino uint64 }

// identify returns the id of the socket at name. If another file is there, or the
// socket has another mode than 0600, it returns an error. (Going on would not be
// unsafe, but the error comes at once.)
func identify(dir folder, name string) (fileID, error) {
	st, err := lstat(dir, name)
	if err != nil {
		return fileID{}, os.NewSyscallError("stat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK || st.Mode&0o077 != 0 {
		return fileID{}, fmt.Errorf("the socket that was made has mode %04o, which lets others use it: the file system does not store modes, or somebody has put another file in its place", st.Mode&0o7777)
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

// remove removes the file, unless there is another file in its place.
func (f *socketFile) remove() error {
	if f == nil {
		return nil
	}
	var err error
	st, statErr := lstat(f.dir, f.base)
	// The socket is still open, so no other file has its inode number.
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
	keep   bool // it has a file of somebody else that could not be put back; do not remove it
}

// newWorkshop makes the folder in parent. path is for errors.
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
			_ = w.remove() // this removes nothing from a folder of another user
			return nil, listenError(path, "open", err)
		}
		return w, nil
	}
}

// checkOwner returns an error if somebody else can change the folder. That can only
// be if another user has replaced the folder that was made.
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

// remove removes the folder. Before that it removes the file made: the new socket,
// if that was not moved to its path, or the stale one. It removes no other name,
// follows no link, and does not remove a folder with another file in it.
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
		return nil // the owner of parent has moved it, or put something else there
	}
	return err
}

// listen makes the socket and gives it mode 0600, independent of the umask. Before
// that, the mode of the folder keeps other users out.
func (w *workshop) listen(path string) (*net.UnixListener, error) {
	ln, err := net.ListenUnix("unix", unixAddr(w.address()))
	if err != nil {
		return nil, named(err, nil, unixAddr(path))
	}
	ln.SetUnlinkOnClose(false)
	if err := unix.Fchmodat(w.dir.fd(), made, 0o600, chmodFlags); err != nil {
		return nil, also(listenError(path, "chmod", err), ln.Close())
	}
	return ln, nil
}

// share gives the socket to a group, before it is at its path.
func (w *workshop) share(gid int, path string) error {
	if err := unix.Fchownat(w.dir.fd(), made, -1, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return listenError(path, "chown", err)
	}
	return listenError(path, "chmod", unix.Fchmodat(w.dir.fd(), made, 0o660, chmodFlags))
}

// address returns a path to the socket, for bind.
func (w *workshop) address() string {
	if p := throughFD(w.dir, made); p != "" {
		return p
	}
	return filepath.Join(w.parent.Name(), w.name, made)
}

// place moves the socket to its path. If there is a stale socket, it replaces it by
// an exchange, so that at any moment there is a socket at the path. If several
// callers do this concurrently, one of them listens there in the end.
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
			continue // the file has just been removed
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
		// Check again. The file that was at path is now in w.dir, where nobody else
		// can replace it.
		if _, err := checkStale(w.dir, made, path); err == nil {
			return nil // remove removes the stale socket
		}
		return w.giveBack(ctx, file, path)
	}
	return contexts.Err(ctx)
}

// mostSwaps is how often giveBack tries. When ten callers listen at one path
// concurrently, none needs more than about twelve attempts.
const mostSwaps = 1000

// giveBack is for a file that place has taken from path and that is not stale. It
// exchanges the file and our own socket again, and always returns an error.
//
// Several callers may do this concurrently, and each may have taken the socket of
// another. Each exchanges files until it has its own socket back. So in the end
// the file at path is the one that belongs to none of them.
func (w *workshop) giveBack(ctx context.Context, file *socketFile, path string) error {
	why := justCome(path)
	for range mostSwaps {
		if ctx.Err() != nil {
			break
		}
		err := exchange(w.dir, made, file.dir, file.base)
		if errors.Is(err, unix.ENOENT) { // there is no file at path now
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
// file into w.dir and checks there again that it is stale. If it is not, takeAway
// moves it back.
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

// justCome is the error for a file that appeared at path while Listen ran.
func justCome(path string) error {
	return &inUseError{path, "another file appeared there meanwhile, and was not changed", nil}
}

// keepAside keeps w.dir, because a file of somebody else in it could not be put
// back, and returns an error that says where it is.
func (w *workshop) keepAside(file *socketFile, name string, why error) error {
	w.keep = true
	return fmt.Errorf("%w; another file that was there has been moved to %s", why, filepath.Join(file.dir.Name(), w.name, name))
}
