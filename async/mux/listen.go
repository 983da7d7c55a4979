package mux

import (
	"context"
	"errors"
	"fmt"
	"net"
	osuser "os/user"
	"strconv"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/socket"
)

// Listen makes a listener for [Mux.Serve] at addr, which is as in [async.ParseAddress]. ctx
// bounds this call only.
//
// Only the owner of a unix socket can connect to it, from the moment it is made. Listen
// replaces a stale socket, at which no program listens. It leaves any other file alone, and a
// socket at which a program listens: the error then matches syscall.EADDRINUSE and
// fs.ErrExist. Close removes the socket's file, unless another file has taken its place.
// [ListenGroup] lets a group connect.
//
// Everybody who reaches a TCP port can connect to it: QMP has no password. See
// [tls.NewListener] for one that asks for certificates.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	where, err := async.ParseAddress(addr)
	if err != nil {
		return nil, err
	}
	ln, err := socket.Listen(ctx, where.Network, where.Name)
	if err != nil {
		return nil, err
	}
	return listener{ln}, nil
}

// ListenGroup is [Listen] at a unix socket to which the members of a group can connect, too,
// from the moment it is made: its mode is 0660. group is a name or a number. This process has to
// be a member of the group, or have the right to give files to any. addr has to be a path. To
// reach the socket, the group needs the right to search its folder.
//
// The error also matches [errors.ErrUnsupported] on a system that has no such groups, such as
// Windows.
func ListenGroup(ctx context.Context, addr, group string) (net.Listener, error) {
	where, err := async.ParseAddress(addr)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(group)
	if err != nil || gid < 0 {
		g, err := osuser.LookupGroup(group)
		if err != nil {
			return nil, fmt.Errorf("mux: %w", err)
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return nil, fmt.Errorf("mux: group %s: %w: its id is %q", group, errors.ErrUnsupported, g.Gid)
		}
	}
	ln, err := socket.ListenGroup(ctx, where.Network, where.Name, gid)
	if err != nil {
		return nil, err
	}
	return listener{ln}, nil
}

// A listener is a socket.Listener as a net.Listener.
type listener struct{ *socket.Listener }

// Accept waits for the next user.
func (l listener) Accept() (net.Conn, error) {
	return l.Listener.Accept(context.Background())
}
