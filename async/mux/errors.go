package mux

import (
	"errors"
	"fmt"
	"syscall"
)

// An UpstreamError says that the server, or the connection to it, has ended. Err is why.
type UpstreamError struct{ Err error }

func (e *UpstreamError) Error() string { return fmt.Sprintf("mux: the server is gone: %v", e.Err) }

func (e *UpstreamError) Unwrap() error { return e.Err }

// A SlowUserError says that a user was disconnected because it did not read its events: see
// Door.MaxUnread.
type SlowUserError struct {
	Unread int // bytes of events that it had not read
	Limit  int // Door.MaxUnread
}

func (e *SlowUserError) Error() string {
	return fmt.Sprintf("mux: the user did not read its events: %d bytes are unread, and the limit is %d (mux.Door.MaxUnread)", e.Unread, e.Limit)
}

// passing reports whether an error of Accept says that there are too few resources for the
// moment, or that one peer has gone.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.ECONNRESET} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
