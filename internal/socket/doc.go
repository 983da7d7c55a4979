// Package socket makes the sockets of the library: it dials, listens so that
// only the owner can connect, replaces stale sockets, takes over inherited
// descriptors, sends and receives descriptors, and knows which of the system's
// errors mean what. What differs between systems is in the files that end in a
// system's name.
//
// It knows nothing of QMP. Errors are those of the system; the packages above
// add what the caller was about.
package socket
