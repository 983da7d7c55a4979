//go:build unix

package socket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// inheriting keeps two that take over the same descriptor at once from both
// getting it. Nothing that it guards waits for a peer.
var inheriting sync.Mutex

func dialFD(number string) (net.Conn, error) {
	return inherit(number, "connected", isConnected, net.FileConn)
}

func listenFD(number string) (*Listener, error) {
	ln, err := inherit(number, "listening", isListening, net.FileListener)
	if err != nil {
		return nil, err
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // whoever made it removes it
	}
	return &Listener{listener: ln}, nil
}

// inherit makes a connection or a listener of the inherited descriptor with the
// given number. If that works, the descriptor has been taken over: its number is
// free. Otherwise it stays the caller's, as it was.
func inherit[T interface{ Close() error }](number, kind string, check func(int) error, use func(*os.File) (T, error)) (v T, err error) {
	var none T
	fd, err := strconv.Atoi(number)
	if err != nil {
		return none, err
	}
	inheriting.Lock()
	defer inheriting.Unlock()
	// Before use looks at it: that would change the file's flags.
	if err := check(fd); err != nil {
		return none, fmt.Errorf("fd:%d is not a %s socket: %w", fd, kind, err)
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return none, os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(dup), "fd:"+number)
	defer f.Close() // use has made a descriptor of its own
	if v, err = use(f); err != nil {
		return none, fmt.Errorf("fd:%d is not a %s socket: %w", fd, kind, err)
	}
	if err := unix.Close(fd); err != nil && err != unix.EINTR {
		return none, also(os.NewSyscallError("close", err), v.Close())
	}
	return v, nil
}

var errNoStream = errors.New("it is a socket of another type than a stream")

func isStream(fd int) error {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if kind != unix.SOCK_STREAM {
		return errNoStream
	}
	return nil
}

func isConnected(fd int) error {
	if err := isStream(fd); err != nil {
		return err
	}
	_, err := unix.Getpeername(fd)
	return os.NewSyscallError("getpeername", err)
}

func isListening(fd int) error {
	if err := isStream(fd); err != nil {
		return err
	}
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if listens == 0 {
		return errors.New("it does not listen")
	}
	return nil
}
