//go:build unix

// Tests of DialTLS and of AcceptTLS with a real QEMU.
package async_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/internal/testing/tlstest"
)

// tlsMonitor starts an empty machine whose monitor speaks TLS at a loopback port, and
// returns its address. options are further options of tls-creds-x509.
func tlsMonitor(t *testing.T, ca *tlstest.CA, options string) (addr string) {
	t.Helper()
	qemutest.Find(t, qemutest.QEMU)
	dir := ca.Folder(t, "server", ca.Certificate(t, nil))
	args := append([]string{
		"-object", "tls-creds-x509,id=tls0,endpoint=server,dir=" + dir + options,
		"-chardev", "socket,id=mon,host=127.0.0.1,port=0,server=on,wait=off,tls-creds=tls0",
	}, qemutest.OnChardev(t, "mon")...)
	_, c := startReal(t, nil, args...)
	for _, dev := range callReal[[]struct{ Label, Filename string }](t, c, "query-chardev", nil) {
		if dev.Label == "mon" { // "disconnected:tcp:127.0.0.1:PORT,server=on"
			_, name, _ := strings.Cut(dev.Filename, "tcp:")
			name, _, _ = strings.Cut(name, ",")
			return name
		}
	}
	t.Fatal("query-chardev does not list the chardev")
	return ""
}

// QEMU with a certificate for each side: commands of many sizes, events, out-of-band
// commands, and quit. QEMU 5.2 and 7.2 stop in the middle of a TLS record, unless
// another record follows it.
func TestDialTLS_QEMU(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t)
	addr := tlsMonitor(t, ca, ",verify-peer=on")
	client := &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{ca.Certificate(t, nil)}}

	t.Run("no certificate", func(t *testing.T) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			bare := &tls.Config{RootCAs: ca.Pool(), MaxVersion: version}
			err := async.New(&async.Options{Dialer: async.DialTLS(addr, bare)}).Connect(qemutest.Context(t), addr)
			wantIs(t, "Connect", err, io.EOF)
			wantText(t, "Connect", err, "asks for a client certificate")
			if e := wantAs[*async.TLSError](t, "Connect", err); !e.Permanent() {
				t.Errorf("%v: not permanent", err)
			}
		}
	})
	t.Run("of another CA", func(t *testing.T) {
		other := &tls.Config{RootCAs: ca.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert := tlstest.New(t).Certificate(t, nil)
			return &cert, nil
		}}
		err := async.New(&async.Options{Dialer: async.DialTLS(addr, other)}).Connect(qemutest.Context(t), addr)
		wantAs[*async.TLSError](t, "Connect", err)
		wantText(t, "Connect", err, "may have refused this side's certificate")
	})
	t.Run("both", func(t *testing.T) {
		for _, sizes := range [][]int{{0, 1, 100, 1300, 1400, 16<<10 + 1}, {0}} { // QEMU takes the next client, too
			c := dialReal(t, addr, &async.Options{Dialer: async.DialTLS(addr, client)})
			if !slices.Contains(c.Greeting().Capabilities, "oob") {
				t.Fatalf("%s does not offer oob", c.Greeting().Raw())
			}
			for _, size := range sizes {
				want := `"` + strings.Repeat("x", size) + `"`
				id := strings.Trim(want, `"`)
				reply, err := c.Do(qemutest.Context(t), async.Command{Name: "query-name", ID: id})
				if err != nil || id != "" && !bytes.Contains(reply.Raw(), []byte(want)) {
					t.Fatalf("an id of %d bytes: %v, %.100s", size, err, reply.Raw())
				}
			}
			wantOOB(t, c, "over TLS")
			l := c.NewListener(nil)
			mustReal(t, c, "stop", nil)
			mustReal(t, c, "cont", nil)
			wantNames(t, "the listener", drained(t, l), "STOP RESUME")
			wantNil(t, "Disconnect", c.Disconnect(qemutest.Context(t)))
		}
		c := dialReal(t, addr, &async.Options{Dialer: async.DialTLS(addr, client)})
		wantNil(t, "Quit", c.Quit(qemutest.Context(t)))
	})
}

// QEMU connects to us, and is the TLS client. It compares the names in our certificate
// with host= of its chardev.
func TestAcceptTLS_QEMU(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t)
	dir := ca.Folder(t, "client", ca.Certificate(t, nil))
	dial := func(config *tls.Config) (*async.Client, error) {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool()
		c := newClient(t, &async.Options{AcceptTLS: config})
		if err := c.Listen(qemutest.Context(t), "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		_, port, _ := strings.Cut(c.ListenAddr().String(), ":")
		qemutest.Machine(t, append([]string{
			"-object", "tls-creds-x509,id=tls0,endpoint=client,dir=" + dir,
			"-chardev", "socket,id=mon,host=127.0.0.1,port=" + port + ",server=off,tls-creds=tls0",
		}, qemutest.OnChardev(t, "mon")...)...)
		return c, c.Accept(qemutest.Context(t))
	}
	c, err := dial(&tls.Config{Certificates: []tls.Certificate{ca.Certificate(t, nil)}})
	if err != nil {
		t.Fatal(err)
	}
	wantAlive(t, c)
	wantOOB(t, c, "over TLS")
	wantNil(t, "Quit", c.Quit(qemutest.Context(t)))

	wrong := ca.Certificate(t, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"vm7.example"}, nil })
	_, err = dial(&tls.Config{Certificates: []tls.Certificate{wrong}})
	wantAs[*async.TLSError](t, "Accept", err)
	wantText(t, "Accept", err, "host= of the chardev")
}
