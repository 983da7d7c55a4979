// Tests of rule E14 (reconnecting) over TLS.
// The code that they hold: reconnect.go, series.go and tls.go.
package async_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/tlstest"
)

// securedPipe returns a Dialer over TLS, and counts its dials. Each connection leads to
// a server with the next of configs; the last one is repeated. The server hangs up when
// hangUp has something for it.
func securedPipe(t *testing.T, client *tls.Config, hangUp <-chan struct{}, configs ...*tls.Config) (dial func(context.Context) (net.Conn, error), dials *int) {
	t.Helper()
	dials = new(int)
	return async.OverTLS(func(context.Context) (net.Conn, error) {
		near, far := qmptest.Pipe()
		config := configs[min(*dials, len(configs)-1)]
		*dials++
		go func() {
			secured := tls.Server(far, config)
			if secured.Handshake() != nil {
				far.Close()
				return
			}
			server := newTokenServer(secured, "")
			go server.serve()
			select {
			case <-hangUp:
				secured.Close()
			case <-server.done:
			}
		}()
		return near, nil
	}, client), dials
}

// A server whose certificate cannot be verified ends the attempts, of the first Connect
// and after a loss. After a loss that says a GaveUpError. With a good certificate the
// client is connected again.
// Holds E14.
func TestE14ServerThatCannotBeVerified(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		ca, other := tlstest.New(t), tlstest.New(t)
		client := &tls.Config{RootCAs: ca.Pool(), ServerName: tlstest.Host}
		good := &tls.Config{Certificates: []tls.Certificate{ca.Certificate(t, nil)}}
		bad := &tls.Config{Certificates: []tls.Certificate{other.Certificate(t, nil)}}
		options := func(dial func(context.Context) (net.Conn, error)) *async.Options {
			return &async.Options{Dialer: dial, Backoff: async.Every(time.Second), Reconnect: &async.Reconnect{}}
		}
		wantVerification := func(what string, err error) {
			t.Helper()
			wantAs[*tls.CertificateVerificationError](t, what, err)
			wantAs[*async.TLSError](t, what, err)
			wantText(t, what, err, "set RootCAs")
		}

		// At the first Connect.
		dial, dials := securedPipe(t, client, nil, bad)
		c := newClient(t, options(dial))
		begin := time.Now()
		err := c.Connect(t.Context(), "")
		wantAs[*async.ConnectError](t, "Connect", err)
		wantVerification("Connect", err)
		wantInstant(t, "Connect", begin)
		wantState(t, c, async.Idle)
		if *dials != 1 {
			t.Errorf("Connect: got %d dials, want 1", *dials)
		}

		// After two losses.
		hangUp := make(chan struct{})
		dial, dials = securedPipe(t, client, hangUp, good, good, bad)
		c = newClient(t, options(dial))
		l := c.NewListener(nil)
		connect(t, c)
		for session := uint64(1); session <= 2; session++ {
			execute(t, c, "x", `"x"`)
			hangUp <- struct{}{}
			_, err = l.Next(t.Context())
			if e := wantAs[*async.ExecInterruptedError](t, "the notice", err); e.Session != session || !async.HungUp(err) {
				t.Errorf("the notice: got %+v, want the end of session %d", e, session)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if state := c.Runstate(); state != async.Disconnecting {
			t.Fatalf("the client is %v, want that it has given up", state)
		}
		<-c.Done()
		err = c.Err()
		if e := wantAs[*async.GaveUpError](t, "Err", err); e.Attempts != 1 || e.Took != time.Second {
			t.Errorf("Err: got %d attempts in %v, want 1 in a second", e.Attempts, e.Took)
		}
		wantVerification("Err", err)
		wantIs(t, "Err", err, io.EOF)
		time.Sleep(time.Hour)
		if *dials != 3 {
			t.Errorf("got %d dials, want 3", *dials)
		}
		wantAs[*async.GaveUpError](t, "Disconnect", c.Disconnect(t.Context()))
	})
}

// DialTLS connects again to a real socket.
// Holds E14.
func TestE14DialTLS(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.Certificate(t, nil)}}
	hangUp := make(chan struct{})
	addr := serveEach(t, "tcp", func(conn net.Conn) {
		server := newTokenServer(tls.Server(conn, config), "")
		go server.serve()
		select {
		case <-hangUp:
			conn.Close()
		case <-server.done:
		}
		<-server.done
	})
	c := newClient(t, &async.Options{
		Dialer:  async.DialTLS(addr, &tls.Config{RootCAs: ca.Pool()}),
		Backoff: async.Every(time.Millisecond), Reconnect: &async.Reconnect{Wait: true},
	})
	l := c.NewListener(nil)
	connect(t, c)
	for session := uint64(1); session <= 3; session++ {
		execute(t, c, "x", `"x"`) // waits for the connection
		if got := c.Session(); got != session {
			t.Errorf("got session %d, want %d", got, session)
		}
		if session < 3 {
			hangUp <- struct{}{}
			_, err := l.Next(t.Context())
			wantAs[*async.ExecInterruptedError](t, "the notice", err)
		}
	}
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
}

// With AcceptTLS a client accepts again after a loss. A peer that is not the right one,
// or that does not speak TLS, does not keep the next one from connecting.
// Holds E14.
func TestE14AcceptTLS(t *testing.T) {
	t.Parallel()
	ca, other := tlstest.New(t), tlstest.New(t)
	own := ca.Certificate(t, nil)
	c := newClient(t, &async.Options{
		AcceptTLS: &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()},
		Backoff:   async.Every(time.Millisecond), Reconnect: &async.Reconnect{Wait: true},
	})
	wantNil(t, "Listen", c.Listen(t.Context(), "127.0.0.1:0"))
	addr := c.ListenAddr().String()
	l := c.NewListener(nil)
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	serve := func() *tokenServer {
		t.Helper()
		server := newTokenServer(tls.Client(dial(), peerOf(ca, own)), "")
		go server.serve()
		return server
	}
	// stray connects as a wrong peer does, and waits until the client has hung up.
	stray := func(greet func(net.Conn)) {
		t.Helper()
		conn := dial()
		conn.SetDeadline(time.Now().Add(patience))
		greet(conn)
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("the client has not hung up: %v", err)
		}
	}

	server := serve()
	wantNil(t, "Accept", c.Accept(t.Context()))
	execute(t, c, "x", `"x"`)
	server.conn.Close()
	_, err := l.Next(t.Context())
	wantAs[*async.ExecInterruptedError](t, "the notice", err)

	stray(func(conn net.Conn) { io.WriteString(conn, `{"QMP":`) })
	stray(func(conn net.Conn) {
		tls.Client(conn, &tls.Config{RootCAs: ca.Pool(), ServerName: tlstest.Host}).Handshake()
	})
	stray(func(conn net.Conn) { tls.Client(conn, peerOf(ca, other.Certificate(t, nil))).Handshake() })
	stray(func(conn net.Conn) {
		tls.Client(conn, &tls.Config{RootCAs: other.Pool(), ServerName: tlstest.Host}).Handshake() // it refuses the client's certificate
	})

	server = serve()
	execute(t, c, "y", `"y"`) // waits for the connection
	wantNil(t, "Err", c.Err())
	wantNil(t, "Disconnect", c.Disconnect(t.Context()))
	<-server.done
}
