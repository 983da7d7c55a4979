// Package qmp has no code: this comment is a map of the module's packages. QMP is
// the JSON protocol over which programs control QEMU, qemu-storage-daemon and the
// QEMU guest agent.
//
// The program that you write decides which package you need:
//
//	a service that manages machines         async; async/group for many at a time
//	many programs that share one monitor    async/mux
//	a blocking script in Go's style         sync (package qmpsync)
//	a script that was written in Python     legacy; compat for the names since QEMU 8.2
//	a test of a program that speaks QMP     async/qmptest
//	a test that starts QEMU                 compat/iotests
//	a recording of a failure                async/record, and async/qmptest to play it
//	a program that starts QEMU              compat/machine
//	a program that runs backups or mirrors  async/jobs
//	a program that wants types              qapi, qapi/qga; cmd/qmp-gen for a schema of your own
//	a program that uses the guest agent     async/agent
//	a test of a guest's memory and ports    compat/qtest
//
// A package imports only packages below it:
//
//	compat/iotests                  a harness for go test, in the style of QEMU's iotests
//	compat/machine   compat/qtest   a QEMU process; the qtest protocol
//	async/agent                     a client of the guest agent: programs, files
//	async/mux                       one monitor for many users, with rules
//	async/jobs                      jobs of QEMU, by the typed commands
//	compat                          both generations of Python's names on one connection
//	qapi             qapi/qga       the commands, events and types of QEMU; those of the guest agent
//	legacy           async/qmptest  the calls of Python's QEMUMonitorProtocol; a QMP server for tests
//	sync (qmpsync)   async/record   blocking calls, time limits are durations; recordings
//	async/group                     many machines: commands to all, events of all
//	async                           the engine
//
// There is one engine, package async, and the blocking packages call it. A client
// of legacy returns its client of qmpsync (Sync), and a client of qmpsync returns
// its client of async (Async). All three have the same connection.
//
// Four pages are in the repository: docs/guarantees.md (what a caller may rely
// on), docs/recipes.md (whole programs), docs/migrating.md (from Python to Go) and
// docs/architecture.md (how a command, an event and a disconnect pass through the
// engine).
package qmp
