package legacy

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// An Address is the result of [ParseAddress]: the path of a unix socket, or a host
// and a port.
type Address struct {
	Path string // the path of a unix socket; "" if the address is host and port
	Host string // may be empty
	Port int    // from 0 to 65535
	TCP  bool   // whether the address is host and port
}

// String returns the address in the form that [New] and [async.ParseAddress] take.
func (a Address) String() string {
	if a.TCP {
		return "tcp:" + net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
	}
	return "unix:" + a.Path
}

// A BadPortError says that the text after the only colon of an address is not a
// port number. In the old module it was QMPBadPortError.
type BadPortError struct {
	Port    string // the text after the colon
	Address string // the whole text
}

func (e *BadPortError) Error() string {
	return fmt.Sprintf("Bad port: '%s' in '%s'.", e.Port, e.Address) //nolint:staticcheck // the old module's words
}

// ParseAddress parses an address by the old module's rule. A text with exactly one
// colon is host:port; if the port is not a decimal number from 0 to 65535, the error
// is a [*BadPortError]. Any other text is the path of a unix socket. So "/tmp/vm:1"
// is a host and a port, and "[::1]:4444" is a path.
//
// [New] uses a better rule, that of [async.ParseAddress]. To give New an address by
// the old rule, pass the String of ParseAddress's result.
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
