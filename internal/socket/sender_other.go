//go:build !unix

package socket

import "net"

// NewSender returns what writes to conn.
func NewSender(conn net.Conn) Sender { return plainSender{conn} }
