// Package qmptest provides QMP servers for tests, as net/http/httptest does for
// HTTP: a simulated machine, scripts that play a server step by step, faults
// included, recordings, and a Pipe to run them in memory.
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
// A [Server] knows a handful of commands: query-version, query-status,
// query-name, query-commands, query-qmp-schema, stop, cont, system_reset,
// system_powerdown, quit, human-monitor-command, yank and query-yank. It behaves
// as QEMU 7.2 does: it sends the events of a command before the reply, uses
// QEMU's error texts, and refuses commands before the negotiation. Once the
// client has enabled out-of-band execution, out-of-band commands overtake the
// others. [Server.Handle] adds commands, [Server.Emit] sends events.
//
// # Scripts
//
// [Script] and the functions whose names begin with Script play a list of [Step]
// to a client. The first step that needs a connection waits for one. The script
// finds the end of a message by parsing, since clients need not send line ends.
// A reply takes the id of the last message. A step that fails makes the test
// fail. The failure says which step it was, what it wanted, and what came
// instead.
//
// # Recordings
//
// [Replay] and [ReplayFile] play a recording, which package record has written while a real
// QEMU ran. A failure that was recorded once happens again in each run of a test, without
// QEMU:
//
//	func TestFailureOfTuesday(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			vm := qmptest.ReplayFile(t, nil, "testdata/tuesday.qmp.jsonl")
//			c := async.New(&async.Options{Dialer: vm.Dial})
//			defer c.Close()
//			// ... what the program did
//		})
//	}
//
// # Who may call what concurrently
//
// The methods of a Server, a [Player] and a [PipeConn] may be called by any
// goroutine at any time, except [Player.AwaitMark], which is for the test's own
// goroutine. A handler must not call Close of its Server, because
// Close waits for the handler. Handlers of one client run one after another.
// Handlers of several clients run concurrently, and so do the handlers of
// out-of-band commands (HandleOOB). A [Peer] belongs to the step that has been
// given it.
//
// # Traps
//
//   - In a bubble of testing/synctest use Memory: time does not advance while a
//     goroutine waits for a real socket. Make the Server, the script or the Pipe
//     inside the bubble. Using a real socket in a bubble, or something that was
//     made outside of it, is an error that says so.
//   - A handler, or a function given to Do or ExpectFunc, must return. One that
//     calls t.FailNow or t.Fatal ends its goroutine: its connection or its script
//     ends, and the test fails.
//   - A script fails the test if the client does not hang up after the last
//     step; see ScriptOptions.MayStop. The script's time limit, 10 s, counts
//     from its beginning.
//   - A script reads only in steps that wait for a message or for the client to
//     hang up. During other steps, a client that sends more than the buffers
//     hold has to wait.
//   - A Server serves one client at a time, unless Options.ManyClients is set: a
//     second one can connect, but gets no greeting until the first has hung up.
//   - Where out-of-band execution is enabled, a Server reads nothing more from a
//     client that has eight commands waiting besides the one being executed, as
//     QEMU does. Then the Server does not notice a hang-up either.
//   - Where out-of-band execution is not enabled, QEMU reads nothing while it
//     executes a command. A Server reads on, and records what comes.
package qmptest
