//go:build unix

package socket

import (
	"errors"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// checkStale reports whether there is a stale socket at name in dir. It returns
// false if there is no file. If there is any other file, it returns an error that
// says that path is in use.
func checkStale(dir folder, name, path string) (stale bool, err error) {
	st, err := lstat(dir, name)
	switch {
	case err == unix.ENOENT:
		return false, nil
	case err != nil:
		return false, listenError(path, "stat", err)
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return false, &inUseError{path, "the file there is not a socket, and was not changed", nil}
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
	return false, &inUseError{path, "cannot find out whether somebody listens there", err}
}

// probe returns nil if some program has a stream socket open at name, whether or
// not it listens yet. probe connects a datagram socket, which always fails. A
// stream socket would connect, and a listening client would accept it.
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
		return e // without the path: the caller knows a better one
	}
	return err
}
