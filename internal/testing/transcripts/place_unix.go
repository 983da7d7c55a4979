//go:build unix

package transcripts

import (
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// reservePort returns an address of 127.0.0.1 at which nobody listens. Until the
// test is over, the system gives the port to nobody who asks for any free port. It
// binds a socket to it that does not listen. The client can still listen there,
// because package net sets SO_REUSEADDR, too.
func reservePort(t testing.TB) (string, error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return "", os.NewSyscallError("socket", err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return "", os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", os.NewSyscallError("bind", err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	port := bound.(*syscall.SockaddrInet4).Port // the socket is an IPv4 one
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), nil
}
