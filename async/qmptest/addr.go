package qmptest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/goqmp/qmp/internal/socket"
)

// The networks that a Server or a script can be reached over.
const (
	Unix   = "unix" // a unix socket in a new directory that only its owner can enter
	TCP    = "tcp"  // a port of 127.0.0.1
	TCP6   = "tcp6" // a port of [::1]
	Memory = "pipe" // a Pipe for each connection; there is no address
)

// listen opens a listener on network. cleanup removes the files that it made.
func listen(network string) (ln net.Listener, addr string, cleanup func(), err error) {
	if err := noSocketHere(); err != nil {
		return nil, "", nil, err
	}
	switch network {
	case Unix, "":
		dir, err := tempDir()
		if err != nil {
			return nil, "", nil, err
		}
		cleanup = func() { os.RemoveAll(dir) }
		path := filepath.Join(dir, "s")
		ln, err = net.Listen("unix", path)
		if err != nil {
			cleanup()
			return nil, "", nil, err
		}
		return ln, path, cleanup, nil
	case TCP:
		ln, err = net.Listen("tcp4", "127.0.0.1:0")
	case TCP6:
		ln, err = net.Listen("tcp6", "[::1]:0")
	default:
		return nil, "", nil, fmt.Errorf("qmptest: unknown network %q: want %q, %q, %q or %q", network, Unix, TCP, TCP6, Memory)
	}
	if err != nil {
		return nil, "", nil, err
	}
	return ln, ln.Addr().String(), func() {}, nil
}

// tempDir makes a directory of mode 0700. Its path is so short that the path of
// a socket in it is within the kernel's limit of about 100 bytes.
func tempDir() (string, error) {
	const longest = 80
	dir, err := os.MkdirTemp("", "qmp")
	if err != nil || len(dir) <= longest {
		return dir, err
	}
	os.Remove(dir)
	return os.MkdirTemp("/tmp", "qmp")
}

// dialAddr connects to addr over a unix socket or TCP. addr has the form that
// async.ParseAddress takes. The connection is a *net.UnixConn or a
// *net.TCPConn; callers may rely on that.
func dialAddr(ctx context.Context, addr string) (net.Conn, error) {
	if err := noSocketHere(); err != nil {
		return nil, err
	}
	network, name, err := socket.Parse(addr)
	if err != nil {
		return nil, fmt.Errorf("qmptest: address %q: %w", addr, err)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, name)
}

// socketPair returns two unix sockets that are connected to each other.
func socketPair() (client, server net.Conn, err error) {
	client, theirs, err := socket.Pair()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close() // the connection has a copy
	if server, err = net.FileConn(theirs); err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, server, nil
}
