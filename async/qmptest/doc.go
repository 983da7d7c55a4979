// Package qmptest provides QMP servers for tests, as net/http/httptest does for
// HTTP: a simulated machine, scripts that play a server step by step, faults
// included, and a Pipe to run both in memory.
//
// A test of a program that stops a machine, with a client of package async:
//
//	package stopper
//
//	import (
//		"testing"
//
//		"github.com/goqmp/qmp/async"
//		"github.com/goqmp/qmp/async/qmptest"
//	)
//
//	func TestStop(t *testing.T) {
//		vm := qmptest.Start(t, nil)
//		c, err := async.Dial(t.Context(), vm.Addr(), nil)
//		if err != nil {
//			t.Fatal(err)
//		}
//		defer c.Close()
//
//		if _, err := c.Execute(t.Context(), "stop", nil); err != nil {
//			t.Fatal(err)
//		}
//		for _, m := range vm.Received() {
//			t.Logf("the machine was sent %s", m)
//		}
//	}
//
//	func TestStopOfADyingMachine(t *testing.T) {
//		addr := qmptest.Script(t,
//			qmptest.Greet("oob"),
//			qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`),
//			qmptest.Expect("stop"), qmptest.HangUp(),
//		)
//		c, err := async.Dial(t.Context(), addr, nil)
//		if err != nil {
//			t.Fatal(err)
//		}
//		defer c.Close()
//
//		if _, err := c.Execute(t.Context(), "stop", nil); err == nil {
//			t.Error("no error")
//		}
//	}
//
// # The machine
//
// A [Server] knows a handful of commands (query-version, query-status,
// query-name, query-commands, query-qmp-schema, stop, cont, system_reset,
// system_powerdown, quit, human-monitor-command, yank, query-yank) and behaves
// as QEMU 7.2 does: the events come before the reply, errors have QEMU's words,
// commands before negotiation are refused, out-of-band commands overtake once
// the client has enabled them. [Server.Handle] adds commands, [Server.Emit]
// sends events.
//
// # Scripts
//
// [Script] and its sisters play a list of [Step] to a client. The first step
// that needs a connection waits for one; messages are cut by parsing, since
// clients need not send line ends; replies take the id of the last message. A
// step that does not come about fails the test, and says which one it was, what
// it wanted and what came instead.
//
// # Who may call what at once
//
// The methods of a Server, a [Player] and a [PipeConn] may be called by any
// goroutine at any time. A handler must not call Close of its Server, which
// waits for it. Handlers of one client run one after another, those of several
// clients, and those made by HandleOOB, at once. A [Peer] belongs to the step
// that has been given it.
//
// # Traps
//
//   - In a bubble of testing/synctest use Memory: time does not advance while a
//     goroutine waits for a real socket. Make the Server, the script or the Pipe
//     inside the bubble. A socket in a bubble, and what was made elsewhere, is an
//     error that says so.
//   - A handler, or a function given to Do or ExpectFunc, must return. One that
//     calls t.FailNow or t.Fatal ends its goroutine: its connection or its script
//     ends, and the test fails.
//   - A script fails the test if the client has not hung up in the end; see
//     ScriptOptions.MayStop. Its limit, 10 s, counts from its beginning.
//   - A script reads only in steps that want a message, or the end. A client
//     that sends more than the buffers hold waits during all others.
//   - One client at a time is served, unless Options.ManyClients: a second one
//     connects, and waits for a greeting that does not come.
//   - A machine whose client has eight commands waiting behind the one being
//     executed reads nothing more from it, as QEMU does where out-of-band
//     execution is enabled. Then it does not see a hang-up either.
//   - Where out-of-band execution is not enabled, QEMU reads nothing while a
//     command is executed; a Server reads on, and records what comes.
package qmptest
