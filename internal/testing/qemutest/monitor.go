package qemutest

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Monitor starts a [Machine] and returns the path of its monitor, which is in
// QEMU's working directory. QEMU inherits a socket that listens already, so that a
// client that does not wait for the socket can connect at once.
func Monitor(t testing.TB, args ...string) (addr string) {
	t.Helper()
	Find(t, QEMU)
	dir := Dir(t)
	addr = filepath.Join(dir, "qmp")
	ln, err := net.Listen("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	f, err := ln.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	Start(t, Command{
		Program: QEMU,
		Args: append([]string{
			"-nodefaults", "-machine", "none", "-display", "none",
			"-chardev", "socket,id=qmp,fd=3,server=on,wait=on", "-mon", "chardev=qmp,mode=control",
		}, args...),
		Dir:   dir,
		Files: []*os.File{f},
	})
	return addr
}
