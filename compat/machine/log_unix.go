//go:build unix

package machine

import (
	"errors"
	"os"
	"syscall"
)

// maxPipe is at least as much as a pipe holds, in bytes.
const maxPipe = 1 << 20

// readNow reads what is in a pipe, at most len(buf) bytes, and does not wait. It
// returns 0 if the pipe is empty, has ended, or cannot be read.
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
