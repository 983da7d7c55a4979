package async

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// Listen listens for one peer at addr; [Client.Accept] takes it. The client is
// Connecting meanwhile. It must be idle before, and is idle again if the error
// is a [*ConnectError].
//
// A unix socket is made so that only its owner can connect, without a moment in
// between. A stale socket is replaced; any other file, and a socket at which
// somebody listens, is an error.
func (c *Client) Listen(ctx context.Context, addr string) error {
	a, err := ParseAddress(addr)
	if err != nil {
		return err
	}
	e := &ConnectError{Op: "listen", Address: addr, Stage: StageConnection, Client: c.name()}
	if ctx.Err() != nil {
		e.Err = contextError(ctx)
		return e
	}
	c.mu.Lock()
	if c.state != Idle {
		defer c.mu.Unlock()
		return c.stateError("listen", Idle)
	}
	ctx, at := c.begin(ctx)
	c.setState(Connecting, false)
	c.mu.Unlock()

	ln, err := a.listen(ctx) // not with mu held: to look a host's name up takes its time
	if err == nil {
		ln.label = addr
		err = c.adoptListener(ln, at)
	}
	if err != nil {
		e.Err = err
		return c.failed(at, e)
	}
	return nil
}

// adoptListener makes ln the client's, unless the attempt has been called off.
func (c *Client) adoptListener(ln *listenSocket, a *attempt) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.calledOff {
		return collect(ErrClosed, ln.Close())
	}
	c.listener = ln
	c.endAttempt(a)
	return nil
}

// Accept takes the peer that connects to where [Client.Listen] listens, stops
// listening, waits for the greeting and negotiates, all bounded by ctx. Without
// a listening client the error is a [*StateError]. Any other failure is a
// [*ConnectError], and the client is idle and no longer listens, except that a
// ctx which has already ended changes nothing.
func (c *Client) Accept(ctx context.Context) error {
	e := &ConnectError{Op: "accept", Stage: StageConnection, Client: c.name()}
	c.mu.Lock()
	ln := c.listener
	if ln == nil || c.attempt != nil {
		defer c.mu.Unlock()
		return c.stateError("accept", Connecting)
	}
	e.Address = ln.label
	if ctx.Err() != nil {
		defer c.mu.Unlock()
		e.Err = contextError(ctx)
		return e
	}
	ctx, a := c.begin(ctx)
	c.mu.Unlock()

	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		ln.Close()
	})
	conn, err := ln.Accept()
	if !stop() {
		<-closed
	}
	c.mu.Lock()
	stopErr := c.stopListening()
	c.mu.Unlock()
	if err == nil {
		err = stopErr
	}
	if ctx.Err() != nil {
		err = contextError(ctx)
	}
	if err != nil {
		if conn != nil {
			conn.Close()
		}
		e.Err = err
		return c.failed(a, e)
	}
	return c.establish(ctx, a, conn, e, false)
}

// stopListening closes and removes the listening socket. mu is held.
func (c *Client) stopListening() error {
	ln := c.listener
	c.listener = nil
	return ln.Close()
}

// listenSocket is a listening socket, and the file that belongs to it.
type listenSocket struct {
	net.Listener
	label string      // the address as the caller gave it
	path  string      // of a unix socket; "" otherwise
	file  fs.FileInfo // what stands at path
	once  sync.Once   // Close
}

// Addr returns where the socket listens; of a unix socket the name it was moved
// to.
func (l *listenSocket) Addr() net.Addr {
	if l.path != "" {
		return &net.UnixAddr{Net: "unix", Name: l.path}
	}
	return l.Listener.Addr()
}

// Close closes the socket and removes its file, unless another has taken its
// place. It may be called again, and then waits for the first call.
func (l *listenSocket) Close() (err error) {
	l.once.Do(func() {
		// The file goes first: while somebody listens, nobody replaces it.
		if now, statErr := os.Lstat(l.path); l.path != "" && statErr == nil && os.SameFile(now, l.file) {
			err = os.Remove(l.path)
		}
		err = collect(l.Listener.Close(), err)
	})
	return err
}

func (a Address) listen(ctx context.Context) (*listenSocket, error) {
	switch {
	case a.Network == "vsock":
		return nil, errors.New("listening on vsock is not supported; connect, or hand an accepted connection to Attach")
	case a.Network == "fd":
		ln, err := inherit(a, net.FileListener)
		if err != nil {
			return nil, fmt.Errorf("%v is not a listening socket: %w", a, err)
		}
		if u, ok := ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // whoever made it removes it
		}
		return &listenSocket{Listener: ln}, nil
	case a.Network == "unix" && a.Name[0] != '@':
		return listenUnix(ctx, a.Name)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, a.Network, a.Name)
	if err != nil {
		return nil, err
	}
	return &listenSocket{Listener: ln}, nil
}

// listenUnix binds in a fresh directory that only the owner can enter, takes
// everybody else's rights off the socket there, and then moves it into place.
func listenUnix(ctx context.Context, path string) (l *listenSocket, err error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	unlock, err := removeStale(ctx, path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	dir, err := os.MkdirTemp(filepath.Dir(path), ".q") // mode 0700
	if err != nil {
		return nil, err
	}
	defer func() {
		removeErr := os.RemoveAll(dir)
		if removeErr != nil && l != nil {
			removeErr = collect(removeErr, l.Close())
			l = nil
		}
		err = collect(err, removeErr)
	}()
	ln, err := bindIn(dir, "s")
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	made := filepath.Join(dir, "s")
	var file fs.FileInfo
	if err = os.Chmod(made, 0o600); err == nil {
		if file, err = os.Lstat(made); err == nil {
			err = moveNew(made, path)
		}
	}
	if err != nil {
		ln.Close()
		return nil, err
	}
	return &listenSocket{Listener: ln, path: path, file: file}, nil
}

// removeStale makes room at path: a socket at which nobody listens goes, and
// anything else that stands there is an error. Until unlock is called no other
// Listen removes anything in that folder: it might be the socket that is to take
// the stale one's place.
func removeStale(ctx context.Context, path string) (unlock func(), err error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	unlock, err = lockDir(ctx, filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	stale, err := checkStale(path)
	if err == nil && stale != nil {
		err = removeFile(path, stale)
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// checkStale returns the stale socket at path, nil if there is nothing, or why
// what stands there cannot be removed.
func checkStale(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%w: the file there is no socket, and is left alone", inUse(path))
	}
	err = probe(path)
	if err == nil {
		return nil, fmt.Errorf("%w: somebody listens there", inUse(path))
	}
	if !isRefused(err) && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", inUse(path), err)
	}
	return info, nil
}

// inUse is the system's own error for a path where something stands.
func inUse(path string) error {
	return &net.OpError{Op: "listen", Net: "unix", Addr: &net.UnixAddr{Net: "unix", Name: path}, Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
}

// removeFile removes the file that was seen at path, and no other one: it is
// moved aside first, so that what has come into its place since goes back.
func removeFile(path string, seen fs.FileInfo) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".q")
	if err != nil {
		return err
	}
	defer func() { err = collect(err, os.Remove(dir)) }()
	aside := filepath.Join(dir, "s")
	if err := os.Rename(path, aside); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // somebody else was quicker
		}
		return err
	}
	now, err := os.Lstat(aside)
	if err != nil {
		return err
	}
	// A new file may get the number of one that has just gone.
	if os.SameFile(now, seen) && now.Mode() == seen.Mode() && now.ModTime().Equal(seen.ModTime()) {
		return os.Remove(aside)
	}
	if err := moveNew(aside, path); err != nil {
		return fmt.Errorf("%w: what was there has been moved to %s: %w", inUse(path), aside, err)
	}
	return fmt.Errorf("%w: the file there has only just come, and is left alone", inUse(path))
}
