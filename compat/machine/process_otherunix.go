//go:build unix && !linux

package machine

import "syscall"

// dieWithParent has no means on this system; the keeper is there for that.
func dieWithParent(*syscall.SysProcAttr) {}
