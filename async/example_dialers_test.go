package async_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// tunnel stands for a connection to another host that can open connections there, such as
// an *ssh.Client of golang.org/x/crypto/ssh, whose DialContext has the same parameters:
//
//	Dialer: func(ctx context.Context) (net.Conn, error) {
//		return host.DialContext(ctx, "unix", "/run/vm1.qmp")
//	}
type tunnel struct{}

func (tunnel) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	far, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	near, end := net.Pipe()
	go func() {
		io.Copy(end, far)
		end.Close()
	}()
	go func() {
		io.Copy(far, end)
		far.Close()
	}()
	return near, nil
}

// A monitor that only another host can reach, over SSH or through a proxy. Any net.Conn
// is a connection; descriptors can be sent only over a unix socket of this host.
func Example_tunnel() {
	server, err := qmptest.NewServer(nil) // in place of a QEMU of the other host
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	var host tunnel
	c, err := async.Dial(context.Background(), "vm1 on host7", &async.Options{
		Dialer: func(ctx context.Context) (net.Conn, error) {
			return host.DialContext(ctx, "unix", server.Addr())
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	status, err := async.Call[struct{ Running bool }](context.Background(), c, "query-status", nil)
	fmt.Println(status.Running, err)
	fmt.Println(c.CanSendFiles())
	// Output:
	// true <nil>
	// false
}

// A monitor that speaks TLS. The program in examples/tls makes all that it needs.
func ExampleDialTLS() {
	addr := "host7.example:4444"
	config := &tls.Config{} // RootCAs, and Certificates if QEMU has verify-peer=on
	c, err := async.Dial(context.Background(), addr, &async.Options{Dialer: async.DialTLS(addr, config)})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
}
