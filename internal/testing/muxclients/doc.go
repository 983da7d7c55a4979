// Package muxclients has only tests: QMP clients that others have written use a real QEMU
// through package async/mux. It is a module of its own, so that the library does not require
// those clients.
//
// The tests have the build tag clients. They need QEMU's sources, for Python's clients: "make
// clients" fetches them, and runs the tests.
package muxclients
