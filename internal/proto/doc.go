// Package proto turns bytes into QMP messages and QMP messages into bytes, for
// both ends of the wire. It starts no goroutine, opens no socket and reads no
// clock: async drives it as a client, async/qmptest as a server.
//
// Incoming bytes pass one JSON parser, once: [Framer] cuts the stream into
// messages and validates them with jsontext. The functions that run later
// ([ParseMessage], [Decode]) rely on that and do not check again.
//
// Outgoing text is compact and pure ASCII, and has no line end. QEMU exits
// without reading what follows the command quit, and a byte that it has not read
// turns its end of file into a reset.
package proto
