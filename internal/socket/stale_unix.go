//go:build unix

package socket

import (
	"errors"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// checkStale reports whether a stale socket stands at name in dir. It is false
// where nothing is. Anything else is an error, which says that path is in use.
func checkStale(dir folder, name, path string) (stale bool, err error) {
	st, err := lstat(dir, name)
	switch {
	case err == unix.ENOENT:
		return false, nil
	case err != nil:
		return false, listenError(path, "stat", err)
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return false, &inUseError{path, "the file there is not a socket, and is left alone", nil}
	}
	err = probe(dir, name)
	switch {
	case err == nil:
		return false, &inUseError{path, "somebody listens there", nil}
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case isRefused(err):
		return true, nil
	}
	return false, &inUseError{path, "whether somebody listens there cannot be found out", err}
}

// probe reports, with a nil error, that somebody has a stream socket at name,
// listening or about to. It asks with a datagram socket: a connection would be
// the one that a listening client accepts.
func probe(dir folder, name string) error {
	path := throughFD(dir, name)
	if path == "" {
		path = filepath.Join(dir.Name(), name)
	}
	conn, err := net.DialUnix("unixgram", nil, unixAddr(path))
	switch {
	case err == nil:
		conn.Close()
		return os.NewSyscallError("connect", unix.EPROTOTYPE) // a datagram socket
	case errors.Is(err, unix.EPROTOTYPE):
		return nil
	}
	var e *os.SyscallError
	if errors.As(err, &e) {
		return e // without the path that was asked
	}
	return err
}
