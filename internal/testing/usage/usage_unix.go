//go:build unix

package usage

import (
	"runtime"
	"syscall"
	"time"
)

func used() syscall.Rusage {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return used
}

// CPU returns the processor time that this process has used, user and system. Unlike the
// time of a clock, it hardly depends on what else the computer does.
func CPU() time.Duration {
	u := used()
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Peak returns the largest resident memory that this process has had, in bytes.
func Peak() int64 {
	most := int64(used().Maxrss)
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return most // in bytes there
	}
	return most << 10
}
