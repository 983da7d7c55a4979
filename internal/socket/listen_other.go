//go:build !unix

package socket

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
)

// sunPathLen is what afunix.h has.
const sunPathLen = 108

// listenUnix listens at path. Who can connect is up to the folder: a file's mode
// means nothing here, and a new file has the access list that the folder gives
// it.
func listenUnix(_ context.Context, path string) (*Listener, error) {
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
		return &inUseError{path, "the file there is not a socket, and is left alone", nil}
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return &inUseError{path, "somebody listens there", nil}
	}
	if !isRefused(err) {
		return &inUseError{path, "whether somebody listens there cannot be found out", err}
	}
	return os.Remove(path)
}

// A socketFile is the file of a listening socket.
type socketFile struct {
	path string
	info fs.FileInfo
}

// remove removes the file, unless another has taken its place.
func (f *socketFile) remove() error {
	if f == nil {
		return nil
	}
	if now, err := os.Lstat(f.path); err == nil && os.SameFile(now, f.info) {
		return os.Remove(f.path)
	}
	return nil
}
