package socket

import (
	"errors"
	"io/fs"
)

// NotReady reports whether err, of an attempt to connect, says that the server
// is not there yet: a later attempt at the same address may succeed.
func NotReady(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || isRefused(err)
}

// IsGone reports whether err, of a connection, says that the peer ended it. (An
// end in order is io.EOF.)
func IsGone(err error) bool { return IsReset(err) || isPipe(err) }
