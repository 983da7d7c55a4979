package qtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/goqmp/qmp/internal/contexts"
)

// A Listener waits for a QEMU that connects. All methods may be called
// concurrently.
type Listener struct {
	listener net.Listener
	path     string // of a unix socket that was moved into place; "" otherwise
	file     os.FileInfo

	close    sync.Once
	closeErr error
}

// Listen listens at addr, which is as for [Dial]. Only its owner can connect to
// a unix socket; a file that is there already is an error. Close the listener
// when QEMU is there.
func Listen(addr string) (*Listener, error) {
	a, err := parseAddress(addr)
	if err != nil {
		return nil, err
	}
	l := &Listener{}
	if a.Network == "unix" && a.Name[0] != '@' {
		err = l.listenUnix(a.Name)
	} else {
		l.listener, err = net.Listen(a.Network, a.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("qtest: %w", err)
	}
	return l, nil
}

// listenUnix binds in a fresh directory that nobody else can enter, takes
// everybody else's rights off the socket there, and then moves it into place:
// whoever gets in is served the guest's memory, so there is to be no moment in
// between.
func (l *Listener) listenUnix(path string) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return &os.PathError{Op: "listen", Path: path, Err: os.ErrExist}
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".q") // mode 0700
	if err != nil {
		return err
	}
	defer func() {
		if rmErr := os.RemoveAll(dir); err == nil {
			err = rmErr
		}
	}()
	made := filepath.Join(dir, "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: made})
	if err != nil {
		return err
	}
	ln.SetUnlinkOnClose(false) // it is somewhere else then
	if err = os.Chmod(made, 0o600); err == nil {
		if l.file, err = os.Lstat(made); err == nil {
			err = os.Rename(made, path)
		}
	}
	if err != nil {
		ln.Close()
		return err
	}
	l.listener, l.path = ln, path
	return nil
}

// Addr returns where it listens, with the port that the system chose for port 0.
func (l *Listener) Addr() net.Addr {
	if l.path != "" {
		return &net.UnixAddr{Net: "unix", Name: l.path}
	}
	return l.listener.Addr()
}

// Accept takes the next QEMU that connects. When ctx ends, the error is what it
// ended with, and the listener is closed.
func (l *Listener) Accept(ctx context.Context) (*Client, error) {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	conn, err := l.listener.Accept()
	switch {
	case err == nil:
		return New(conn), nil
	case ctx.Err() != nil:
		err = contexts.Err(ctx)
	}
	return nil, fmt.Errorf("qtest: accept at %v: %w", l.Addr(), err)
}

// Close stops listening, and removes a unix socket. An Accept that waits fails.
// It may be called any number of times.
func (l *Listener) Close() error {
	l.close.Do(func() {
		l.closeErr = l.listener.Close()
		if l.path == "" {
			return
		}
		// Unless another has taken its place.
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.file) {
			if err := os.Remove(l.path); l.closeErr == nil {
				l.closeErr = err
			}
		}
	})
	return l.closeErr
}
