//go:build unix

package pybridge

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// fileOf returns a copy of the caller's descriptor, which stays the caller's.
func fileOf(fd int) (*os.File, error) {
	copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(copied), "descriptor"), nil
}

// connOf returns the connection that the caller's descriptor is for, on a copy of the
// descriptor.
func connOf(fd int) (net.Conn, error) {
	f, err := fileOf(fd)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileConn(f) // has a copy of its own
}
