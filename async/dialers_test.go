// Tests of the Dialers of this package, and of the errors of TLS.
package async_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/tlstest"
)

// tlsServer serves QMP over TLS at a loopback port, or at a unix socket if network is
// "unix". It returns the address.
func tlsServer(t *testing.T, network string, config *tls.Config) string {
	t.Helper()
	return serveEach(t, network, func(conn net.Conn) {
		secured := tls.Server(conn, config)
		if secured.Handshake() != nil {
			conn.Close()
			return
		}
		newTokenServer(secured, "oob").serve()
	})
}

// serveEach calls serve with each connection that is made to the address that it
// returns. serve closes the connection.
func serveEach(t *testing.T, network string, serve func(net.Conn)) string {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = socketPath(t)
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return ln.Addr().String()
}

// DialTLS compares the server's certificate with the host of a TCP address, and with
// ServerName where there is no host.
func TestDialTLSNames(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t)
	server := &tls.Config{Certificates: []tls.Certificate{ca.Certificate(t, nil)}}
	tcp := tlsServer(t, "tcp", server)
	_, port, _ := net.SplitHostPort(tcp)
	unix := tlsServer(t, "unix", server)
	plain := &tls.Config{RootCAs: ca.Pool()}
	named := &tls.Config{RootCAs: ca.Pool(), ServerName: tlstest.Host}
	for _, tt := range []struct {
		addr   string
		config *tls.Config
		dial   func(context.Context) (net.Conn, error)
	}{
		{addr: tcp, config: plain},
		{addr: "tcp:localhost:" + port, config: plain},
		{addr: ":" + port, config: plain},
		{addr: unix, config: named},
		{addr: unix, config: &tls.Config{InsecureSkipVerify: true}},
		{addr: "through a proxy", dial: async.OverTLS(async.DialAddr(unix), named)},
	} {
		if tt.dial == nil {
			tt.dial = async.DialTLS(tt.addr, tt.config)
		}
		c := newClient(t, &async.Options{Dialer: tt.dial})
		if err := c.Connect(t.Context(), tt.addr); err != nil {
			t.Errorf("%s: %v", tt.addr, err)
			continue
		}
		execute(t, c, "x", `"x"`)
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	}
	if plain.ServerName != "" || plain.GetClientCertificate != nil {
		t.Error("DialTLS has changed the caller's tls.Config")
	}

	conn, err := async.DialTLS(tcp, plain)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if state := conn.(interface{ ConnectionState() tls.ConnectionState }).ConnectionState(); !state.HandshakeComplete {
		t.Errorf("the state of the connection: %+v", state)
	}
}

// What is wrong with the certificates, and what the error says. It is final: a policy
// that would dial again for ever makes no difference.
func TestDialTLSErrors(t *testing.T) {
	t.Parallel()
	ca, other := tlstest.New(t), tlstest.New(t)
	good := ca.Certificate(t, nil)
	expired := ca.Certificate(t, func(c *x509.Certificate) { c.NotAfter = c.NotBefore.AddDate(1, 0, 0) })
	future := ca.Certificate(t, func(c *x509.Certificate) { c.NotBefore = c.NotAfter.AddDate(-1, 0, 0) })
	forClients := ca.Certificate(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	of := func(cert tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{cert}} }
	verifies := of(good)
	verifies.ClientAuth, verifies.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool()
	old := verifies.Clone()
	old.MaxVersion = tls.VersionTLS12
	asks := of(good)
	asks.ClientAuth = tls.RequestClientCert
	trusting := &tls.Config{RootCAs: ca.Pool()}
	with := func(certs ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: ca.Pool(), Certificates: certs}
	}
	hangUp := func(conn net.Conn) { // as QEMU does that refuses the client
		secured := tls.Server(conn, asks)
		secured.Handshake()
		conn.Close()
	}
	plain := qmptest.Start(t, &qmptest.Options{Network: qmptest.TCP, ManyClients: true}).Addr()
	// A file with the client's certificate is missing. That is not a missing socket.
	missing := &tls.Config{RootCAs: ca.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return nil, &fs.PathError{Op: "open", Path: "client-cert.pem", Err: syscall.ENOENT}
	}}
	const final = true
	for name, tt := range map[string]struct {
		addr    string
		config  *tls.Config
		final   bool
		targets []error
		text    []string
	}{
		"unknown CA": {
			tlsServer(t, "tcp", of(good)), &tls.Config{RootCAs: other.Pool()}, final, nil,
			[]string{"TLS: failed to verify certificate", "unknown authority", "set RootCAs", "ca-cert.pem"},
		},
		"no RootCAs": {tlsServer(t, "tcp", of(good)), nil, final, nil, []string{"failed to verify", "set RootCAs"}},
		"another name": {
			tlsServer(t, "tcp", of(good)), &tls.Config{RootCAs: ca.Pool(), ServerName: "vm7.example"}, final, nil,
			[]string{"vm7.example", "set ServerName", "a name in the server's certificate"},
		},
		"expired":       {tlsServer(t, "tcp", of(expired)), trusting, final, nil, []string{"expired", "make a new certificate"}},
		"not yet valid": {tlsServer(t, "tcp", of(future)), trusting, final, nil, []string{"not yet valid", "clock"}},
		"of a client":   {tlsServer(t, "tcp", of(forClients)), trusting, final, nil, []string{"incompatible key usage"}},
		"no TLS":        {plain, trusting, final, nil, []string{"does not look like a TLS handshake", "does not speak TLS", "tls-creds="}},
		"no client certificate, TLS 1.3": {
			tlsServer(t, "tcp", verifies), trusting, final, nil,
			[]string{"certificate required", "set Certificates"},
		},
		"no client certificate, TLS 1.2": {tlsServer(t, "tcp", old), trusting, final, nil, []string{"set Certificates"}},
		"no client certificate, QEMU":    {serveEach(t, "tcp", hangUp), trusting, final, []error{io.EOF}, []string{"set Certificates"}},
		"no suitable certificate": {
			tlsServer(t, "tcp", verifies), with(other.Certificate(t, nil)), final, nil,
			[]string{"none of Certificates", "suits"},
		},
		"refused, QEMU":    {serveEach(t, "tcp", hangUp), with(good), !final, []error{io.EOF}, []string{"may have refused", "tls-authz"}},
		"expired client":   {tlsServer(t, "tcp", verifies), with(expired), final, nil, []string{"may have refused", "expired"}},
		"missing file":     {tlsServer(t, "tcp", verifies), missing, final, []error{fs.ErrNotExist}, []string{"client-cert.pem"}},
		"no name":          {socketPath(t), trusting, final, nil, []string{"set ServerName", "no host name"}},
		"other parameters": {tlsServer(t, "tcp", old), &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS13}, final, nil, []string{"protocol version"}},
		"nothing in common": {serveEach(t, "tcp", func(conn net.Conn) {
			conn.Read(make([]byte, 1<<16))
			conn.Close()
		}), trusting, !final, []error{io.EOF}, []string{"tls-creds-psk", "use tls-creds-x509"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, &async.Options{
				Dialer:  async.DialTLS(tt.addr, tt.config),
				Backoff: async.Every(time.Millisecond),
			})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := c.Connect(ctx, tt.addr)
			e := wantAs[*async.TLSError](t, "Connect", err)
			if e.Permanent() != tt.final {
				t.Errorf("Permanent: got %v, want %v (%v)", e.Permanent(), tt.final, err)
			}
			if isPermanent := errors.As(err, new(*backoff.PermanentError)); isPermanent != tt.final {
				t.Errorf("a backoff.PermanentError in it: %v, want %v", isPermanent, tt.final)
			}
			wantText(t, "Connect", err, tt.text...)
			wantIs(t, "Connect", err, tt.targets...)
			if e := wantAs[*async.ConnectError](t, "Connect", err); e.Attempts != 1 {
				t.Errorf("dialed %d times, want once", e.Attempts)
			}
			wantState(t, c, async.Idle)
		})
	}
}

// Errors that have nothing to do with TLS are those of a dial without it. E14 holds:
// Connect waits for the socket.
func TestDialTLSWithoutAServer(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t)
	config := &tls.Config{RootCAs: ca.Pool(), ServerName: tlstest.Host}
	wantAs[*async.AddressError](t, "Connect", async.New(&async.Options{Dialer: async.DialTLS("http://x", config)}).Connect(t.Context(), ""))
	path := socketPath(t)
	wantIs(t, "Connect", async.New(&async.Options{Dialer: async.DialTLS(path, config)}).Connect(t.Context(), path), fs.ErrNotExist)

	dials := 0
	var addr string
	c := newClient(t, &async.Options{Backoff: async.Every(time.Millisecond), Dialer: func(ctx context.Context) (net.Conn, error) {
		if dials++; dials == 3 {
			addr = tlsServer(t, "unix", &tls.Config{Certificates: []tls.Certificate{ca.Certificate(t, nil)}})
		}
		if addr == "" {
			return async.DialTLS(path, config)(ctx)
		}
		return async.DialTLS(addr, config)(ctx)
	}})
	connect(t, c)
	execute(t, c, "x", `"x"`)
	c.Close()
	if conn, err := async.OverTLS(func(context.Context) (net.Conn, error) { return nil, nil }, config)(t.Context()); conn != nil || err != nil {
		t.Errorf("over no connection: got %v, %v", conn, err)
	}
}

// The context bounds the TLS handshake, and Disconnect ends it.
// Holds E11, E12.
func TestDialTLSIsCanceled(t *testing.T) {
	t.Parallel()
	silent := serveEach(t, "tcp", func(conn net.Conn) {
		io.Copy(io.Discard, conn)
		conn.Close()
	})
	c := newClient(t, &async.Options{Dialer: async.DialTLS(silent, nil)})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := c.Connect(ctx, silent)
	wantIs(t, "Connect", err, context.DeadlineExceeded)
	if isA[*async.TLSError](err) {
		t.Errorf("Connect: got %v, want an error about the context only", err)
	}
	w := c.WatchRunstate()
	defer w.Close()
	connecting := do(func() error { return c.Connect(t.Context(), silent) })
	awaitState(t, w, async.Connecting)
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	wantIs(t, "Connect", <-connecting, async.ErrClosed)
}

// DialFD takes an inherited socket.
func TestDialFD(t *testing.T) {
	t.Parallel()
	err := async.New(&async.Options{Dialer: async.DialFD(1 << 20)}).Connect(t.Context(), "")
	wantIs(t, "Connect", err, syscall.EBADF)
}

// Accept with AcceptTLS is the TLS server.
func TestAcceptTLS(t *testing.T) {
	t.Parallel()
	ca, other := tlstest.New(t), tlstest.New(t)
	verifies := &tls.Config{Certificates: []tls.Certificate{ca.Certificate(t, nil)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()}
	peer := func(certs ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: ca.Pool(), ServerName: tlstest.Host, Certificates: certs}
	}
	accept := func(serve func(net.Conn)) (*async.Client, error) {
		c := newClient(t, &async.Options{AcceptTLS: verifies})
		if err := c.Listen(t.Context(), "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		addr := c.ListenAddr().String()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if conn, err := net.Dial("tcp", addr); err == nil {
				serve(conn)
				conn.Close()
			}
		}()
		t.Cleanup(func() {
			c.Close()
			<-done
		})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return c, c.Accept(ctx)
	}
	c, err := accept(func(conn net.Conn) {
		newTokenServer(tls.Client(conn, peer(ca.Certificate(t, nil))), "").serve()
	})
	wantNil(t, "Accept", err)
	execute(t, c, "x", `"x"`)
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))

	for name, tt := range map[string]struct {
		serve func(net.Conn)
		text  []string
	}{
		"no certificate": {func(conn net.Conn) { io.Copy(io.Discard, tls.Client(conn, peer())) }, []string{"client didn't provide a certificate"}},
		"of another CA":  {func(conn net.Conn) { io.Copy(io.Discard, tls.Client(conn, peerOf(ca, other.Certificate(t, nil)))) }, []string{"unknown authority", "set ClientCAs"}},
		"no TLS":         {func(conn net.Conn) { io.WriteString(conn, `{"QMP":`); io.Copy(io.Discard, conn) }, []string{"does not speak TLS"}},
		"it refuses our certificate": {func(conn net.Conn) {
			tls.Client(conn, &tls.Config{RootCAs: other.Pool(), ServerName: tlstest.Host}).Handshake()
		}, []string{"may have refused", "host="}},
		"it hangs up": {func(conn net.Conn) {
			tls.Client(conn, peer(ca.Certificate(t, nil))).Handshake()
		}, []string{"may have refused", "host="}},
		"it hangs up at once": {func(net.Conn) {}, []string{"may have refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := accept(tt.serve)
			wantAs[*async.TLSError](t, "Accept", err)
			wantText(t, "Accept", err, tt.text...)
			wantState(t, c, async.Idle)
		})
	}
}

// peerOf returns the configuration of a peer that shows cert, whatever CA the other
// side asks for.
func peerOf(ca *tlstest.CA, cert tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: ca.Pool(), ServerName: tlstest.Host, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &cert, nil
	}}
}

// Over TLS no goroutine is started for a command, while the server reads.
func TestE2NoGoroutinePerCommandOverTLS(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t)
	server := &tls.Config{Certificates: []tls.Certificate{ca.Certificate(t, nil)}}
	for _, network := range []string{"tcp", "unix"} {
		addr := tlsServer(t, network, server)
		c := newClient(t, &async.Options{Dialer: async.DialTLS(addr, &tls.Config{RootCAs: ca.Pool(), ServerName: tlstest.Host})})
		connect(t, c)
		goroutines := async.CountGoroutines(c)
		for i := range 100 {
			execute(t, c, fmt.Sprint("x", i), fmt.Sprintf(`"x%d"`, i))
		}
		large := strings.Repeat("x", 10_000)
		execute(t, c, large, `"`+large+`"`)
		if n := goroutines(); n != 0 {
			t.Errorf("%s: %d goroutines were started for 101 commands", network, n)
		}
	}
}

// A client that connects again gives up when a certificate is not accepted: the next
// attempts would fail, too.
// Holds E14.
func TestReconnectGivesUpForACertificate(t *testing.T) {
	t.Parallel()
	ca, other := tlstest.New(t), tlstest.New(t)
	good := tlsServer(t, "tcp", &tls.Config{Certificates: []tls.Certificate{ca.Certificate(t, nil)}})
	bad := tlsServer(t, "tcp", &tls.Config{Certificates: []tls.Certificate{other.Certificate(t, nil)}})
	config := &tls.Config{RootCAs: ca.Pool()}
	var conn net.Conn
	c := newClient(t, &async.Options{Backoff: async.Every(time.Millisecond), Reconnect: &async.Reconnect{}, Dialer: func(ctx context.Context) (net.Conn, error) {
		if conn != nil {
			return async.DialTLS(bad, config)(ctx)
		}
		var err error
		conn, err = async.DialTLS(good, config)(ctx)
		return conn, err
	}})
	connect(t, c)
	conn.Close()
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Fatal("the client has not given up")
	}
	wantAs[*async.TLSError](t, "Err", c.Err())
	wantAs[*async.GaveUpError](t, "Err", c.Err())
	wantText(t, "Err", c.Err(), "unknown authority", "set RootCAs")
}
