//go:build unix

package group_test

import (
	"syscall"
	"time"
)

// cpu returns the processor time that this process has used. Unlike the time of a clock,
// it hardly depends on what else the computer does.
func cpu() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
