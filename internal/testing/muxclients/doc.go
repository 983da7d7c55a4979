// Package muxclients has only tests: QMP clients that others have written use a real QEMU
// through package async/mux. It is a module of its own, so that the library does not require
// those clients.
//
// The tests of Python's clients need QEMU's sources, which scripts/qemu-fetch.sh --tests fetches;
// "make clients" does so, and runs the tests. Without the sources they are skipped.
package muxclients
