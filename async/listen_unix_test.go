//go:build unix

// Tests of Listen and Accept over real sockets.
// The code that they hold: listen.go and internal/socket.
package async_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// Only the owner can connect to a listening unix socket, whatever the umask.
// (Not parallel: the umask is the whole process's.)
// Holds secure.
func TestListenIsForTheOwnerOnly(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := socketPath(t)
	c := newClient(t, nil)
	wantNil(t, "Listen", c.Listen(t.Context(), path))
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket: got mode %v and error %v, want Srw-------", info.Mode(), err)
	}
	// The directory in which it was made has been removed.
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
		t.Errorf("beside the socket: got %v and error %v, want nothing", list, err)
	}
	accepts(t, c, "unix", path)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Accept: the socket's file is still there (%v)", err)
	}
}

func TestListenOverTCP(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"127.0.0.1:0", "tcp:localhost:0", "[::1]:0"} {
		c := newClient(t, nil)
		if err := c.Listen(t.Context(), addr); err != nil {
			if strings.Contains(addr, "::1") {
				t.Logf("no IPv6 here: %v", err)
				continue
			}
			t.Fatal(err)
		}
		got := c.ListenAddr()
		if _, port, err := net.SplitHostPort(got.String()); err != nil || port == "0" {
			t.Errorf("ListenAddr: got %v, want the port that was chosen", got)
		}
		accepts(t, c, "tcp", got.String())
	}
}

func TestListenInTheAbstractNamespace(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		qemutest.Unsupported(t, "Linux has that alone")
	}
	name := "@goqmp-test-" + strconv.Itoa(os.Getpid())
	c := newClient(t, nil)
	wantNil(t, "Listen", c.Listen(t.Context(), name))
	if got := c.ListenAddr().String(); got != name {
		t.Errorf("ListenAddr: got %s, want %s", got, name)
	}
	accepts(t, c, "unix", name)
}

// Listen replaces a stale socket. It leaves alone any other file, and a socket
// at which somebody listens.
// Holds secure.
func TestListenWhereSomethingStands(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		make func(t *testing.T, path string)
		fine bool
		text string
	}{
		{"a stale socket", func(t *testing.T, path string) { qemutest.StaleSocket(t, path) }, true, ""},
		{"a socket in use", func(t *testing.T, path string) {
			ln, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ln.Close() })
		}, false, "somebody listens there"},
		{"a socket of another type", func(t *testing.T, path string) {
			conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
		}, false, "wrong type"},
		{"a file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, false, "not a socket"},
		{"a directory", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, false, "not a socket"},
		{"a link to nowhere", func(t *testing.T, path string) {
			if err := os.Symlink("nowhere", path); err != nil {
				t.Fatal(err)
			}
		}, false, "not a socket"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := socketPath(t)
			tt.make(t, path)
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			c := newClient(t, nil)
			err = c.Listen(t.Context(), path)
			if tt.fine {
				wantNil(t, "Listen", err)
				accepts(t, c, "unix", path)
				return
			}
			wantIs(t, "Listen", err, syscall.EADDRINUSE)
			wantText(t, "Listen", err, "listen "+path, tt.text)
			wantState(t, c, async.Idle)
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("what stood there is gone (%v)", err)
			}
			if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
				t.Errorf("beside it: got %v and error %v, want nothing", list, err)
			}
		})
	}
}

// The file is removed with the socket, unless another file has taken its place.
// Holds secure.
func TestListenRemovesOnlyItsOwnFile(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	c := newClient(t, nil)
	wantNil(t, "Listen", c.Listen(t.Context(), path))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file that came later: got %q and error %v", b, err)
	}
}

// The error for a path that is too long says so, and says by how much.
// Holds secure.
func TestPathTooLong(t *testing.T) {
	t.Parallel()
	path := "/" + strings.Repeat("x", 200)
	c := newClient(t, nil)
	for what, err := range map[string]error{"Listen": c.Listen(t.Context(), path), "Connect": c.Connect(t.Context(), path)} {
		wantAs[*async.ConnectError](t, what, err)
		wantText(t, what, err, "201 bytes", "use a shorter one")
	}
	wantState(t, c, async.Idle)
}

// The longest path that the system takes works, although the socket is first
// made elsewhere: where the name is long, and where the directory's path is
// long.
func TestLongestPath(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		qemutest.Unsupported(t, "a way around the limit is known on Linux alone")
	}
	const most = len(syscall.RawSockaddrUnix{}.Path) - 1
	dir := filepath.Dir(socketPath(t))
	deep := dir + "/" + strings.Repeat("d", most-len(dir)-3)
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir + "/" + strings.Repeat("x", most-len(dir)-1), deep + "/x"} {
		if len(path) != most {
			t.Fatalf("the path has %d bytes, want %d", len(path), most)
		}
		c := newClient(t, nil)
		wantNil(t, "Listen", c.Listen(t.Context(), path))
		accepts(t, c, "unix", path)
	}
}

// An inherited descriptor is used as a connection or as a listening socket. One
// that is neither is left as it was.
func TestInheritedDescriptors(t *testing.T) {
	t.Parallel()
	dup := func(f interface{ File() (*os.File, error) }) string {
		t.Helper()
		file, err := f.File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		fd, err := syscall.Dup(int(file.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		return "fd:" + strconv.Itoa(fd)
	}

	client, conn := socketPair(t)
	server := newTokenServer(conn, "")
	go server.serve()
	addr := dup(client)
	client.Close()
	c := newClient(t, nil)
	wantNil(t, "Connect to "+addr, c.Connect(t.Context(), addr))
	execute(t, c, "x", `"x"`)
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	server.wait() // the server has seen the end, so no copy of the descriptor is open

	path := socketPath(t)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	addr = dup(ln)
	ln.Close()
	wantNil(t, "Listen at "+addr, c.Listen(t.Context(), addr))
	accepts(t, c, "unix", path)
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the file of an inherited socket is its maker's: %v", err)
	}

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	addr = "fd:" + strconv.Itoa(int(r.Fd()))
	wantText(t, "Connect to a pipe", c.Connect(t.Context(), addr), addr, "not a connected socket")
	wantText(t, "Listen at a pipe", c.Listen(t.Context(), addr), addr, "not a listening socket")
	if _, err := w.Write([]byte("x")); err != nil {
		t.Errorf("the pipe was closed: %v", err)
	}
	wantIs(t, "Connect to no descriptor", c.Connect(t.Context(), "fd:1000000"), syscall.EBADF)
}

// The error for an address that this system or this library does not support
// says so.
func TestUnsupportedAddresses(t *testing.T) {
	t.Parallel()
	c := newClient(t, nil)
	wantText(t, "Listen", c.Listen(t.Context(), "vsock:3:4444"), "vsock")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := c.Connect(ctx, "vsock:4294967294:1") // there is no machine with that number
	wantAs[*async.ConnectError](t, "Connect", err)
	wantState(t, c, async.Idle)
	wantAs[*async.AddressError](t, "Connect", c.Connect(t.Context(), "vsock:1"))
	wantAs[*async.AddressError](t, "Listen", c.Listen(t.Context(), "vsock:1"))
}

// SyscallConn gives access to the socket.
func TestSyscallConn(t *testing.T) {
	t.Parallel()
	client, conn := socketPair(t)
	server := newTokenServer(conn, "")
	go server.serve()
	c := newClient(t, nil)
	if _, err := c.SyscallConn(); err == nil || c.CanSendFiles() {
		t.Errorf("without a connection: got error %v, CanSendFiles %v", err, c.CanSendFiles())
	}
	wantNil(t, "Attach", c.Attach(t.Context(), client))
	raw, err := c.SyscallConn()
	wantNil(t, "SyscallConn", err)
	kind := -1
	wantNil(t, "Control", raw.Control(func(fd uintptr) { kind, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TYPE) }))
	if err != nil || kind != syscall.SOCK_STREAM || !c.CanSendFiles() {
		t.Errorf("got type %d, error %v, CanSendFiles %v", kind, err, c.CanSendFiles())
	}
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	server.wait()
}

// Several peers connect. The first one is accepted, and the others are
// disconnected.
func TestListenTakesOnePeer(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	c := newClient(t, nil)
	wantNil(t, "Listen", c.Listen(t.Context(), path))
	var servers []*tokenServer
	for range 3 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		server := newTokenServer(conn, "")
		go server.serve()
		servers = append(servers, server)
	}
	wantNil(t, "Accept", c.Accept(t.Context()))
	execute(t, c, "x", `"x"`)
	for _, server := range servers[1:] {
		if seen, err := server.wait(); err == nil || len(seen) > 0 {
			t.Errorf("another peer got %v and error %v, want it to be turned away", seen, err)
		}
	}
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	servers[0].wait()
}

// Two goroutines call Accept at the same time. One gets the peer, the other a
// StateError.
func TestAcceptTwice(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	c := async.New(nil)
	wantNil(t, "Listen", c.Listen(t.Context(), path))
	first, second := do(func() error { return c.Accept(t.Context()) }), do(func() error { return c.Accept(t.Context()) })
	var err error
	select {
	case err = <-first:
		first = second
	case err = <-second:
	}
	wantAs[*async.StateError](t, "the second Accept", err)
	play(t, qmptest.ScriptOptions{DialTo: path}, connected("")...)
	t.Cleanup(func() { c.Close() })
	wantNil(t, "the first Accept", <-first)
}

// Disconnect at any moment of a Listen leaves no socket.
func TestListenCalledOff(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	rounds, during := 500, 0
	for i := range rounds {
		c := async.New(nil)
		w := c.WatchRunstate()
		listening := do(func() error { return c.Listen(t.Context(), path) })
		awaitState(t, w, async.Connecting)
		spin(i % 100)
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		if <-listening != nil {
			during++
		}
		w.Close()
		if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) > 0 {
			t.Fatalf("round %d: got %v and error %v, want nothing to be left", i, list, err)
		}
	}
	t.Logf("%d of %d were ended before they listened", during, rounds)
}
