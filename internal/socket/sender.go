package socket

import (
	"errors"
	"io"
	"net"
	"os"
)

// A Sender writes to a connection. Its methods are for one goroutine at a time.
type Sender interface {
	// CheckFiles says why descriptors cannot be sent, or nil.
	CheckFiles() error
	// Try sends as much of b as goes without waiting, with the descriptors of
	// files alongside its first byte. A [*FileError] says that a descriptor
	// cannot be sent, and that nothing was.
	Try(b []byte, files []*os.File) (int, error)
	// Send is Try that waits until at least one byte went.
	Send(b []byte, files []*os.File) (int, error)
	// Interruptible reports whether a write deadline can end a Send that has not
	// sent anything, and leaves the connection as it was. If not, a Send that
	// has begun counts as sent.
	Interruptible() bool
}

// A FileError says that a descriptor cannot be sent. Nothing was sent.
type FileError struct{ Err error }

func (e *FileError) Error() string { return "file descriptors: " + e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// plainSender writes to a connection of which only the interface is known. A
// write that is interrupted breaks TLS, for example, so no write is interrupted.
type plainSender struct{ conn net.Conn }

var errNoFiles = errors.New("sending file descriptors needs a unix socket")

func (plainSender) CheckFiles() error                   { return errNoFiles }
func (plainSender) Try([]byte, []*os.File) (int, error) { return 0, nil }
func (plainSender) Interruptible() bool                 { return false }

func (p plainSender) Send(b []byte, _ []*os.File) (int, error) {
	n, err := p.conn.Write(b)
	if n < len(b) && err == nil {
		err = io.ErrShortWrite // a Conn that breaks the rules must not keep us busy
	}
	return n, err
}
