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

	"github.com/goqmp/qmp/internal/contexts"
)

// A Listener is a listening socket, and the file that belongs to it. Its methods
// may be called concurrently.
type Listener struct {
	listener net.Listener
	path     string      // of a unix socket with a file; "" otherwise
	file     fs.FileInfo // the file at path

	closeOnce sync.Once
	closeErr  error // set within closeOnce
}

// Listen listens at name on a network: "unix" with a path or @name, "tcp" with
// host:port, or "fd" with the number of an inherited descriptor that listens.
// It returns when ctx ends; the listener does not depend on ctx.
//
// A unix socket is made so that only its owner can connect, from its first
// moment. A stale socket, at which nobody listens, is replaced. Any other file
// is left alone, and the error matches syscall.EADDRINUSE.
func Listen(ctx context.Context, network, name string) (*Listener, error) {
	switch {
	case network == "vsock":
		return nil, errors.New("listening on vsock is not supported; connect, or hand an accepted connection to Attach")
	case network == "fd":
		ln, err := inherit(name, net.FileListener)
		if err != nil {
			return nil, fmt.Errorf("fd:%s is not a listening socket: %w", name, err)
		}
		if u, ok := ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // whoever made it removes it
		}
		return &Listener{listener: ln}, nil
	case network == "unix" && !strings.HasPrefix(name, "@"):
		return listenUnix(ctx, name)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, network, name)
	if err != nil {
		return nil, err
	}
	return &Listener{listener: ln}, nil
}

// Addr returns where the socket listens, with the port that the system chose
// for port 0.
func (l *Listener) Addr() net.Addr {
	if l.path != "" {
		return &net.UnixAddr{Net: "unix", Name: l.path}
	}
	return l.listener.Addr()
}

// Accept takes the next peer that connects. When ctx ends first, the listener is
// closed, and the error is what ctx ended with.
func (l *Listener) Accept(ctx context.Context) (net.Conn, error) {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = l.Close() // which the caller's own Close reports
	})
	conn, err := l.listener.Accept()
	if !stop() {
		<-closed
		if conn != nil {
			conn.Close()
		}
		return nil, contexts.Err(ctx)
	}
	return conn, err
}

// Close stops listening and removes the socket's file, unless another file has
// taken its place. An Accept that waits fails. Close may be called again, and
// then returns what the first call did.
func (l *Listener) Close() error {
	l.closeOnce.Do(func() {
		// The file goes first: while somebody listens, nobody replaces it.
		var err error
		if l.path != "" {
			if now, statErr := os.Lstat(l.path); statErr == nil && os.SameFile(now, l.file) {
				err = os.Remove(l.path)
			}
		}
		l.closeErr = also(l.listener.Close(), err)
	})
	return l.closeErr
}

// also returns err with another one that came after it.
func also(err, another error) error {
	switch {
	case err == nil:
		return another
	case another == nil:
		return err
	}
	return fmt.Errorf("%w; also: %w", err, another)
}
