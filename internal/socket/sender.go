package socket

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
)

// A Sender writes to a connection. Its methods are for one goroutine at a time.
type Sender interface {
	// CheckFiles returns why this connection cannot send descriptors, or nil.
	CheckFiles() error
	// Try sends as much of b as it can without waiting, and the descriptors of
	// files with the first byte. A [*FileError] says that a descriptor cannot be
	// sent and that nothing was sent.
	Try(b []byte, files []*os.File) (int, error)
	// Send is Try, but waits until it has sent at least one byte.
	Send(b []byte, files []*os.File) (int, error)
	// Interruptible reports whether a write deadline can end a Send that has not
	// sent anything yet, so that the connection can still be used. If not, the
	// caller has to treat a message as sent when Send has begun.
	Interruptible() bool
}

// NewSender returns a Sender for conn.
func NewSender(conn net.Conn) Sender {
	switch c := conn.(type) {
	case *TLSConn:
		return tlsSender{c}
	case *tls.Conn:
		return foreignTLSSender{plainSender{conn}}
	}
	return newSocketSender(conn)
}

// A FileError says that a descriptor cannot be sent. Nothing was sent.
type FileError struct{ Err error }

func (e *FileError) Error() string { return "file descriptors: " + e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// plainSender writes to a connection by its method Write. An interrupted write
// makes a TLS connection unusable, for example, so no write is interrupted.
type plainSender struct{ conn net.Conn }

var errNoFiles = errors.New("sending file descriptors needs a unix socket")

func (plainSender) CheckFiles() error                   { return errNoFiles }
func (plainSender) Try([]byte, []*os.File) (int, error) { return 0, nil }
func (plainSender) Interruptible() bool                 { return false }

// maxPlain is how many bytes plainSender writes in one call, so that its caller sees
// that a slow peer takes some of a large message.
const maxPlain = 64 << 10

func (p plainSender) Send(b []byte, _ []*os.File) (int, error) {
	b = b[:min(len(b), maxPlain)]
	n, err := p.conn.Write(b)
	if n < len(b) && err == nil {
		err = io.ErrShortWrite // otherwise a Conn that breaks the rule of io.Writer would be written to for ever
	}
	return n, err
}
