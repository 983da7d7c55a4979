package machine

import (
	"net"
	"syscall"
)

// dieWithParent makes the kernel kill the process when this program ends. See
// startProcess about the thread that starts the process.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// endReading makes reads from conn return the end of file after they have returned
// what has already arrived.
func endReading(conn net.Conn) {
	if conn, ok := conn.(*net.UnixConn); ok {
		_ = conn.CloseRead() // fails if conn is closed: then reads return anyway
	}
}
