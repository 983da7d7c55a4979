//go:build unix

// Tests with a real QEMU: the addresses to which a client connects and where it
// listens (rule E1).
// The code that they hold: address.go, connect.go, listen.go and
// internal/socket.
package async_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// A socket pair: it has no name, no file and no listener.
func TestE1ConnectInheritedDescriptor_QEMU(t *testing.T) {
	t.Parallel()
	syscall.ForkLock.RLock() // a process that is started now must not inherit these
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "QEMU's end")
	vm := qemutest.Start(t, qemutest.Command{
		Program: qemutest.QEMU, Args: emptyMachine(socketChardev(t, "fd=3")...), Files: []*os.File{theirs},
	})
	theirs.Close()
	c := dialReal(t, "fd:"+strconv.Itoa(fds[0]), nil)
	wantAlive(t, c)

	// Files can be sent over it, as over every unix socket.
	f := someFiles(t, 1)[0]
	reply, err := c.Do(qemutest.Context(t), async.Command{Name: "add-fd", Args: arguments{"fdset-id": 1}, Files: []*os.File{f}})
	if err != nil {
		t.Fatal(err)
	}
	var added addedFD
	if err := reply.Decode(&added); err != nil || !vm.SameFile(t, added.FD, f.Name()) {
		t.Errorf("add-fd made %+v (%v), which is not %s", added, err, f.Name())
	}
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
}

// A descriptor that is not a socket stays open.
func TestE1ConnectToDescriptorOfAFile(t *testing.T) {
	t.Parallel()
	f := someFiles(t, 1)[0]
	addr := "fd:" + strconv.Itoa(int(f.Fd()))
	wantAs[*async.ConnectError](t, "Connect", newClient(t, nil).Connect(t.Context(), addr))
	wantAs[*async.ConnectError](t, "Listen", newClient(t, nil).Listen(t.Context(), addr))
	if _, err := f.WriteString("still open"); err != nil {
		t.Error(err)
	}
}

// Another program has bound the socket, as systemd does. QEMU connects to it.
func TestE1ListenInheritedDescriptor_QEMU(t *testing.T) {
	t.Parallel()
	dir := qemutest.Dir(t)
	path := filepath.Join(dir, "qmp")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	f, err := ln.File()
	ln.Close()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()

	ctx := qemutest.Context(t)
	c := newClient(t, nil)
	if err := c.Listen(ctx, "fd:"+strconv.Itoa(fd)); err != nil {
		t.Fatal(err)
	}
	qemutest.Start(t, qemutest.Command{Program: qemutest.QEMU, Args: emptyMachine("-qmp", "unix:"+path)})
	if err := c.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	wantAlive(t, c)
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the file of the other program's socket is gone: %v", err)
	}
}

// wantFiles checks which files are in dir.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	wantNames(t, "files in the directory", got, strings.Join(want, " "))
}

func TestE1ListeningSocketIsTheOwners(t *testing.T) {
	t.Parallel()
	dir := qemutest.Dir(t)
	path := filepath.Join(dir, "qmp")
	c := newClient(t, nil)
	if err := c.Listen(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	wantListening(t, c, path)
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	wantFiles(t, dir) // neither the socket nor the directory in which it was made
	wantState(t, c, async.Idle)
}

func TestE1ListenReplacesAStaleSocket_QEMU(t *testing.T) {
	t.Parallel()
	dir := qemutest.Dir(t)
	path := filepath.Join(dir, "qmp")
	ctx := qemutest.Context(t)
	// A QEMU that was killed does not remove its socket.
	vm := qemutest.Start(t, qemutest.Command{Program: qemutest.QEMU, Dir: dir, Args: emptyMachine("-qmp", onUnix)})
	dialReal(t, path, nil).Close()

	// While QEMU runs, Listen fails, and QEMU does not notice it.
	c := newClient(t, nil)
	err := c.Listen(ctx, path)
	wantAs[*async.ConnectError](t, "Listen at a socket that is in use", err)
	wantIs(t, "Listen at a socket that is in use", err, syscall.EADDRINUSE)
	wantState(t, c, async.Idle)
	wantAlive(t, dialReal(t, path, nil))
	wantFiles(t, dir, "qmp")

	vm.Kill()
	vm.Wait(t)
	if err := c.Listen(ctx, path); err != nil {
		t.Fatalf("Listen in place of a stale socket: %v", err)
	}
	wantListening(t, c, path)
	qemutest.Start(t, qemutest.Command{Program: qemutest.QEMU, Dir: dir, Args: emptyMachine("-qmp", "unix:qmp")})
	if err := c.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	wantAlive(t, c)
	wantFiles(t, dir)
}

func TestE1ListenLeavesOtherFilesAlone(t *testing.T) {
	t.Parallel()
	dir := qemutest.Dir(t)
	path := func(name string) string { return filepath.Join(dir, name) }
	qemutest.StaleSocket(t, path("stale"))
	for name, create := range map[string]func(string) error{
		"regular":   func(p string) error { return os.WriteFile(p, []byte("precious"), 0o600) },
		"empty":     func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"fifo":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"link":      func(p string) error { return os.Symlink("stale", p) }, // Listen does not follow the link
		"dangling":  func(p string) error { return os.Symlink("nowhere", p) },
	} {
		t.Run(name, func(t *testing.T) {
			p := path(name)
			if err := create(p); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(p)
			if err != nil {
				t.Fatal(err)
			}
			c := newClient(t, nil)
			err = c.Listen(t.Context(), p)
			wantAs[*async.ConnectError](t, "Listen", err)
			wantIs(t, "Listen", err, syscall.EADDRINUSE)
			wantText(t, "Listen", err, "not a socket")
			wantState(t, c, async.Idle)
			after, err := os.Lstat(p)
			if err != nil || !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
				t.Errorf("the file has changed: %v, %v", after, err)
			}
		})
	}
	wantFiles(t, dir, "dangling", "directory", "empty", "fifo", "link", "regular", "stale")
}

// A file that has replaced the client's socket is not removed.
func TestE1ListenRemovesOnlyItsOwnSocket(t *testing.T) {
	t.Parallel()
	dir := qemutest.Dir(t)
	path := filepath.Join(dir, "qmp")
	c := newClient(t, nil)
	if err := c.Listen(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	wantNil(t, "Close", c.Close())
	wantFiles(t, dir, "qmp")
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the other's socket: %v", err)
	}
	conn.Close()
}

// An Accept that is given up removes the socket's file, too.
func TestE1AcceptThatTimesOutCleansUp(t *testing.T) {
	t.Parallel()
	dir := qemutest.Dir(t)
	c := newClient(t, nil)
	if err := c.Listen(t.Context(), filepath.Join(dir, "qmp")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := c.Accept(ctx)
	if e := wantAs[*async.ConnectError](t, "Accept", err); e.Stage != async.StageConnection {
		t.Errorf("failed in stage %s", e.Stage)
	}
	wantIs(t, "Accept", err, context.DeadlineExceeded)
	wantState(t, c, async.Idle)
	wantFiles(t, dir)
}

// The longest path that the system takes works for Connect and for Listen. For
// a path that is one byte longer, the error says that it is too long.
func TestE1LongestPath_QEMU(t *testing.T) {
	t.Parallel()
	const most = len(unix.RawSockaddrUnix{}.Path) - 1
	dir := qemutest.Dir(t)
	path := filepath.Join(dir, strings.Repeat("p", most-len(dir)-1))
	if len(path) != most {
		t.Fatalf("the directory's path has %d bytes", len(dir))
	}
	ctx := qemutest.Context(t)
	c := newClient(t, nil)
	if err := c.Listen(ctx, path); err != nil {
		t.Fatal(err)
	}
	wantListening(t, c, path)
	qemutest.Machine(t, "-qmp", "unix:"+path)
	if err := c.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	wantAlive(t, c)

	qemutest.Machine(t, "-qmp", "unix:"+path+",server=on")
	wantAlive(t, dialReal(t, path, nil))

	for what, err := range map[string]error{
		"Listen":  newClient(t, nil).Listen(ctx, path+"p"),
		"Connect": newClient(t, nil).Connect(ctx, path+"p"),
	} {
		wantAs[*async.ConnectError](t, what, err)
		wantText(t, what, err, strconv.Itoa(most), "longer")
	}
}

// Nobody listens at that address, or the kernel has no vsock. In both cases
// Connect returns, at the latest when its context ends.
func TestE1VsockIsBounded(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		qemutest.Unsupported(t, "vsock needs Linux")
	}
	c := newClient(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := c.Connect(ctx, "vsock:1:4294967294")
	if e := wantAs[*async.ConnectError](t, "Connect", err); e.Stage != async.StageConnection {
		t.Errorf("failed in stage %s", e.Stage)
	}
	if ctx.Err() != nil {
		wantIs(t, "Connect", err, context.DeadlineExceeded)
	}
	wantState(t, c, async.Idle)
	t.Logf("on this machine: %v", err)
}
