// Tests of connections over TLS.
// The code that they hold: session.go, write.go and internal/socket.
package async_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// tlsConfigs returns the configurations of both ends, with a certificate made
// for the test.
func tlsConfigs(t testing.TB) (client, server *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"vm.test"},
		NotBefore:    time.Unix(0, 0), NotAfter: time.Now().AddDate(100, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{RootCAs: roots, ServerName: "vm.test"},
		&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// tlsPipe returns a Dialer for one TLS connection, and the server's end of it.
func tlsPipe(t testing.TB, size int) (dial func(context.Context) (net.Conn, error), server *tls.Conn) {
	t.Helper()
	near, far := qmptest.PipeSize(size)
	clientConfig, serverConfig := tlsConfigs(t)
	return func(ctx context.Context) (net.Conn, error) {
		conn := tls.Client(near, clientConfig)
		if err := conn.HandshakeContext(ctx); err != nil {
			near.Close()
			return nil, err
		}
		return conn, nil
	}, tls.Server(far, serverConfig)
}

// TLS works through Options.Dialer: many callers, large messages, and an
// orderly end.
func TestTLS(t *testing.T) {
	t.Parallel()
	for _, capability := range []string{"", "oob"} {
		t.Run("capabilities="+capability, func(t *testing.T) {
			t.Parallel()
			dial, conn := tlsPipe(t, qmptest.DefaultPipeSize)
			server := newTokenServer(conn, capability)
			go server.serve()
			c := newClient(t, &async.Options{Dialer: dial})
			connect(t, c)
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					for j := range 20 {
						name := fmt.Sprintf("%d-%d", i, j)
						v, err := c.Execute(t.Context(), name, map[string]any{"x": strings.Repeat("x", j*2000)})
						wantValue(t, name, v, err, `"`+name+`"`)
					}
				})
			}
			wg.Wait()
			_, err := c.Do(t.Context(), async.Command{Name: "x", Files: []*os.File{os.Stdin}})
			wantText(t, "with a file", err, "unix socket")
			wantNothingPending(t, c)
			wantNil(t, "Disconnect", c.Disconnect(t.Context()))
			if seen, err := server.wait(); err != io.EOF || len(seen) != 8*20+1 {
				t.Errorf("the server got %d commands and then %v, want %d and an EOF, which TLS tells from a cut", len(seen), err, 8*20+1)
			}
		})
	}
}

// A write that is interrupted would break a TLS connection for good, so the
// engine does not interrupt it. A call that is canceled during its write counts
// as sent, and the connection lives on.
// Holds E4.
func TestTLSCancelledInTheMiddleOfAWrite(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		dial, conn := tlsPipe(t, 16<<10)
		server := newTokenServer(conn, "")
		serve := make(chan struct{})
		held := &rigged{Conn: conn}
		server.conn = &slowReader{Conn: held, from: serve}
		go server.serve()
		c := newClient(t, &async.Options{Dialer: dial})
		connect(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first := start(ctx, c, async.Command{Name: "first", Args: map[string]any{"x": strings.Repeat("x", 200<<10)}})
		synctest.Wait()
		second := start(ctx, c, async.Command{Name: "second"})
		wantInterrupted(t, "first", (<-first).err, true, context.DeadlineExceeded)
		wantInterrupted(t, "second", (<-second).err, false, context.DeadlineExceeded)
		close(serve)
		execute(t, c, "third", `"third"`)
		wantNothingPending(t, c)
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		if seen, _ := server.wait(); strings.Join(seen, " ") != "qmp_capabilities first third" {
			t.Errorf("the server got %v, want qmp_capabilities, first and third", seen)
		}
	})
}

// slowReader reads one message at once, and the rest when it is allowed to.
type slowReader struct {
	net.Conn
	from <-chan struct{}
	over bool // the message was read
}

func (s *slowReader) Read(p []byte) (int, error) {
	if s.over {
		<-s.from
	}
	n, err := s.Conn.Read(p)
	s.over = s.over || n > 0 && p[n-1] == '}'
	return n, err
}

// readCommand reads one message without arguments. Its last byte is a record of its own.
func readCommand(conn net.Conn) {
	for buf := make([]byte, 1000); ; {
		if n, err := conn.Read(buf); err != nil || buf[n-1] == '}' {
			return
		}
	}
}

// A TLS connection ends like any stream, with close_notify or without. A stream
// that is cut inside a record counts as cut inside a message.
func TestTLSEnds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end  func(*tls.Conn) error
		want error
	}{
		"close_notify":    {(*tls.Conn).Close, io.EOF},
		"no close_notify": {func(c *tls.Conn) error { return c.NetConn().Close() }, io.EOF},
		"cut": {func(c *tls.Conn) error {
			c.NetConn().Write([]byte{23, 3, 3}) // the beginning of a record
			return c.NetConn().Close()
		}, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				dial, conn := tlsPipe(t, qmptest.DefaultPipeSize)
				go func() {
					io.WriteString(conn, `{"QMP":{"version":{},"capabilities":[]}}`)
					readCommand(conn) // qmp_capabilities
					io.WriteString(conn, `{"return":{},"id":1}`)
					readCommand(conn) // x
					tt.end(conn)
				}()
				c := newClient(t, &async.Options{Dialer: dial})
				connect(t, c)
				_, err := c.Execute(t.Context(), "x", nil)
				wantInterrupted(t, "x", err, true, tt.want)
				synctest.Wait()
				wantIs(t, "Disconnect", c.Disconnect(t.Context()), tt.want)
			})
		})
	}
}

// A peer does not read. Close waits no longer than TLS waits to send its
// close_notify.
func TestTLSCloseInTheMiddleOfAWrite(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		dial, conn := tlsPipe(t, 16<<10)
		go func() {
			io.WriteString(conn, `{"QMP":{"version":{},"capabilities":[]}}`)
			readCommand(conn)
			io.WriteString(conn, `{"return":{},"id":1}`)
		}()
		c := newClient(t, &async.Options{Dialer: dial})
		connect(t, c)
		call := start(t.Context(), c, async.Command{Name: "x", Args: map[string]any{"x": strings.Repeat("x", 200<<10)}})
		synctest.Wait()
		begin := time.Now()
		wantNil(t, "Close", c.Close())
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("Close: took %v, want 5s at most", took)
		}
		wantInterrupted(t, "x", (<-call).err, true, async.ErrClosed)
	})
}
