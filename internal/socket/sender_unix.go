//go:build unix

package socket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// newSocketSender returns a Sender for conn. It writes to the socket itself only if conn
// is exactly a *net.UnixConn or *net.TCPConn, or comes from this package. A type
// that embeds one of those may have its own Write, which must be called.
func newSocketSender(conn net.Conn) Sender {
	var raw syscall.RawConn
	var err error
	isUnix := false
	name := func(err error) error { return err }
	switch c := conn.(type) {
	case *net.UnixConn:
		raw, err = c.SyscallConn()
		isUnix = true
	case *unixConn:
		raw, err = c.SyscallConn()
		isUnix = true
		name = c.named
	case *net.TCPConn:
		raw, err = c.SyscallConn()
	case ownSocket:
		raw, err = c.SyscallConn()
	default:
		return plainSender{conn}
	}
	if err != nil {
		return plainSender{conn}
	}
	return &socketSender{raw: raw, unix: isUnix, named: name}
}

// An ownSocket is a connection of this package over a socket for which package net has
// no type.
type ownSocket interface {
	net.Conn
	syscall.Conn
	isOwnSocket()
}

// socketSender writes to a socket of the system.
type socketSender struct {
	raw   syscall.RawConn
	unix  bool
	named func(error) error // puts the connection's addresses into an error
}

func (s *socketSender) Interruptible() bool { return true }

func (s *socketSender) CheckFiles() error {
	if !s.unix {
		return errNoFiles
	}
	return nil
}

func (s *socketSender) Try(b []byte, files []*os.File) (int, error) {
	var n int
	var err error
	ctlErr := s.raw.Write(func(fd uintptr) bool {
		n, err = sendmsg(int(fd), b, files)
		return true
	})
	if errors.Is(err, unix.EAGAIN) {
		err = nil
	}
	return n, writeError(s.named(ctlErr), err)
}

func (s *socketSender) Send(b []byte, files []*os.File) (int, error) {
	var n int
	var err error
	ctlErr := s.raw.Write(func(fd uintptr) bool {
		n, err = sendmsg(int(fd), b, files)
		return !errors.Is(err, unix.EAGAIN)
	})
	return n, writeError(s.named(ctlErr), err)
}

func writeError(ctlErr, err error) error {
	if ctlErr != nil {
		return ctlErr
	}
	if errno, ok := err.(unix.Errno); ok {
		return os.NewSyscallError("sendmsg", errno)
	}
	return err
}

// maxFiles is how many descriptors one message can carry on Linux (unix(7)). Other
// systems allow as many or more. For more descriptors the system returns an error
// that looks like one of the connection.
const maxFiles = 253

// sendmsg sends some of b, and the descriptors of files with the first byte.
func sendmsg(fd int, b []byte, files []*os.File) (n int, err error) {
	if len(files) == 0 {
		return sendmsgFDs(fd, b, nil)
	}
	if len(files) > maxFiles {
		return 0, &FileError{fmt.Errorf("%d of them, more than the %d that a message can carry", len(files), maxFiles)}
	}
	filesErr := withDescriptors(files, nil, func(fds []int) {
		n, err = sendmsgFDs(fd, b, unix.UnixRights(fds...))
	})
	if filesErr != nil {
		return 0, &FileError{filesErr}
	}
	switch err {
	case unix.EBADF, unix.EINVAL, unix.ETOOMANYREFS:
		return 0, &FileError{os.NewSyscallError("sendmsg", err)} // not about the socket itself: RawConn.Write keeps that open
	}
	return n, err
}

func sendmsgFDs(fd int, b, rights []byte) (int, error) {
	for {
		n, err := unix.SendmsgN(fd, b, rights, nil, sendFlags)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// withDescriptors calls f with fds and the descriptors of files. While f runs, none
// of them can be closed. It does not use os.File.Fd, which would make the files
// blocking.
func withDescriptors(files []*os.File, fds []int, f func([]int)) error {
	if len(files) == 0 {
		f(fds)
		return nil
	}
	// The error for a file that is not open always matches EBADF.
	if files[0] == nil {
		return fmt.Errorf("a nil file: %w", unix.EBADF)
	}
	conn, err := files[0].SyscallConn()
	if err != nil {
		return fmt.Errorf("descriptor of %s: %w: %w", files[0].Name(), unix.EBADF, err)
	}
	var inner error
	err = conn.Control(func(fd uintptr) {
		inner = withDescriptors(files[1:], append(fds, int(fd)), f)
	})
	if err != nil { // package os returns an unexported error that callers cannot match
		return fmt.Errorf("descriptor of %s: %w: %w", files[0].Name(), unix.EBADF, os.ErrClosed)
	}
	return inner
}
