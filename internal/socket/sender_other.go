//go:build !unix

package socket

import "net"

// NewSender returns a Sender for conn.
func NewSender(conn net.Conn) Sender { return plainSender{conn} }
