//go:build unix

package socket

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// shortDir makes a folder whose path is short enough for a socket in it.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "qmps")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// The addresses of a listener and of both ends of a connection are the path that
// the caller gave, not the one at which the socket was made. So are those in their
// errors.
func TestNamesOfSockets(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "qmp")
	l, err := Listen(t.Context(), "unix", path)
	must(t, err)
	dialled, err := Dial(t.Context(), "unix", path)
	must(t, err)
	accepted, err := l.Accept(t.Context())
	must(t, err)
	for what, got := range map[string]net.Addr{
		"the listener": l.Addr(), "the accepted end": accepted.LocalAddr(), "the other end": dialled.RemoteAddr(),
	} {
		if got.String() != path || got.Network() != "unix" {
			t.Errorf("%s is at %s %s, want unix %s", what, got.Network(), got, path)
		}
	}
	unread := []byte("unread bytes make a close a reset")
	_, err = dialled.Write(unread)
	must(t, err)
	must(t, accepted.Close())
	errs := make(map[string]error)
	_, errs["read of the dialled end"] = dialled.Read(make([]byte, 1))
	_, errs["write of the dialled end"] = dialled.Write(unread)
	_, errs["read of the accepted end"] = accepted.Read(make([]byte, 1))
	_, errs["write of the accepted end"] = accepted.Write(unread)
	_, errs["send of the accepted end"] = NewSender(accepted).Send(unread, nil)
	_, errs["try of the accepted end"] = NewSender(accepted).Try(unread, nil)
	must(t, dialled.Close())
	errs["close of the accepted end"] = accepted.Close()
	errs["second close of the dialled end"] = dialled.Close()
	must(t, l.Close())
	_, errs["accept"] = l.Accept(t.Context())
	_, errs["second listener"] = Listen(t.Context(), "unix", filepath.Join(path, "x"))
	for what, err := range errs {
		if err == nil {
			t.Errorf("%s: no error", what)
			continue
		}
		if strings.Contains(err.Error(), "/proc/") || strings.Contains(err.Error(), ".q") {
			t.Errorf("%s: the error %v names the folder in which the socket was made", what, err)
		}
		var op *net.OpError
		if errors.As(err, &op) && !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %s in it", what, err, path)
		}
	}
}

// A wrapped connection still sends and receives descriptors.
func TestFilesOverNamedConnections(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "qmp")
	l, err := Listen(t.Context(), "unix", path)
	must(t, err)
	defer l.Close()
	dialled, err := Dial(t.Context(), "unix", path)
	must(t, err)
	defer dialled.Close()
	accepted, err := l.Accept(t.Context())
	must(t, err)
	defer accepted.Close()
	for _, ends := range [][2]net.Conn{{dialled, accepted}, {accepted, dialled}} {
		s := NewSender(ends[0])
		must(t, s.CheckFiles())
		f, err := os.Open(os.DevNull)
		must(t, err)
		n, err := s.Send([]byte("x"), []*os.File{f})
		must(t, err)
		must(t, f.Close())
		b := make([]byte, 8)
		got, fds, err := Read(ends[1], b)
		must(t, err)
		if n != 1 || got != 1 || len(fds) != 1 {
			t.Fatalf("sent %d, got %d bytes and %d descriptors, want 1 each", n, got, len(fds))
		}
		CloseFDs(fds)
	}
}

// dupFD returns a new descriptor for a socket.
func dupFD(t *testing.T, f interface{ File() (*os.File, error) }) int {
	t.Helper()
	file, err := f.File()
	must(t, err)
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	must(t, err)
	return fd
}

func nonblocking(t *testing.T, fd int) bool {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	must(t, err)
	return flags&unix.O_NONBLOCK != 0
}

// A descriptor of the wrong kind is refused, stays open, and keeps its flags. (The
// flags belong to the open file, so a change would affect other processes that
// have it.)
func TestInheritWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	var pipe [2]int
	must(t, unix.Pipe(pipe[:]))
	listening, err := net.ListenUnix("unix", unixAddr(filepath.Join(shortDir(t), "l")))
	must(t, err)
	defer listening.Close()
	gram, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer gram.Close()
	fresh, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	defer unix.Close(pair[1])
	accepting := dupFD(t, listening)
	must(t, unix.SetNonblock(accepting, false))
	datagrams := dupFD(t, gram.(*net.UDPConn))
	must(t, unix.SetNonblock(datagrams, false))
	for _, tt := range []struct {
		what         string
		fd           int
		dial, listen string // a part of the error; "" if the descriptor fits
	}{
		{"a pipe", pipe[0], "not a connected socket", "not a listening socket"},
		{"a listening socket", accepting, "not a connected socket", ""},
		{"a connection", pair[0], "", "it does not listen"},
		{"a socket that is neither", fresh, "not a connected socket", "it does not listen"},
		{"a datagram socket", datagrams, "not a stream socket", "not a stream socket"},
	} {
		check := func(call string, err error, want string) {
			t.Helper()
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "fd:"+strconv.Itoa(tt.fd)) {
				t.Errorf("%s of %s: %v, want %q", call, tt.what, err, want)
			}
			if nonblocking(t, tt.fd) {
				t.Errorf("%s of %s: the descriptor has become non-blocking", call, tt.what)
			}
		}
		number := strconv.Itoa(tt.fd)
		if tt.dial != "" {
			_, err := Dial(t.Context(), "fd", number)
			check("dial", err, tt.dial)
		}
		if tt.listen != "" {
			_, err := Listen(t.Context(), "fd", number)
			check("listen", err, tt.listen)
		}
		must(t, unix.Close(tt.fd))
	}
	must(t, unix.Close(pipe[1]))
}

// If several callers take over one descriptor at the same time, one gets it. (Not
// parallel: no other test may open a descriptor with the same number meanwhile.)
func TestInheritOnce(t *testing.T) {
	for range 50 {
		pair, err := socketpair()
		must(t, err)
		// A number so high that no other descriptor gets it.
		high, err := unix.FcntlInt(uintptr(pair[0]), unix.F_DUPFD_CLOEXEC, 500)
		must(t, err)
		must(t, unix.Close(pair[0]))
		conns, errs := make(chan net.Conn), make(chan error)
		for range 4 {
			go func() {
				conn, err := Dial(t.Context(), "fd", strconv.Itoa(high))
				if err != nil {
					errs <- err
				} else {
					conns <- conn
				}
			}()
		}
		got := 0
		for range 4 {
			select {
			case conn := <-conns:
				got++
				must(t, conn.Close())
			case err := <-errs:
				if !errors.Is(err, syscall.EBADF) {
					t.Errorf("a caller that did not get it: got error %v, want %v", err, syscall.EBADF)
				}
			}
		}
		if got != 1 {
			t.Fatalf("%d of 4 got the descriptor, want one", got)
		}
		must(t, unix.Close(pair[1]))
	}
}
