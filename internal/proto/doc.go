// Package proto turns bytes into QMP messages and QMP messages into bytes, for
// both ends of the wire. It starts no goroutine, opens no socket and reads no
// clock: async drives it as a client, async/qmptest as a server.
//
// Incoming bytes are read once: [Framer] cuts the stream into messages. One pass over
// the bytes finds the end of a message, checks that it is JSON by the rules of package
// jsontext, and finds its members. The functions that run later ([Decode], [Members])
// rely on that and do not check again.
//
// Outgoing text is compact and pure ASCII, and has no line end. QEMU exits
// without reading what follows the command quit, and a byte that it has not read
// turns its end of file into a reset.
package proto
