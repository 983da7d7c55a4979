package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/goqmp/qmp/internal/contexts"
)

// A Listener is a listening socket, and the file that belongs to it. Its methods
// may be called concurrently.
type Listener struct {
	listener net.Listener
	addr     net.Addr    // the path that the caller gave; nil if the listener's own address is right
	file     *socketFile // the socket's file, which Close removes; nil if there is none

	closeOnce sync.Once
	closeErr  error // set within closeOnce
}

// Listen listens at name on a network: "unix" with a path or @name, "tcp" with
// host:port, or "fd" with the number of an inherited descriptor that listens.
// ctx limits this call only; when it ends later, the listener stays open.
//
// Only the owner of a unix socket at a path can connect to it, from the moment in
// which its file appears. If the path has a stale socket, at which nobody
// listens, Listen replaces it. It changes no other file that is there, and its
// error matches syscall.EADDRINUSE and fs.ErrExist.
func Listen(ctx context.Context, network, name string) (*Listener, error) {
	if err := contexts.Err(ctx); err != nil {
		return nil, err
	}
	switch {
	case network == "vsock":
		return nil, errors.New("listening on vsock is not supported; connect, or hand over an accepted connection")
	case network == "fd":
		return listenFD(name)
	case network == "unix" && !strings.HasPrefix(name, "@"):
		if err := checkPath(name); err != nil {
			return nil, err
		}
		return listenUnix(ctx, name, ownerOnly)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, network, name)
	if err != nil {
		return nil, err
	}
	return &Listener{listener: ln}, nil
}

// ownerOnly stands for no group.
const ownerOnly = -1

// ListenGroup is [Listen] at a unix socket to which the members of a group can connect, too,
// from the moment in which its file appears: its mode is 0660. This process has to be a member
// of the group, or have the right to give files to any. The network has to be "unix", and the
// name a path.
func ListenGroup(ctx context.Context, network, name string, gid int) (*Listener, error) {
	if err := contexts.Err(ctx); err != nil {
		return nil, err
	}
	if network != "unix" || strings.HasPrefix(name, "@") {
		return nil, fmt.Errorf("only the path of a unix socket can have a group: %s:%s", network, name)
	}
	if err := checkPath(name); err != nil {
		return nil, err
	}
	return listenUnix(ctx, name, gid)
}

// Addr returns the address at which the socket listens. For port 0 it has the
// port that the system chose.
func (l *Listener) Addr() net.Addr {
	if l.addr != nil {
		return l.addr
	}
	return l.listener.Addr()
}

// Accept waits for the next peer that connects. If ctx ends first, Accept closes
// the listener and returns what ctx ended with.
func (l *Listener) Accept(ctx context.Context) (net.Conn, error) {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = l.Close() // the caller's own Close returns the error
	})
	conn, err := l.listener.Accept()
	if !stop() {
		<-closed
		if conn != nil {
			conn.Close()
		}
		return nil, contexts.Err(ctx)
	}
	if err != nil {
		return nil, named(err, nil, l.Addr())
	}
	if u, ok := conn.(*net.UnixConn); ok && l.addr != nil {
		return &unixConn{UnixConn: u, local: l.addr, remote: u.RemoteAddr()}, nil
	}
	return conn, nil
}

// Close stops listening and removes the socket's file, unless another file has
// taken its place. An Accept that waits fails. Close may be called again, and
// then returns what the first call did.
func (l *Listener) Close() error {
	l.closeOnce.Do(func() {
		// Remove the file before the listener is closed: until then nobody takes
		// the socket for a stale one and replaces it.
		l.closeErr = also(l.file.remove(), named(l.listener.Close(), nil, l.Addr()))
	})
	return l.closeErr
}

// An inUseError says that there is a file at the path at which a socket is to be
// made.
type inUseError struct {
	path string
	why  string // what the file is
	err  error  // the cause; nil if there is none
}

// errInUse is the system's own error for such a path.
var errInUse = os.NewSyscallError("bind", syscall.EADDRINUSE)

func (e *inUseError) Error() string {
	text := fmt.Sprintf("listen unix %s: %v: %s", e.path, errInUse, e.why)
	if e.err != nil {
		text += ": " + e.err.Error()
	}
	return text
}

func (e *inUseError) Unwrap() []error { return []error{errInUse, e.err} }

// Is reports true for fs.ErrExist: something is there.
func (e *inUseError) Is(target error) bool { return target == fs.ErrExist }

// listenError returns the system's error of call in the form that package net
// gives to its own. path is where the socket is to be made.
func listenError(path, call string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: "listen", Net: "unix", Addr: unixAddr(path), Err: os.NewSyscallError(call, err)}
}

func unixAddr(name string) *net.UnixAddr { return &net.UnixAddr{Net: "unix", Name: name} }

// also joins err and another error that came after it. Either may be nil.
func also(err, another error) error {
	switch {
	case err == nil:
		return another
	case another == nil:
		return err
	}
	return fmt.Errorf("%w; also: %w", err, another)
}
