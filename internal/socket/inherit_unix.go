//go:build unix

package socket

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// inherit makes a connection or a listener of the inherited descriptor with
// the given number. It is taken over only if that works.
func inherit[T any](number string, use func(*os.File) (T, error)) (T, error) {
	var none T
	fd, err := strconv.Atoi(number)
	if err != nil {
		return none, err
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return none, os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(dup), "fd:"+number)
	defer f.Close() // use has made a descriptor of its own
	v, err := use(f)
	if err != nil {
		return none, err
	}
	return v, os.NewSyscallError("close", unix.Close(fd))
}
