//go:build unix

package socket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Holds E14.
func TestNotReady(t *testing.T) {
	t.Parallel()
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", err)}
	}
	for _, err := range []error{
		unix.ENOENT, unix.ECONNREFUSED, unix.EAGAIN, unix.ECONNRESET, unix.ECONNABORTED, unix.ETIMEDOUT,
		unix.EHOSTUNREACH, unix.EHOSTDOWN, unix.ENETUNREACH, unix.ENETDOWN, unix.ENODEV,
	} {
		if !NotReady(dial(err)) || !NotReady(fmt.Errorf("through a proxy: %w", err)) {
			t.Errorf("%v: got false, want true", err)
		}
	}
	for _, err := range []error{
		fs.ErrNotExist, os.ErrDeadlineExceeded, context.DeadlineExceeded,
		&net.DNSError{Err: "server misbehaving", IsTemporary: true}, &net.DNSError{IsTimeout: true},
	} {
		if !NotReady(err) {
			t.Errorf("%v: got false, want true", err)
		}
	}
	for _, err := range []error{
		nil, io.EOF, context.Canceled, net.ErrClosed, errors.New("x"), &net.DNSError{Err: "no such host", IsNotFound: true},
		dial(unix.EACCES), dial(unix.EPERM), dial(unix.ENOTDIR), dial(unix.ELOOP), dial(unix.EPROTOTYPE), dial(unix.EINVAL),
		dial(unix.EAFNOSUPPORT), dial(unix.EADDRNOTAVAIL), dial(unix.EBADF), dial(unix.ENOTCONN), dial(unix.EMFILE), dial(unix.ENAMETOOLONG),
	} {
		if NotReady(err) {
			t.Errorf("%v: got true, want false", err)
		}
	}
}

// NotReady is right about the errors that the system really returns.
// Holds E14.
func TestNotReadyOfRealSockets(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir) // a short path
	ctx := t.Context()
	check := func(what, network, name string, want bool) {
		t.Helper()
		conn, err := Dial(ctx, network, name)
		if err == nil {
			conn.Close()
			t.Errorf("%s: connected", what)
		} else if NotReady(err) != want {
			t.Errorf("%s: %v: got %v, want %v", what, err, !want, want)
		}
	}
	check("no socket", "unix", "none", true)
	check("no folder", "unix", "none/none", true)
	stale, err := net.ListenUnix("unix", unixAddr("stale"))
	must(t, err)
	stale.SetUnlinkOnClose(false)
	must(t, stale.Close())
	check("a stale socket", "unix", "stale", true)
	must(t, os.WriteFile("file", nil, 0o600))
	check("a path through a file", "unix", "file/x", false)
	other, err := net.ListenUnixgram("unixgram", unixAddr("other"))
	must(t, err)
	defer other.Close()
	check("a socket of another type", "unix", "other", false)
	port, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, port.Close())
	check("a port where nobody listens", "tcp", port.Addr().String(), true)
	check("no descriptor", "fd", "1000000", false)
	check("no port", "tcp", "127.0.0.1", false)

	// A listener that does not accept, and whose queue has room for one.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	defer unix.Close(fd)
	full := "full"
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: full}))
	must(t, unix.Listen(fd, 0))
	for i := 0; ; i++ {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		conn, err := Dial(limited, "unix", full)
		cancel()
		if err != nil {
			if !NotReady(err) {
				t.Errorf("a full queue: %v: got false, want true", err)
			}
			break
		}
		defer conn.Close()
		if i > 1000 {
			t.Fatal("the queue is never full")
		}
	}
	if err := errors.Join(os.Remove(full), os.Remove(filepath.Join(dir, "stale"))); err != nil {
		t.Error(err)
	}
}
