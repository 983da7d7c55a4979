package socket

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync/atomic"

	"github.com/goqmp/qmp/internal/contexts"
)

// A TLSConn is a TLS connection to a QMP server. Use [NewSender] to write to it without
// waiting. Write waits, as for any connection.
//
// The last byte of each message is a TLS record of its own. QEMU before 8.0 reads its
// monitor byte by byte. Between two bytes it waits until the socket is readable, and it
// does not look whether its TLS library still holds bytes of a record that it has read.
// So it would stop in the middle of a record. With another record in the socket, the
// socket stays readable until QEMU has read the whole message. Nothing follows the last
// byte, since an unread byte turns QEMU's end of file into a reset.
type TLSConn struct {
	*tls.Conn
	pump *pump

	heard   bool              // at least one byte was received; used by the reader only
	refused func(error) error // see [TLSOptions]

	use atomic.Int32  // unused, writing or closed
	one chan struct{} // has one token: the right to call Write

	// Used by the writer only.
	ahead int   // how many bytes of the next write are encrypted already
	err   error // the error of a write that failed: nothing is written after it
}

// The states of TLSConn.use.
const (
	unused  int32 = iota
	writing       // bytes of a message are queued, or are about to be
	closed
)

// maxRecord is how many bytes a TLS record can hold (RFC 8446, "Record Layer").
const maxRecord = 16 << 10

// TLSOptions says how to make a [TLSConn].
type TLSOptions struct {
	Config *tls.Config
	Server bool // this side is the TLS server

	// Refused is called if the first read fails. It returns the error that the read
	// is to return. Nil leaves the error unchanged.
	Refused func(error) error
}

// TLS makes a TLS connection over conn, which it owns from now on. ctx bounds the
// handshake, and nothing after it.
func TLS(ctx context.Context, conn net.Conn, opts TLSOptions) (*TLSConn, error) {
	p := newPump(conn)
	c := &TLSConn{pump: p, refused: opts.Refused, one: make(chan struct{}, 1)}
	if opts.Server {
		c.Conn = tls.Server(p, opts.Config)
	} else {
		c.Conn = tls.Client(p, opts.Config)
	}
	if err := c.HandshakeContext(ctx); err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = contexts.Err(ctx)
		}
		return nil, err
	}
	p.setDirect(false)
	c.one <- struct{}{}
	return c, nil
}

func (c *TLSConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && !c.heard && c.refused != nil {
		err = c.refused(err)
	}
	c.heard = c.heard || n > 0
	return n, err
}

func (c *TLSConn) Write(b []byte) (int, error) {
	<-c.one
	defer func() { c.one <- struct{}{} }()
	n := 0
	for n < len(b) {
		m, err := c.write(b[n:], true)
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// Close ends the connection. It does not wait for the peer, except that a connection
// that is not a socket of the system has 5 seconds to take TLS's notice of the end. No
// notice is sent in the middle of a message.
func (c *TLSConn) Close() error {
	switch c.use.Swap(closed) {
	case unused:
		if c.pump.prepareClose() {
			return c.Conn.Close()
		}
		return c.pump.Conn.Close()
	case closed:
		return net.ErrClosed
	}
	return c.pump.Conn.Close()
}

// write encrypts b and sends it. It returns how many bytes the system has taken. If
// that is less than all of b and there is no error, the next call has to be for the
// rest: some of it may be encrypted. If wait is true, write waits until the system has
// taken at least one byte.
func (c *TLSConn) write(b []byte, wait bool) (n int, err error) {
	if c.err != nil {
		return 0, c.err
	}
	if len(b) == 0 {
		return 0, nil
	}
	if !c.use.CompareAndSwap(unused, writing) && c.use.Load() == closed {
		return 0, net.ErrClosed
	}
	encrypted := c.ahead
	c.ahead = 0
	for {
		empty, err := c.pump.flush(wait)
		switch {
		case err != nil:
			c.err = err
			return n, err
		case !empty:
			c.ahead = encrypted - n
			return n, nil
		}
		if n = encrypted; n == len(b) {
			c.use.CompareAndSwap(writing, unused)
			return n, nil
		}
		if wait && n > 0 {
			return n, nil
		}
		size, err := c.encrypt(b[encrypted:])
		if err != nil {
			c.err = err
			return n, err
		}
		encrypted += size
	}
}

// encrypt queues some of b, which is the rest of a message. It returns how many bytes.
func (c *TLSConn) encrypt(b []byte) (int, error) {
	c.pump.hold()
	defer c.pump.release()
	size := min(len(b)-1, maxRecord)
	if size > 0 {
		if _, err := c.Conn.Write(b[:size]); err != nil {
			return 0, err
		}
	}
	if size < len(b)-1 {
		return size, nil
	}
	if _, err := c.Conn.Write(b[size:]); err != nil { // the last byte
		return 0, err
	}
	return len(b), nil
}

// tlsSender writes to a [TLSConn].
type tlsSender struct{ conn *TLSConn }

func (tlsSender) CheckFiles() error   { return errNoFiles }
func (tlsSender) Interruptible() bool { return false }

func (s tlsSender) Try(b []byte, _ []*os.File) (int, error)  { return s.conn.write(b, false) }
func (s tlsSender) Send(b []byte, _ []*os.File) (int, error) { return s.conn.write(b, true) }

// foreignTLSSender writes to a TLS connection that this package has not made. It makes
// the last byte of each message a record of its own, as [TLSConn] does.
type foreignTLSSender struct{ plainSender }

func (s foreignTLSSender) Send(b []byte, _ []*os.File) (int, error) {
	if len(b) < 2 {
		return s.plainSender.Send(b, nil)
	}
	last := len(b) - 1
	n, err := s.plainSender.Send(b[:last], nil)
	if err != nil || n < last {
		return n, err
	}
	m, err := s.plainSender.Send(b[last:], nil)
	return n + m, err
}

var _ io.ReadWriteCloser = (*TLSConn)(nil)
