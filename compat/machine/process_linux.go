package machine

import (
	"net"
	"syscall"
)

// dieWithParent has the kernel kill the process if this program ends first.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// endReading has reads from conn meet the end of file once they have taken what
// is there already.
func endReading(conn net.Conn) {
	if conn, ok := conn.(*net.UnixConn); ok {
		_ = conn.CloseRead() // fails where conn has ended, which is as well
	}
}
