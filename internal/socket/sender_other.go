//go:build !unix

package socket

import "net"

func newSocketSender(conn net.Conn) Sender { return plainSender{conn} }
