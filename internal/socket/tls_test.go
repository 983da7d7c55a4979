//go:build unix

package socket

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/tlstest"
)

// A tlsPair is a TLS connection over a socket pair, whose ends are in this process.
type tlsPair struct {
	conn   *TLSConn  // the client's end
	send   Sender    // of conn
	server *tls.Conn // over raw
	raw    *records
}

// records is a connection that notes the length of each TLS record that is read.
type records struct {
	net.Conn
	lengths []int // of the encrypted records
	rest    int   // bytes of the present record that were not read yet
	header  []byte
}

func (r *records) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	for p := b[:n]; len(p) > 0; {
		if r.rest > 0 {
			skip := min(r.rest, len(p))
			r.rest -= skip
			p = p[skip:]
			continue
		}
		r.header = append(r.header, p[0])
		if p = p[1:]; len(r.header) == 5 {
			r.rest = int(r.header[3])<<8 | int(r.header[4])
			r.lengths = append(r.lengths, r.rest)
			r.header = nil
		}
	}
	return n, err
}

// overhead is what a record of TLS 1.3 has beside its content: its type, and a tag.
const overhead = 17

func newTLSPair(t *testing.T, near, far net.Conn) *tlsPair {
	t.Helper()
	ca := tlstest.New(t)
	far.SetDeadline(time.Now().Add(time.Minute)) // a hang fails the test
	p := &tlsPair{raw: &records{Conn: far}}
	p.server = tls.Server(p.raw, &tls.Config{Certificates: []tls.Certificate{ca.Certificate(t, nil)}, SessionTicketsDisabled: true})
	shaken := make(chan error, 1)
	go func() { shaken <- p.server.Handshake() }()
	var err error
	p.conn, err = TLS(t.Context(), near, TLSOptions{Config: &tls.Config{RootCAs: ca.Pool(), ServerName: tlstest.Host}})
	if err := errors.Join(err, <-shaken); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		far.Close()
		p.conn.Close()
	})
	p.send = NewSender(p.conn)
	p.raw.lengths = nil
	return p
}

// socketPair returns both ends of a pair of unix sockets.
func socketPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	near, f, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Cleanup(func() { near.Close() })
	if far, err = net.FileConn(f); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return near, far
}

// pairOf returns a TLS connection over a pair of unix sockets.
func pairOf(t *testing.T) *tlsPair {
	t.Helper()
	near, far := socketPair(t)
	return newTLSPair(t, near, far)
}

// A message is sent without waiting, and its last byte is a record of its own.
func TestTLSSendsAtOnce(t *testing.T) {
	t.Parallel()
	p := pairOf(t)
	for _, message := range []string{"x", "xy", `{"execute":"stop"}`, strings.Repeat("x", 5000)} {
		if n, err := p.send.Try([]byte(message), nil); n != len(message) || err != nil {
			t.Fatalf("Try of %d bytes: got %d, %v", len(message), n, err)
		}
		got := make([]byte, len(message))
		if _, err := io.ReadFull(p.server, got); err != nil || string(got) != message {
			t.Fatalf("the peer got %q and %v, want %q", got, err, message)
		}
		if last := p.raw.lengths[len(p.raw.lengths)-1]; last != 1+overhead {
			t.Errorf("%d bytes: got records of %v bytes, want the last one to have %d", len(message), p.raw.lengths, 1+overhead)
		}
	}
	if err := p.send.CheckFiles(); err == nil {
		t.Error("CheckFiles: got no error; descriptors cannot be sent over TLS")
	}
	if n, err := p.send.Try(nil, nil); n != 0 || err != nil {
		t.Errorf("Try of nothing: got %d, %v", n, err)
	}
}

// The peer does not read: Try does not wait, Send sends the rest when the peer reads,
// and every byte arrives once.
func TestTLSToASlowPeer(t *testing.T) {
	t.Parallel()
	p := pairOf(t)
	message := make([]byte, 2<<20)
	for i := range message {
		message[i] = byte(i ^ i>>8 ^ i>>16)
	}
	n, err := p.send.Try(message, nil)
	if err != nil || n <= 0 || n >= len(message) {
		t.Fatalf("Try: got %d, %v, want some bytes", n, err)
	}
	if n2, err := p.send.Try(message[n:], nil); n2 != 0 || err != nil {
		t.Fatalf("Try to a peer that does not read: got %d, %v", n2, err)
	}
	sent := make(chan error, 1)
	go func() {
		for _, b := range [][]byte{message[n:], []byte("next")} {
			for len(b) > 0 {
				k, err := p.send.Send(b, nil)
				if err == nil && k == 0 {
					err = io.ErrShortWrite
				}
				if err != nil {
					sent <- err
					return
				}
				b = b[k:]
			}
		}
		sent <- nil
	}()
	got := make([]byte, len(message)+4)
	if _, err := io.ReadFull(p.server, got); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Errorf("Send: %v", err)
	}
	if !bytes.Equal(got, append(slices.Clip(message), "next"...)) {
		t.Error("the peer got other bytes than were sent")
	}
	if p.conn.pump.queue != nil && cap(p.conn.pump.queue) > keepQueued {
		t.Errorf("a queue of %d bytes is kept", cap(p.conn.pump.queue))
	}
}

// Close in the middle of a message does not wait, and says nothing that the peer could
// take for an orderly end.
func TestTLSCloseWhileThePeerIsSlow(t *testing.T) {
	t.Parallel()
	p := pairOf(t)
	if _, err := p.send.Try(make([]byte, 3<<20), nil); err != nil {
		t.Fatal(err)
	}
	blocked := make(chan error, 1)
	go func() {
		_, err := p.send.Send(make([]byte, 100), nil)
		blocked <- err
	}()
	runtime.Gosched()
	if err := p.conn.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-blocked; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send after Close: got %v, want %v", err, net.ErrClosed)
	}
	if _, err := p.send.Try([]byte("x"), nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Try after Close: got %v, want %v", err, net.ErrClosed)
	}
	if err := p.conn.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Close: got %v, want %v", err, net.ErrClosed)
	}
	const notice = 2 + overhead
	io.Copy(io.Discard, p.server)
	if n := len(p.raw.lengths); n == 0 || p.raw.lengths[n-1] == notice {
		t.Errorf("the peer got records of %v bytes, want no notice of an end in the middle of a message", p.raw.lengths)
	}
}

// An idle connection ends with TLS's notice, over a socket and over any connection.
func TestTLSCloseIsOrderly(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	for name, p := range map[string]*tlsPair{"socket": pairOf(t), "pipe": newTLSPair(t, a, b)} {
		end := make(chan error, 1)
		alert := make(chan int, 1)
		go func() {
			_, err := p.server.Read(make([]byte, 1))
			alert <- len(p.raw.lengths)
			end <- err
		}()
		if err := p.conn.Close(); err != nil {
			t.Errorf("%s: Close: %v", name, err)
		}
		if err := <-end; err != io.EOF {
			t.Errorf("%s: the peer reads to %v, want %v", name, err, io.EOF)
		}
		if <-alert != 1 {
			t.Errorf("%s: the peer got no notice of the end", name)
		}
	}
}

// Any connection works below TLS. Nothing can be sent without waiting there.
func TestTLSOverAnyConnection(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	p := newTLSPair(t, a, b)
	const message = "message"
	if n, err := p.send.Try([]byte(message), nil); n != 0 || err != nil {
		t.Fatalf("Try: got %d, %v, want nothing", n, err)
	}
	sent := make(chan error, 2)
	go func() {
		n, err := p.send.Send([]byte(message), nil)
		if n != len(message) && err == nil {
			err = io.ErrShortWrite
		}
		sent <- err
		_, err = p.conn.Write([]byte(message))
		sent <- err
	}()
	for range 2 {
		got := make([]byte, len(message))
		if _, err := io.ReadFull(p.server, got); err != nil || string(got) != message {
			t.Fatalf("the peer got %q and %v", got, err)
		}
		if err := <-sent; err != nil {
			t.Errorf("Send: %v", err)
		}
	}
}

// A write that failed may have left a part of a record in the stream: nothing is
// written after it.
func TestTLSNothingFollowsAFailedWrite(t *testing.T) {
	t.Parallel()
	p := pairOf(t)
	p.conn.SetWriteDeadline(time.Unix(1, 0))
	n, err := p.conn.Write(make([]byte, 3<<20))
	if err == nil || n >= 3<<20 {
		t.Fatalf("Write with a deadline: got %d, %v", n, err)
	}
	p.conn.SetWriteDeadline(time.Time{})
	if _, again := p.conn.Write([]byte("x")); again == nil || again.Error() != err.Error() {
		t.Errorf("Write after that: got %v, want %v", again, err)
	}
}

// The context bounds the TLS handshake. The connection is closed if that fails.
func TestTLSHandshakeWithinItsContext(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer b.Close()
	why := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, why)
	defer cancel()
	go io.Copy(io.Discard, b) // it takes the first message and does not answer
	if _, err := TLS(ctx, a, TLSOptions{Config: &tls.Config{ServerName: "x"}}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, why) {
		t.Errorf("got %v, want what the context ended with", err)
	}
	if _, err := a.Write([]byte("x")); err == nil {
		t.Error("the connection is still open")
	}
}

// What crypto/tls sends by itself goes out in order with the messages, also while a
// message is queued.
func TestPumpKeepsTheOrder(t *testing.T) {
	t.Parallel()
	a, b := socketPair(t)
	p := newPump(a)
	p.setDirect(false)
	p.hold()
	p.Write([]byte("1"))
	p.Write([]byte("2"))
	p.release()
	p.Write([]byte("3"))
	if empty, err := p.flush(false); !empty || err != nil {
		t.Fatalf("flush: %v, %v", empty, err)
	}
	<-p.turn // the writer is sending
	p.Write([]byte("4"))
	if p.isEmpty() {
		t.Fatal("two goroutines send at the same time")
	}
	p.turn <- struct{}{}
	if empty, err := p.flush(true); !empty || err != nil {
		t.Fatalf("flush: %v, %v", empty, err)
	}
	p.Write([]byte("5"))
	got := make([]byte, 5)
	if _, err := io.ReadFull(b, got); err != nil || string(got) != "12345" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A TLS connection that somebody else has made gets its last byte in a record of its
// own, too.
func TestForeignTLS(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t)
	a, b := socketPair(t)
	raw := &records{Conn: b}
	server := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{ca.Certificate(t, nil)}, SessionTicketsDisabled: true})
	client := tls.Client(a, &tls.Config{RootCAs: ca.Pool(), ServerName: tlstest.Host})
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	raw.lengths = nil
	for _, message := range []string{"x", "message"} {
		if n, err := NewSender(client).Send([]byte(message), nil); n != len(message) || err != nil {
			t.Fatalf("Send: got %d, %v", n, err)
		}
		if _, err := io.ReadFull(server, make([]byte, len(message))); err != nil {
			t.Fatal(err)
		}
	}
	if want := []int{1 + overhead, 6 + overhead, 1 + overhead}; !slices.Equal(raw.lengths, want) {
		t.Errorf("got records of %v bytes, want %v", raw.lengths, want)
	}
}
