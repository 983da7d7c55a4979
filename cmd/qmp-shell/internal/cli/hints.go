package cli

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/goqmp/qmp/async"
)

// hint returns what a person can do about err, or "".
func hint(err error) string {
	if _, ok := errors.AsType[*UsageError](err); ok {
		return ""
	}
	connect, ok := errors.AsType[*async.ConnectError](err)
	if !ok {
		return ""
	}
	switch {
	case connect.Stage != async.StageConnection:
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return "There is no socket at this path. QEMU makes it if it is started with -qmp unix:PATH,server=on,wait=off."
	case errors.Is(err, fs.ErrPermission):
		return "Only the user that runs QEMU, and root, may use its socket."
	case errors.Is(err, syscall.ECONNREFUSED) && !mayBeSocket(connect.Address):
		return "This path is not that of a socket."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "No program listens there: QEMU has ended, or listens at another address."
	case errors.Is(err, syscall.EAGAIN):
		return "Too many clients wait for this socket: QEMU serves one at a time."
	}
	return ""
}

// mayBeSocket reports whether a server may listen at an address: whether it is not the path of
// a file of another kind.
func mayBeSocket(addr string) bool {
	info, err := os.Stat(strings.TrimPrefix(addr, "unix:"))
	return err != nil || info.Mode().Type() == fs.ModeSocket
}

// forPeople replaces what the library tells programmers to do by the option that does it.
func forPeople(text string) string {
	return strings.ReplaceAll(text, "set SkipGreeting and SkipNegotiation", "for it there is --skip-negotiation")
}
