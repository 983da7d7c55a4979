// Package qmp is a map of the module: it has no code. QMP is the JSON protocol
// over which QEMU, qemu-storage-daemon and the QEMU guest agent are driven.
//
// Choose a package by the program that you write:
//
//	a service that manages machines         async
//	a blocking script, in Go's way          sync (package qmpsync)
//	a script that was written in Python     legacy; compat for the names since QEMU 8.2
//	a test of a program that speaks QMP     async/qmptest
//	a test that starts QEMU                 compat/iotests
//	a program that starts QEMU              compat/machine
//	a program that wants types              qapi, qapi/qga; cmd/qmp-gen for a schema of your own
//	a test of a guest's memory and ports    compat/qtest
//
// A package imports only packages below it:
//
//	compat/iotests                  a harness for go test, in the style of QEMU's iotests
//	compat/machine   compat/qtest   a QEMU process; the qtest protocol
//	qapi, qapi/qga                  QEMU's commands, events and types; the guest agent's
//	compat                          both generations of Python's names on one connection
//	legacy                          the calls of Python's QEMUMonitorProtocol
//	sync (package qmpsync)          blocking calls; timeouts are durations
//	async            async/qmptest  the engine; a QMP server for tests
//
// There is one engine. The blocking packages call it, and their clients lead to
// it: legacy's Sync returns a client of qmpsync, whose Async returns the client
// of async, all three for the same connection.
//
// The pages docs/guarantees.md (what a caller may rely on), docs/migrating.md
// (from Python to Go) and docs/architecture.md (the way of a command, of an event
// and of a disconnect) are in the repository.
package qmp
