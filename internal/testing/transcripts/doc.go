// Package transcripts replays golden transcripts: recordings of what QEMU's own
// Python client sent, received, returned and raised, each held as a script of
// the server and a list of the client's calls.
//
// A [Suite] says how to make those calls in Go. The scripts run on real sockets,
// by package qmptest.
//
// This library differs from the recorded one in known ways. What holds for every
// recording is in the code that reads it: ids (wire.go, server.go), classes of
// errors (raises.go), what a value is in Go (compare.go). What concerns single
// scenarios is in the table of exceptions.go, each with the rule behind it and
// the better outcome, which is required just as strictly.
package transcripts
