package socket

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// vsockPair returns a connection as dialVsock makes it, and the peer's end. Both are unix
// sockets, since a system may have no vsock.
func vsockPair(t *testing.T) (*vsockConn, net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	near := &vsockConn{File: os.NewFile(uintptr(fds[0]), "near"), addr: vsockAddr{3, 4444}}
	f := os.NewFile(uintptr(fds[1]), "far")
	defer f.Close()
	far, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return near, far
}

// A connection over vsock is written to as any socket of the system: without waiting,
// until its buffer is full, and a deadline ends a write that waits.
func TestVsockSendsAtOnce(t *testing.T) {
	t.Parallel()
	near, far := vsockPair(t)
	send := NewSender(near)
	if n, err := send.Try([]byte("x"), nil); n != 1 || err != nil {
		t.Fatalf("Try: got %d, %v", n, err)
	}
	if err := send.CheckFiles(); err == nil {
		t.Error("CheckFiles: got no error; vsock carries no descriptors")
	}
	if !send.Interruptible() {
		t.Error("a write that waits cannot be interrupted")
	}
	sent, large := 1, make([]byte, 1<<20)
	for {
		n, err := send.Try(large, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		sent += n
	}
	near.SetWriteDeadline(time.Unix(1, 0))
	if n, err := send.Send([]byte("y"), nil); n != 0 || !os.IsTimeout(err) {
		t.Errorf("Send with a deadline: got %d, %v", n, err)
	}
	near.SetWriteDeadline(time.Time{})
	near.Close()
	if n, err := io.Copy(io.Discard, far); n != int64(sent) || err != nil {
		t.Errorf("the peer got %d bytes and %v, want %d", n, err, sent)
	}
	if _, err := send.Try([]byte("x"), nil); err == nil {
		t.Error("Try after Close: got no error")
	}
}
