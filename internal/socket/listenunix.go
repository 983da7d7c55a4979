package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// listenUnix binds in a fresh directory that only the owner can enter, takes
// everybody else's rights off the socket there, and then moves it into place.
func listenUnix(ctx context.Context, path string) (l *Listener, err error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	unlock, err := removeStale(ctx, path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	dir, err := os.MkdirTemp(filepath.Dir(path), ".q") // mode 0700
	if err != nil {
		return nil, err
	}
	defer func() {
		removeErr := os.RemoveAll(dir)
		if removeErr != nil && l != nil {
			removeErr = also(removeErr, l.Close())
			l = nil
		}
		err = also(err, removeErr)
	}()
	ln, err := bindIn(dir, "s")
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	made := filepath.Join(dir, "s")
	var file fs.FileInfo
	if err = os.Chmod(made, 0o600); err == nil {
		if file, err = os.Lstat(made); err == nil {
			err = moveNew(made, path)
		}
	}
	if err != nil {
		ln.Close()
		return nil, err
	}
	return &Listener{listener: ln, path: path, file: file}, nil
}

// removeStale makes room at path: a socket at which nobody listens goes, and
// anything else that stands there is an error. Until unlock is called no other
// Listen removes anything in that folder: it might be the socket that is to take
// the stale one's place.
func removeStale(ctx context.Context, path string) (unlock func(), err error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	unlock, err = lockDir(ctx, filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	stale, err := checkStale(path)
	if err == nil && stale != nil {
		err = removeFile(path, stale)
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// checkStale returns the stale socket at path, nil if there is nothing, or why
// what stands there cannot be removed.
func checkStale(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%w: the file there is no socket, and is left alone", inUse(path))
	}
	err = probe(path)
	if err == nil {
		return nil, fmt.Errorf("%w: somebody listens there", inUse(path))
	}
	if !isRefused(err) && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", inUse(path), err)
	}
	return info, nil
}

// inUse is the system's own error for a path where something stands.
func inUse(path string) error {
	return &net.OpError{Op: "listen", Net: "unix", Addr: &net.UnixAddr{Net: "unix", Name: path}, Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
}

// removeFile removes the file that was seen at path, and no other one: it is
// moved aside first, so that what has come into its place since goes back.
func removeFile(path string, seen fs.FileInfo) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".q")
	if err != nil {
		return err
	}
	defer func() { err = also(err, os.Remove(dir)) }()
	aside := filepath.Join(dir, "s")
	if err := os.Rename(path, aside); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // somebody else was quicker
		}
		return err
	}
	now, err := os.Lstat(aside)
	if err != nil {
		return err
	}
	// A new file may get the number of one that has just gone.
	if os.SameFile(now, seen) && now.Mode() == seen.Mode() && now.ModTime().Equal(seen.ModTime()) {
		return os.Remove(aside)
	}
	if err := moveNew(aside, path); err != nil {
		return fmt.Errorf("%w: what was there has been moved to %s: %w", inUse(path), aside, err)
	}
	return fmt.Errorf("%w: the file there has only just come, and is left alone", inUse(path))
}
