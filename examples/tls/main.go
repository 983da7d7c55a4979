// Tls drives a QEMU whose monitor speaks TLS, with a certificate on either side. It makes
// the certificates in a temporary folder. It uses qemu-system-x86_64 on the PATH, or the
// program that QMP_TEST_QEMU names. If there is no such program, or with -simulate, it
// uses a simulated machine.
//
//	go run ./examples/tls
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/qapi"
)

func main() {
	simulate := flag.Bool("simulate", false, "use a simulated machine even if QEMU is installed")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Stdout, *simulate); err != nil {
		fmt.Fprintln(os.Stderr, "tls:", err)
		cancel()
		os.Exit(1)
	}
}

// run makes the certificates, starts a machine and drives it. When run returns, nothing
// of the machine is left.
func run(ctx context.Context, out io.Writer, simulate bool) error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	server, err := ca.certificate(x509.ExtKeyUsageServerAuth)
	if err != nil {
		return err
	}
	client, err := ca.certificate(x509.ExtKeyUsageClientAuth)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "qmp-") // mode 0700: it has a private key
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := ca.write(dir, server); err != nil {
		return err
	}

	binary, err := find(simulate)
	if err != nil {
		return err
	}
	var addr string
	var stop func()
	if binary == "" {
		addr, stop, err = startSimulated(&tls.Config{
			Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(),
		})
	} else {
		addr, stop, err = startQEMU(ctx, binary, dir)
	}
	if err != nil {
		return err
	}
	defer stop()
	return drive(ctx, out, addr, &tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{client}, ServerName: "localhost"})
}

// drive connects to the monitor at addr, at first without a client certificate.
func drive(ctx context.Context, out io.Writer, addr string, config *tls.Config) error {
	bare := config.Clone()
	bare.Certificates = nil
	_, err := async.Dial(ctx, addr, &async.Options{Dialer: async.DialTLS(addr, bare)})
	if refused, ok := errors.AsType[*async.TLSError](err); ok {
		fmt.Fprintln(out, "Refused:", refused.Advice)
	} else {
		return fmt.Errorf("without a client certificate: %w", err)
	}

	c, err := async.Dial(ctx, addr, &async.Options{Dialer: async.DialTLS(addr, config)})
	if err != nil {
		return err
	}
	defer c.Close()
	status, err := qapi.QueryStatus(ctx, c)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "Running:", status.Running)
	return c.Quit(ctx)
}
