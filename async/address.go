package async

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/goqmp/qmp/internal/socket"
)

// An Address is where a server is, or where this side listens for one.
type Address struct {
	Network string // "unix", "tcp", "vsock" or "fd"
	Name    string // path or @name, host:port, cid:port, descriptor number
}

// String returns the address with its scheme, as [ParseAddress] takes it.
func (a Address) String() string { return a.Network + ":" + a.Name }

// An AddressError says that a text is no address.
type AddressError struct {
	Address string
	Problem string
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
//	localhost:4444  [::1]:4444       TCP; the host may be empty
//	tcp:localhost:4444               the same
//	fd:3                             an open socket, inherited; Listen takes a listening one
//	vsock:3:4444                     context id and port (Linux); Connect only
//
// What contains a slash or begins with a dot is a path, whatever else is in it,
// unless it begins with one of the schemes. The error is an [*AddressError].
func ParseAddress(text string) (Address, error) {
	fail := func(format string, args ...any) (Address, error) {
		return Address{}, &AddressError{Address: text, Problem: fmt.Sprintf(format, args...)}
	}
	scheme, rest, hasColon := strings.Cut(text, ":")
	switch {
	case text == "":
		return fail("it is empty")
	case scheme == "unix" && hasColon:
		if rest == "" {
			return fail("no path behind unix:")
		}
		return unixAddress(text, rest)
	case scheme == "tcp" && hasColon:
		return tcpAddress(text, rest)
	case scheme == "fd" && hasColon:
		if n, err := strconv.ParseUint(rest, 10, 31); err != nil {
			return fail("%q is not the number of a file descriptor", rest)
		} else {
			return Address{"fd", strconv.FormatUint(n, 10)}, nil
		}
	case scheme == "vsock" && hasColon:
		if _, _, err := socket.SplitVsock(rest); err != nil {
			return fail("%v", err)
		}
		return Address{"vsock", rest}, nil
	case strings.ContainsRune(text, '/'), text[0] == '.', text[0] == '@', !hasColon:
		return unixAddress(text, text)
	}
	return tcpAddress(text, text)
}

func unixAddress(text, path string) (Address, error) {
	if strings.ContainsRune(path, 0) {
		return Address{}, &AddressError{Address: text, Problem: "it contains a zero byte"}
	}
	if path == "@" {
		return Address{}, &AddressError{Address: text, Problem: "no name behind @"}
	}
	return Address{"unix", path}, nil
}

func tcpAddress(text, hostPort string) (Address, error) {
	_, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		problem := err.Error()
		if ae, ok := err.(*net.AddrError); ok { //nolint:errorlint // returned bare
			problem = ae.Err
		}
		return Address{}, &AddressError{Address: text, Problem: problem}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return Address{}, &AddressError{Address: text, Problem: fmt.Sprintf("port %q is not a number from 0 to 65535", port)}
	}
	return Address{"tcp", hostPort}, nil
}

// dial makes one attempt to connect.
func (a Address) dial(ctx context.Context) (net.Conn, error) {
	return socket.Dial(ctx, a.Network, a.Name)
}
