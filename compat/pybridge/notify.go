//go:build pybridge

package main

import (
	"encoding/binary"
	"runtime"

	"golang.org/x/sys/unix"
)

// notify writes the number of a call to the caller's descriptor, a pipe with room for it.
func notify(fd int, number uint64) {
	var text [8]byte
	binary.NativeEndian.PutUint64(text[:], number)
	for {
		_, err := unix.Write(fd, text[:])
		if err != unix.EINTR {
			return
		}
	}
}

// closeAll closes descriptors of the caller.
func closeAll(fds ...int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

func count() int { return runtime.NumGoroutine() }
