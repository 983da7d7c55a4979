package async

import (
	"context"
	"fmt"
	"net"

	"github.com/goqmp/qmp/internal/socket"
)

// An Address is where a server is, or where this side listens for one.
type Address struct {
	Network string // "unix", "tcp", "vsock" or "fd"
	Name    string // path or @name, host:port, cid:port, descriptor number
}

// String returns the address with its scheme, as [ParseAddress] takes it.
func (a Address) String() string { return a.Network + ":" + a.Name }

// An AddressError says that a text is not an address, and what may have been
// meant.
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
//	unix:PATH  unix:@name            the same, said explicitly
//	localhost:4444  [::1]:4444       TCP; an empty host is this one, and for Listen all of its interfaces
//	tcp:localhost:4444               the same
//	fd:3                             an open socket, inherited; Listen takes one that listens
//	vsock:3:4444                     context id and port (Linux); Connect only
//
// What contains a slash or begins with a dot is a path, whatever else is in it,
// unless it begins with one of the schemes. A text that looks like something else
// is refused, and the error says how to write what was meant: a host without a
// port, a number, a URL, a named pipe of Windows, options of QEMU's command line,
// white space around it, the path of a folder. ./PATH and unix:PATH are always
// paths. The error is an [*AddressError].
//
// A descriptor named by fd: is the library's when Connect or Listen has
// succeeded: it is closed with the connection or the listener, and its number may
// become another file's. Do not close it, and do not use the address again: at
// best the second use fails with EBADF, at worst it takes another socket that has
// got the number. If Connect or Listen fails before there was a connection or a
// listener, the descriptor stays the caller's, open and unchanged; if the
// handshake fails, it has been closed. The number of an [os.File] or of a
// connection of package net belongs to these; hand the connection to Attach
// instead.
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
