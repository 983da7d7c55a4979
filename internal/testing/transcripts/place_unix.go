//go:build unix

package transcripts

import (
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// reservePort returns an address of 127.0.0.1 at which nobody listens, and which
// the system gives to nobody else until the test is over. The client may listen
// there: a socket that is bound without listening stands in nobody's way who
// reuses addresses, as the net package does.
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
	port := bound.(*syscall.SockaddrInet4).Port // it was bound as one
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), nil
}
