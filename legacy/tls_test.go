package legacy_test

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/tlstest"
	"github.com/goqmp/qmp/legacy"
	qmpsync "github.com/goqmp/qmp/sync"
)

// A monitor over TLS, and a watch over its health, need only the options of package
// async, here and in qmpsync.
func TestTLSAndHealth(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t)
	server := qmptest.Start(t, nil)
	ln, err := tls.Listen("tcp", "localhost:0", &tls.Config{Certificates: []tls.Certificate{ca.Certificate(t, nil)}})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { // a proxy that speaks TLS, for one connection
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		inner, err := net.Dial("unix", server.Addr())
		if err != nil {
			t.Error(err)
			return
		}
		defer inner.Close()
		wg.Go(func() { io.Copy(conn, inner) })
		io.Copy(inner, conn)
	})

	verdicts := make(chan async.Verdict, 10)
	addr := ln.Addr().String()
	q, err := legacy.New(addr, &legacy.Options{Sync: qmpsync.Options{Async: async.Options{
		Dialer: async.DialTLS(addr, &tls.Config{RootCAs: ca.Pool()}),
		Keepalive: &async.Keepalive{OnChange: func(_ async.Verdict, now async.Health) {
			verdicts <- now.Verdict
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if _, err := q.Connect(true); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Command("query-status", nil); err != nil {
		t.Error(err)
	}
	if h := q.Sync().Health(); h.Verdict != async.Healthy || h.LastReceived.IsZero() {
		t.Errorf("Health: got %v", h)
	}
	if first := <-verdicts; first != async.Healthy {
		t.Errorf("OnChange was told %v first", first)
	}
	if err := q.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if h := q.Sync().Health(); h.Verdict != async.Gone {
		t.Errorf("Health after Close: got %v", h)
	}
	select { // Close has waited for it
	case last := <-verdicts:
		if last != async.Gone {
			t.Errorf("OnChange was told %v last", last)
		}
	default:
		t.Error("OnChange was not told of the end")
	}
}
