//go:build unix

package measure

import (
	"runtime"
	"syscall"
	"time"
)

func usage() syscall.Rusage {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return used
}

// cpu returns the processor time that this process has used.
func cpu() time.Duration {
	used := usage()
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// peak returns the largest resident memory that this process has had.
func peak() int64 {
	max := int64(usage().Maxrss)
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return max // in bytes there
	}
	return max << 10
}
