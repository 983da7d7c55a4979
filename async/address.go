package async

import (
	"context"
	"fmt"
	"net"

	"github.com/goqmp/qmp/internal/socket"
)

// An Address says where a server listens, or where this side listens for one.
type Address struct {
	Network string // "unix", "tcp", "vsock" or "fd"
	Name    string // path or @name, host:port, cid:port, descriptor number
}

// String returns the address with its scheme, as [ParseAddress] takes it.
func (a Address) String() string { return a.Network + ":" + a.Name }

// An AddressError says that a text is not an address, and what to write instead.
type AddressError struct {
	Address string // as it was given
	Problem string // what is wrong with it, and what to write instead
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("qmp: address %q: %s; expected a path (what contains / or begins with a dot, or a name without a colon), "+
		"@name, unix:PATH, host:port, [v6]:port, tcp:host:port, fd:NUMBER or vsock:CID:PORT", e.Address, e.Problem)
}

// ParseAddress parses the text that Connect and Listen take:
//
//	/run/vm.qmp  ./vm.qmp  vm.qmp    the path of a unix socket
//	@name                            a unix socket in the abstract namespace (Linux)
//	unix:PATH  unix:@name            the same two, whatever the text looks like
//	localhost:4444  [::1]:4444       TCP; an empty host is this host, and for Listen all of its interfaces
//	tcp:localhost:4444               the same
//	fd:3                             an inherited socket: connected for Connect, listening for Listen
//	vsock:3:4444                     context id and port (Linux); Connect only
//
// A text that contains a slash or begins with a dot is a path, unless it begins with
// one of the schemes. ./PATH and unix:PATH are always paths.
//
// The error is an [*AddressError], which says what to write instead. ParseAddress
// refuses what looks like something else: a host without a port, a number, a URL, a
// named pipe of Windows, options of QEMU's command line, white space around the
// address, the path of a folder.
//
// The descriptor of fd: belongs to the library when Connect or Listen has succeeded.
// It is closed with the connection or the listening socket, and the system may then
// give its number to another file. So do not close it, and do not use the address
// again: that fails with EBADF, or takes another socket that has the same number. If
// Connect or Listen fails to make a connection or to listen, the descriptor still
// belongs to the caller, open and unchanged. If the handshake fails, it is closed. Do
// not use the number of an [os.File] or of a connection of package net: those own
// their descriptors. Give the connection to [Client.Attach] instead.
func ParseAddress(text string) (Address, error) {
	network, name, err := socket.Parse(text)
	if err != nil {
		return Address{}, &AddressError{Address: text, Problem: err.Error()}
	}
	return Address{Network: network, Name: name}, nil
}

// dial makes one attempt to connect.
func (a Address) dial(ctx context.Context) (net.Conn, error) {
	return socket.Dial(ctx, a.Network, a.Name)
}
