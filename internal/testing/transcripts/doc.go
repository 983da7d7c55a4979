// Package transcripts replays golden transcripts: recordings of what QEMU's own
// Python client sent, received, returned and raised. Each has a script of the
// server, and a list of the client's calls with their outcomes.
//
// A [Suite] makes those calls in Go. Package qmptest plays the scripts on real
// sockets.
//
// This library differs from the recorded one in known ways. Differences that
// concern every recording are in the code that reads it: ids (wire.go, server.go),
// classes of errors (raises.go), the Go types of values (compare.go). Differences
// that concern single scenarios are in the table of exceptions.go. Each has its
// reason and the outcome of this library, which is required as strictly as a
// recorded one.
package transcripts
