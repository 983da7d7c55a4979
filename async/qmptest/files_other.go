//go:build !unix

package qmptest

import (
	"errors"
	"net"
)

func awaitUnread(*net.UnixConn) error {
	return errors.New("qmptest: this platform cannot tell whether a unix socket has unread bytes")
}
