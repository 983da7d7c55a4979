//go:build !unix

package qmptest

import (
	"errors"
	"net"
)

func awaitUnread(*net.UnixConn) error {
	return errors.New("qmptest: on this system there is no way to tell whether a unix socket has unread bytes")
}
