//go:build !unix

package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
)

// sunPathLen is sizeof(sun_path) in afunix.h of Windows.
const sunPathLen = 108

// listenUnix listens at path. The folder decides who can connect: a file's mode
// has no effect on this system, and a new file gets the access list of its
// folder.
func listenUnix(_ context.Context, path string, gid int) (*Listener, error) {
	if gid != ownerOnly {
		return nil, fmt.Errorf("on this system a socket cannot be given to a group: %w", errors.ErrUnsupported)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", unixAddr(path))
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	info, err := os.Lstat(path)
	if err != nil {
		return nil, also(err, ln.Close())
	}
	return &Listener{listener: ln, addr: unixAddr(path), file: &socketFile{path, info}}, nil
}

// removeStale removes a socket at which nobody listens. Any other file is an
// error.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return &inUseError{path, "the file there is not a socket, and was not changed", nil}
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return &inUseError{path, "somebody listens there", nil}
	}
	if !isRefused(err) {
		return &inUseError{path, "cannot find out whether somebody listens there", err}
	}
	return os.Remove(path)
}

// A socketFile is the file of a listening socket.
type socketFile struct {
	path string
	info fs.FileInfo
}

// remove removes the file, unless there is another file in its place.
func (f *socketFile) remove() error {
	if f == nil {
		return nil
	}
	if now, err := os.Lstat(f.path); err == nil && os.SameFile(now, f.info) {
		return os.Remove(f.path)
	}
	return nil
}
