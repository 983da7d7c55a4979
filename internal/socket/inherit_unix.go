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

// inheriting is held while a descriptor is taken over, so that of two callers that
// name the same descriptor only one gets it. No call under it waits for a peer.
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
		u.SetUnlinkOnClose(false) // the program that made the socket removes its file
	}
	return &Listener{listener: ln}, nil
}

// inherit makes a connection or a listener from the inherited descriptor with this
// number. If it succeeds, the value owns the socket, and the descriptor is closed.
// If it fails, the descriptor stays open and unchanged.
func inherit[T interface{ Close() error }](number, kind string, check func(int) error, use func(*os.File) (T, error)) (v T, err error) {
	var none T
	fd, err := strconv.Atoi(number)
	if err != nil {
		return none, err
	}
	inheriting.Lock()
	defer inheriting.Unlock()
	// First check, because use changes the descriptor's flags.
	if err := check(fd); err != nil {
		return none, fmt.Errorf("fd:%d is not a %s socket: %w", fd, kind, err)
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return none, os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(dup), "fd:"+number)
	defer f.Close() // the value that use returns has its own descriptor
	if v, err = use(f); err != nil {
		return none, fmt.Errorf("fd:%d is not a %s socket: %w", fd, kind, err)
	}
	if err := unix.Close(fd); err != nil && err != unix.EINTR {
		return none, also(os.NewSyscallError("close", err), v.Close())
	}
	return v, nil
}

var errNoStream = errors.New("it is not a stream socket")

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
