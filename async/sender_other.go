//go:build !unix

package async

import "net"

func newSender(conn net.Conn) sender { return plainSender{conn} }
