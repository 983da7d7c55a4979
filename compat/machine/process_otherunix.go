//go:build unix && !linux

package machine

import (
	"net"
	"syscall"
)

// dieWithParent has no means on this system; the keeper is there for that.
func dieWithParent(*syscall.SysProcAttr) {}

// endReading does nothing: the BSDs drop what has arrived when reading is shut
// down.
func endReading(net.Conn) {}
