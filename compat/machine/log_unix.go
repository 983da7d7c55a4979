//go:build unix

package machine

import (
	"errors"
	"os"
	"syscall"
)

// maxPipe is more than fits into a pipe.
const maxPipe = 1 << 20

// readNow reads what is in a pipe, and does not wait. It returns 0 if nothing is.
func readNow(pipe *os.File, buf []byte) (n int) {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return 0
	}
	err = conn.Read(func(fd uintptr) bool {
		for {
			n, err = syscall.Read(int(fd), buf)
			if !errors.Is(err, syscall.EINTR) {
				return true
			}
		}
	})
	if err != nil {
		return 0
	}
	return max(n, 0)
}
