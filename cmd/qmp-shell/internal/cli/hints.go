package cli

import (
	"errors"
	"io/fs"
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
	case errors.Is(err, syscall.ECONNREFUSED):
		return "No program listens there: QEMU has ended, or listens at another address."
	case errors.Is(err, syscall.EAGAIN):
		return "Too many clients wait for this socket: QEMU serves one at a time."
	}
	return ""
}
