package qmptest

import (
	"errors"
	"syscall"
)

// isGoneHere knows this platform's own numbers for a peer that has gone.
func isGoneHere(err error) bool {
	return errors.Is(err, syscall.WSAECONNRESET) || errors.Is(err, syscall.WSAECONNABORTED)
}
