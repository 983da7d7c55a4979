package faults

import (
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// rulesE11toE16 are the faults of the rules about Disconnect, the handshake, sending
// once, sockets that are not there yet, descriptors, and hooks and the log.
var rulesE11toE16 = []fault{
	{
		rule: "E11", what: "a peer that does not read, while a command is written", then: "at its time limit Disconnect closes the connection",
		script: qmptest.ScriptOptions{PipeSize: 100},
		steps:  script("", qmptest.StopReading()),
		run: func(a *attempt) {
			a.connected()
			call := a.pending(0, "big", map[string]any{"x": long})
			a.ends("Disconnect", a.end(), "context.DeadlineExceeded")
			a.took(closeLimit)
			a.ends("the command", (<-call).err, "ExecInterruptedError (sent), context.DeadlineExceeded")
		},
	},
	{
		rule: "E11", what: "the same, with Close instead of Disconnect", then: "all calls end at once",
		not:    map[string]string{"legacy": "(its Close is a Disconnect)"},
		script: qmptest.ScriptOptions{PipeSize: 100},
		steps:  script("", qmptest.StopReading()),
		run: func(a *attempt) {
			a.connected()
			call := a.pending(0, "big", map[string]any{"x": long})
			a.ends("Close", a.close(), "no error")
			a.took(0)
			a.ends("the command", (<-call).err, "ExecInterruptedError (sent), ErrClosed")
		},
	},
	{
		rule: "E11", what: "ten goroutines that disconnect concurrently, and a Disconnect after them", then: "all calls end at once",
		steps: script("", qmptest.Expect("x")),
		run: func(a *attempt) {
			a.connected()
			call := a.pending(0, "x", nil)
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() { a.ends("Disconnect", a.end(), "no error") })
			}
			wg.Wait()
			a.ends("the command", (<-call).err, "ExecInterruptedError (sent), ErrClosed")
			a.ends("Disconnect", a.end(), "no error")
			a.took(0)
		},
	},
	{
		rule: "E11", what: "a write to a peer that has hung up", then: "the cause is what the reader gets, with the write's error attached",
		steps: script("", qmptest.Expect("x"), qmptest.Return(`1`), qmptest.Pause(time.Second/2), qmptest.HangUp()),
		run: func(a *attempt) {
			a.connected()
			a.gives("x", `1`)
			a.failWrites(syscall.EPIPE)
			_, err := a.execute(connectLimit, "y", nil)
			a.ends("the command", err, "ExecInterruptedError (sent), io.EOF, EPIPE")
			a.took(time.Second / 2)
			a.ends("Disconnect", a.end(), "io.EOF, EPIPE")
		},
	},
	{
		rule: "E12", what: "a refused negotiation",
		steps: []qmptest.Step{qmptest.Greet("oob"), qmptest.Expect("qmp_capabilities"), qmptest.ReturnError("CommandNotFound", "Capability oob is not available")},
		run: func(a *attempt) {
			err := a.connect()
			a.ends("connect", err, "ConnectError, NegotiationError")
			a.says(err, "CommandNotFound", "Capability oob is not available")
		},
	},
	{
		rule: "E12", what: "a peer that speaks another protocol",
		steps: []qmptest.Step{qmptest.Send("SSH-2.0-OpenSSH_9.2\r\n"), qmptest.ExpectEOF()},
		run: func(a *attempt) {
			a.ends("connect", a.connect(), "ConnectError, GreetingError, MessageError (not JSON)")
			a.took(0)
		},
	},
	{
		rule: "E13", what: "a connection that ends while a command is pending, and a new connection", then: "only new commands are sent over the new connection",
		steps: append(script("", qmptest.Expect("x"), qmptest.HangUp(), qmptest.Accept()), script("", qmptest.Expect("y"), qmptest.Return(`1`), qmptest.ExpectNothing(time.Minute))...),
		run: func(a *attempt) {
			a.connected()
			_, err := a.execute(connectLimit, "x", nil)
			a.ends("the command", err, "ExecInterruptedError (sent), io.EOF")
			a.ends("Disconnect", a.end(), "io.EOF")
			a.connected()
			a.gives("y", `1`)
			time.Sleep(2 * time.Minute) // until the script's ExpectNothing is over
		},
	},
	{
		rule: "E14", what: "a socket that is not there at first, with Options.Backoff", then: "the connect waits for it",
		options: async.Options{Backoff: everySecond},
		steps:   script(""),
		run: func(a *attempt) {
			a.failDials(2, syscall.ENOENT)
			a.connected()
			a.took(2 * time.Second)
		},
	},
	{
		rule: "E14", what: "a socket that is never there, with Options.Backoff", then: "the connect ends when the policy gives up; the error has the number of attempts",
		options: async.Options{Backoff: everySecond},
		script:  qmptest.ScriptOptions{MayStop: true},
		run: func(a *attempt) {
			a.failDials(100, syscall.ECONNREFUSED)
			err := a.connect()
			a.ends("connect", err, "ConnectError, ECONNREFUSED")
			if e, ok := errors.AsType[*async.ConnectError](err); ok && e.Attempts != 4 {
				a.Errorf("got %d attempts, want 4", e.Attempts)
			}
			a.took(3 * time.Second)
		},
	},
	{
		rule: "E14", what: "a socket that this user may not connect to, with Options.Backoff", then: "there is one attempt",
		options: async.Options{Backoff: everySecond},
		script:  qmptest.ScriptOptions{MayStop: true},
		run: func(a *attempt) {
			a.failDials(100, syscall.EACCES)
			a.ends("connect", a.connect(), "ConnectError, EACCES")
			a.wasDialled(1)
			a.took(0)
		},
	},
	{
		rule: "E14", what: "a handshake that fails, with Options.Backoff", then: "there is one attempt",
		options: async.Options{Backoff: everySecond},
		steps:   []qmptest.Step{qmptest.HangUp()},
		run: func(a *attempt) {
			a.ends("connect", a.connect(), "ConnectError, io.EOF")
			a.wasDialled(1)
		},
	},
	{
		rule: "E15", what: "a descriptor over a connection that cannot send one", then: "nothing is sent, and the next command is answered",
		steps: script("", qmptest.Expect("x"), qmptest.Return(`1`)),
		run: func(a *attempt) {
			a.connected()
			_, err := a.sendFile(connectLimit, os.Stdin)
			a.ends("the call", err, "MessageError (refused before sending)")
			a.gives("x", `1`)
		},
	},
	{
		rule: "E15", what: "a file that has been closed", then: "the command is not sent, and the next one is answered",
		script: qmptest.ScriptOptions{Network: qmptest.Unix},
		steps:  script("", qmptest.Expect("x"), qmptest.Return(`1`)),
		run: func(a *attempt) {
			a.connected()
			r, w, err := os.Pipe()
			if err != nil {
				a.Fatal(err)
			}
			r.Close()
			w.Close()
			_, err = a.sendFile(connectLimit, r)
			a.ends("the call", err, "MessageError (refused before sending), EBADF")
			a.gives("x", `1`)
		},
	},
	{
		rule: "E15", what: "a peer that hangs up after it has received a descriptor", then: "the caller's file stays open",
		script: qmptest.ScriptOptions{Network: qmptest.Unix},
		steps:  script("", takesFile(), qmptest.HangUp()),
		run: func(a *attempt) {
			a.connected()
			r, w, err := os.Pipe()
			if err != nil {
				a.Fatal(err)
			}
			defer w.Close()
			_, err = a.sendFile(0, r)
			a.ends("the call", err, "ExecInterruptedError (sent), io.EOF")
			if err := r.Close(); err != nil {
				a.Error(err)
			}
		},
	},
	{
		rule: "E15", what: "a second command with a descriptor while the first is unanswered, with oob", then: "the second is not sent; a command without a descriptor does not wait; after the reply to the first, the next command brings its own file",
		not:    map[string]string{"legacy": "(SendFDSCM sends at once)"},
		script: qmptest.ScriptOptions{Network: qmptest.Unix},
		steps: script("oob", takesFile(), qmptest.Mark("the first has come"),
			qmptest.Expect("without"), qmptest.Return(`1`), qmptest.Return(`"first"`, qmptest.Back(1)),
			takesFile(), qmptest.Return(`"third"`)),
		run: func(a *attempt) {
			a.connected()
			first := make(chan result, 1)
			go func() {
				v, err := a.sendFile(0, os.Stdin)
				first <- result{v, err}
			}()
			a.player.AwaitMark("the first has come")
			_, err := a.sendFile(time.Second, os.Stdin)
			a.ends("the second", err, "ExecInterruptedError (not sent), context.DeadlineExceeded")
			a.gives("without", `1`)
			r := <-first
			a.is("the first", r.value, r.err, `"first"`)
			got, err := a.sendFile(0, os.Stdin)
			a.is("the third", got, err, `"third"`)
		},
	},
	{
		rule: "E16", what: "hooks that replace a command and its reply", then: "the server gets the new command, and the caller the new reply",
		options: async.Options{OnSend: replace("asked", "said"), OnReceive: replace("answered", "heard")},
		steps:   script("", qmptest.Expect("said"), qmptest.Return(`"answered"`)),
		run: func(a *attempt) {
			a.connected()
			a.gives("asked", `"heard"`)
		},
	},
	{
		rule: "E16", what: "a hook that replaces a command by something that QEMU could not read", then: "nothing is sent, and the next command is answered",
		options: async.Options{OnSend: replace(`"bad"`, `"\ud800"`)},
		steps:   script("", qmptest.Expect("x"), qmptest.Return(`1`)),
		run: func(a *attempt) {
			a.connected()
			_, err := a.execute(connectLimit, "bad", nil)
			a.ends("the command", err, "MessageError (refused before sending)")
			a.gives("x", `1`)
		},
	},
	{
		rule: "E16", what: "a hook that replaces a reply by something that is not a JSON object", then: "the connection ends",
		options: async.Options{OnReceive: replace(`}`, `]`, "answered")},
		steps:   script("", qmptest.Expect("x"), qmptest.Return(`"answered"`), qmptest.ExpectEOF()),
		run: func(a *attempt) {
			a.connected()
			_, err := a.execute(connectLimit, "x", nil)
			a.ends("the command", err, "ExecInterruptedError (sent), MessageError (not a JSON object)")
			a.says(err, "OnReceive")
			a.ends("Disconnect", a.end(), "MessageError (not a JSON object)")
		},
	},
	{
		rule: "E16", what: "a secret in a command, and the log at debug", then: "the log has the command without the secret",
		steps: script("", qmptest.Expect("object-add"), qmptest.ReturnError("GenericError", "no"), qmptest.HangUp()),
		run: func(a *attempt) {
			a.connected()
			_, err := a.execute(connectLimit, "object-add", map[string]any{"qom-type": "secret", "id": "s", "data": "hush"})
			a.ends("the command", err, "ExecuteError")
			<-a.waiting()
			a.end()
			log := a.log.String()
			if !strings.Contains(log, "object-add") || strings.Contains(log, "hush") {
				a.Errorf("the log is\n%s", log)
			}
			if n := strings.Count(log, "level=ERROR"); n != 1 {
				a.Errorf("the log has %d errors, want one for the end:\n%s", n, log)
			}
		},
	},
}
