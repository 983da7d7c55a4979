package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/goqmp/qmp/internal/contexts"
)

// dialVsock connects to port of the machine cid (vsock(7)).
func dialVsock(ctx context.Context, cid, port uint32) (net.Conn, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	addr := vsockAddr{cid: cid, port: port}
	err = unix.Connect(fd, &unix.SockaddrVM{CID: cid, Port: port})
	f := os.NewFile(uintptr(fd), addr.String()) // the file uses the runtime's poller, because the socket is non-blocking
	if errors.Is(err, unix.EINPROGRESS) {
		err = awaitConnect(ctx, f)
	} else if err != nil {
		err = os.NewSyscallError("connect", err)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%v: %w", addr, err)
	}
	return &vsockConn{File: f, addr: addr}, nil
}

// awaitConnect waits until f is connected or connecting has failed.
func awaitConnect(ctx context.Context, f *os.File) error {
	stop := context.AfterFunc(ctx, func() { f.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno int
	polled := false
	waitErr := raw.Write(func(fd uintptr) bool {
		if !polled {
			polled = true
			return false // wait until the socket is writable: then the result is known
		}
		errno, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		return true
	})
	switch {
	case !stop(): // ctx has ended, and the write deadline is set or is being set
		return contexts.Err(ctx)
	case waitErr != nil:
		return waitErr
	case err != nil:
		return os.NewSyscallError("getsockopt", err)
	case errno != 0:
		return os.NewSyscallError("connect", unix.Errno(errno))
	}
	return nil
}

// vsockConn is a connection over vsock, for which package net has no type.
type vsockConn struct {
	*os.File
	addr vsockAddr
}

func (c *vsockConn) LocalAddr() net.Addr  { return vsockAddr{cid: unix.VMADDR_CID_ANY} }
func (c *vsockConn) isOwnSocket()         {}
func (c *vsockConn) RemoteAddr() net.Addr { return c.addr }

type vsockAddr struct{ cid, port uint32 }

func (vsockAddr) Network() string  { return "vsock" }
func (a vsockAddr) String() string { return fmt.Sprintf("vsock:%d:%d", a.cid, a.port) }
