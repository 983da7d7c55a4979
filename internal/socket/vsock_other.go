//go:build !linux

package socket

import (
	"context"
	"errors"
	"net"
)

func dialVsock(context.Context, uint32, uint32) (net.Conn, error) {
	return nil, errors.New("vsock addresses need Linux; elsewhere, connect in async.Options.Dialer")
}
