package qemutest

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Monitor starts a [Machine] and returns the path of its monitor, which is in QEMU's
// working directory. The monitor's socket listens before QEMU starts, and QEMU
// inherits it. So a client can connect immediately, without waiting for the socket.
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
		Args: slices.Concat([]string{
			"-nodefaults", "-machine", "none", "-display", "none",
			"-chardev", "socket,id=qmp,fd=3,server=on,wait=on",
		}, OnChardev(t, "qmp"), args),
		Dir:   dir,
		Files: []*os.File{f},
	})
	return addr
}

// OnChardev returns the arguments of [QEMU] that put a QMP monitor on the chardev id.
// It uses -object monitor-qmp if QEMU has that. Otherwise it uses -mon, for which
// 11.1 prints that it is deprecated. options are options that both take, such as
// "pretty=on".
func OnChardev(t testing.TB, id string, options ...string) []string {
	t.Helper()
	has, err := offeredBy(Find(t, QEMU))
	if err != nil {
		t.Fatalf("ask %s for its objects: %v", QEMU, err)
	}
	monitor := []string{"-mon", "mode=control,chardev=" + id}
	if slices.Contains(has.objects, "monitor-qmp") {
		monitor = []string{"-object", "monitor-qmp,id=monitor-" + id + ",chardev=" + id}
	}
	monitor[1] = strings.Join(append(monitor[1:], options...), ",")
	return monitor
}
