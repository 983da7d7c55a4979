package legacy

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// An Address is what [ParseAddress] found: the path of a unix socket, or host
// and port.
type Address struct {
	Path string // of a unix socket; "" if the address is host and port
	Host string // may be empty
	Port int    // from 0 to 65535
	TCP  bool   // the address is host and port
}

// String returns the address as [New] takes it.
func (a Address) String() string {
	if a.TCP {
		return "tcp:" + net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
	}
	return "unix:" + a.Path
}

// A BadPortError says that what follows the one colon of an address is no port:
// the old module's QMPBadPortError.
type BadPortError struct {
	Port    string // what stands where the port should
	Address string // the whole text
}

func (e *BadPortError) Error() string {
	return fmt.Sprintf("Bad port: '%s' in '%s'.", e.Port, e.Address) //nolint:staticcheck // the old module's words
}

// ParseAddress parses an address by the old module's rule: a text with exactly
// one colon is host:port, and the error is a [*BadPortError] if the port is no
// decimal number from 0 to 65535; any other text is the path of a unix socket,
// IPv6 forms included. So is "/tmp/vm:1" host and port, and "[::1]:4444" a path.
// [New] has a better rule (see [async.ParseAddress]) and takes the result's
// String where the old one is wanted.
func ParseAddress(text string) (Address, error) {
	host, port, _ := strings.Cut(text, ":")
	if strings.Count(text, ":") != 1 {
		return Address{Path: text}, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, &BadPortError{Port: port, Address: text}
	}
	return Address{Host: host, Port: int(n), TCP: true}, nil
}
