// Package proto turns bytes into QMP messages and QMP messages into bytes, for
// both ends of the wire. It starts no goroutine, opens no socket and reads no
// clock: async drives it as a client, async/qmptest as a server.
//
// Incoming bytes pass one JSON parser, once: [Framer] cuts and validates them
// with jsontext. Everything behind it ([ParseMessage], [Decode]) walks bytes
// that are already known to be one well-formed JSON object, and need not check
// again.
//
// Outgoing text is compact, pure ASCII, and carries no line end: a byte behind
// quit is still unread when QEMU exits, and turns its end of file into a reset.
package proto
