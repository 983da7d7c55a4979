//go:build unix && !linux

package machine

import (
	"net"
	"syscall"
)

// dieWithParent does nothing: this system cannot do it. The keeper kills the process.
func dieWithParent(*syscall.SysProcAttr) {}

// endReading does nothing: when reading is shut down, the BSDs drop what has already
// arrived.
func endReading(net.Conn) {}
