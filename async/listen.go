package async

import (
	"context"

	"github.com/goqmp/qmp/internal/socket"
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

	ln, err := socket.Listen(ctx, a.Network, a.Name) // not with mu held: to look a host's name up takes its time
	if err == nil {
		err = c.adoptListener(&listenSocket{ln, addr}, at)
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

	conn, err := ln.Accept(ctx)
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

// listenSocket is a listening socket, and its address as the caller gave it.
type listenSocket struct {
	*socket.Listener
	label string
}
