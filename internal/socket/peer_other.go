//go:build !linux && !darwin

package socket

import "net"

// peerOf knows nothing on this system.
func peerOf(*net.UnixConn) (Peer, bool) { return Peer{}, false }
