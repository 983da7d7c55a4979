// Package socket makes the sockets of the library. It dials, and listens so that
// only the socket's owner can connect. It replaces stale sockets, takes over
// inherited descriptors, and sends and receives descriptors. It knows what the
// system's errors mean. Files whose names end in a system's name hold what differs
// between systems.
//
// The package knows nothing of QMP. Its errors are those of the system; the
// packages that use it add what the caller wanted to do.
package socket
