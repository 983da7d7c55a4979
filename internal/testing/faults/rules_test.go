package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// rules are the engine's, one after another.
var rules = []fault{
	{
		rule: "E1", what: "a command without a connection", then: "nothing is dialled",
		script: qmptest.ScriptOptions{MayStop: true},
		run: func(a *attempt) {
			_, err := a.execute(connectLimit, "x", nil)
			a.ends("the command", err, "StateError")
			a.says(err, "IDLE", "RUNNING")
			_, err = a.next(connectLimit)
			a.ends("an event wait", err, "StateError")
			a.ends("Disconnect", a.end(), "no error")
			a.took(0)
			a.wasDialled(0)
		},
	},
	{
		rule: "E1", what: "a second connect", then: "the connection lives on",
		steps: script("", qmptest.Expect("x"), qmptest.Return(`1`)),
		run: func(a *attempt) {
			a.connected()
			err := a.connect()
			a.ends("connect", err, "StateError")
			a.says(err, "RUNNING", "IDLE")
			a.gives("x", `1`)
			a.wasDialled(1)
		},
	},
	{
		rule: "E1", what: "an end that nobody asked for", then: "until Disconnect has collected the cause; then the client connects again",
		steps: append(script("", qmptest.Pause(time.Second), qmptest.HangUp(), qmptest.Accept()), script("", qmptest.Expect("x"), qmptest.Return(`1`))...),
		run: func(a *attempt) {
			a.connected()
			time.Sleep(2 * time.Second)
			_, err := a.execute(connectLimit, "x", nil)
			a.ends("the command", err, "StateError")
			a.says(err, "DISCONNECTING")
			a.ends("connect", a.connect(), "StateError")
			a.ends("Disconnect", a.end(), "io.EOF")
			a.ends("the second Disconnect", a.end(), "no error")
			a.connected()
			a.gives("x", `1`)
		},
	},
	{
		rule: "E1", what: "a failed connect", then: "the client is idle, and connects again",
		steps: append([]qmptest.Step{qmptest.HangUp(), qmptest.Accept()}, script("")...),
		run: func(a *attempt) {
			a.ends("connect", a.connect(), "ConnectError, io.EOF")
			if s := a.engine().Runstate(); s != async.Idle {
				a.Errorf("the client is %v", s)
			}
			a.connected()
		},
	},
	{
		rule: "E1", what: "a listening client's peer that hangs up", then: "the client is idle, and does not listen any more",
		script: qmptest.ScriptOptions{Network: qmptest.Unix, DialTo: "the client"},
		steps:  []qmptest.Step{qmptest.Accept(), qmptest.HangUp(), qmptest.AwaitMark("accepted"), qmptest.DialFails()},
		run: func(a *attempt) {
			a.ends("accept", a.accept(), "ConnectError, io.EOF")
			if s := a.engine().Runstate(); s != async.Idle {
				a.Errorf("the client is %v", s)
			}
			a.player.Mark("accepted")
			a.player.Wait() // before the end, which would stop the listening by itself
			if addr := a.engine().ListenAddr(); addr != nil {
				a.Errorf("it listens at %v", addr)
			}
		},
	},
	{
		rule: "E2", what: "fifty connections, one after another", then: "nothing is left of any",
		steps: fiftyTimes(),
		run: func(a *attempt) {
			for range 50 {
				a.connected()
				a.gives("x", `1`)
				a.ends("Disconnect", a.end(), "no error")
			}
		},
	},
	{
		rule: "E3", what: "events and a reply in one packet", then: "the events are there when the call returns, in their order",
		steps: script("", qmptest.Expect("x"), qmptest.Send(`{"event": "A"}{"event": "B"}{"event": "A"}{"return": 1, "id": 2}`)),
		run: func(a *attempt) {
			a.connected()
			a.gives("x", `1`)
			a.hears("A", "B", "A")
		},
	},
	{
		rule: "E4", what: "a limit that has expired before the call", then: "nothing is sent",
		steps: script("", qmptest.Expect("y"), qmptest.Return(`1`)),
		run: func(a *attempt) {
			a.connected()
			_, err := a.execute(-1, "x", nil)
			a.ends("the command", err, "ExecInterruptedError (not sent), context.DeadlineExceeded")
			a.gives("y", `1`)
		},
	},
	{
		rule: "E4", what: "a limit that ends while the command is partly written", then: "it is finished, and the next one is whole",
		script: qmptest.ScriptOptions{PipeSize: 100},
		steps:  script("", qmptest.Pause(2*time.Second), qmptest.Expect("big"), qmptest.Return(`0`), qmptest.Expect("y"), qmptest.Return(`1`)),
		run: func(a *attempt) {
			a.connected()
			_, err := a.execute(time.Second, "big", map[string]any{"x": long})
			a.ends("the command", err, "ExecInterruptedError (sent), context.DeadlineExceeded")
			a.took(time.Second)
			a.gives("y", `1`)
		},
	},
	{
		rule: "E4", what: "a limit that ends while the command waits for another's bytes", then: "it is never sent",
		script: qmptest.ScriptOptions{PipeSize: 100},
		steps:  script("", qmptest.Pause(2*time.Second), qmptest.Expect("big"), qmptest.Return(`0`), qmptest.Expect("y"), qmptest.Return(`1`)),
		run: func(a *attempt) {
			a.connected()
			big := a.pending(0, "big", map[string]any{"x": long})
			_, err := a.execute(time.Second, "x", nil)
			a.ends("the command", err, "ExecInterruptedError (not sent), context.DeadlineExceeded")
			a.took(time.Second)
			r := <-big
			a.is("big", r.value, r.err, `0`)
			a.gives("y", `1`)
		},
	},
	{
		rule: "E5", what: "an event wait while this side disconnects",
		steps: script(""),
		run: func(a *attempt) {
			a.connected()
			waits := a.waiting()
			a.ends("Disconnect", a.end(), "no error")
			a.heard(<-waits, nil, "ErrClosed")
			a.took(0)
		},
	},
	{
		rule: "E5", what: "an end behind unread events", then: "the events come first, then the cause, then the next connection's",
		steps: append(script("", events(2), qmptest.Pause(time.Second), qmptest.HangUp(), qmptest.Accept()), script("", qmptest.Event("NEXT", ""))...),
		run: func(a *attempt) {
			a.connected()
			time.Sleep(2 * time.Second)
			for range 2 {
				ev, err := a.next(connectLimit)
				a.is("the event", ev, err, "MANY")
			}
			_, err := a.next(connectLimit)
			a.ends("the third read", err, "ExecInterruptedError, io.EOF")
			a.ends("Disconnect", a.end(), "io.EOF")
			a.connected()
			ev, err := a.next(connectLimit)
			a.is("the event", ev, err, "NEXT")
		},
	},
	{
		rule: "E5", what: "10,000 events past a listener of ten", then: "commands are answered, and the newest ten are there",
		steps: script("", qmptest.Expect("x"), events(9990), qmptest.Return(`1`), qmptest.Expect("y"), qmptest.Send(strings.Repeat(`{"event": "NEW"}`+"\r\n", 10)), qmptest.Return(`2`)),
		run: func(a *attempt) {
			// Of the engine: the layers above have their own queue.
			l := a.engine().NewListener(&async.ListenerOptions{Limit: 10})
			defer l.Close()
			a.connected()
			a.gives("x", `1`)
			a.gives("y", `2`)
			_, err := l.Next(context.Background())
			a.ends("the first read", err, "OverflowError")
			if e, ok := errors.AsType[*async.OverflowError](err); ok && e.Lost != 9990 {
				a.Errorf("it says that %d were lost, want 9990", e.Lost)
			}
			got, err := l.Drain()
			if err != nil || len(got) != 10 || slices.ContainsFunc(got, func(ev async.Event) bool { return ev.Name != "NEW" }) {
				a.Errorf("behind that: got %v and error %v, want ten times NEW", got, err)
			}
		},
	},
	ends("E6", "end of file with a command pending", "io.EOF", qmptest.HangUp()),
	ends("E6", "a reset with a command pending", "ECONNRESET", qmptest.Reset()),
	ends("E6", "garbage with a command pending", "MessageError (not JSON)", qmptest.Send("\x00"), qmptest.ExpectEOF()),
	ends("E6", "a list with a command pending", "MessageError (not a JSON object)", qmptest.Send("[1]"), qmptest.ExpectEOF()),
	{
		rule: "E6", what: "this side disconnects with a command pending", then: "at once",
		steps: script("", qmptest.Expect("x")),
		run: func(a *attempt) {
			a.connected()
			call := a.pending(0, "x", nil)
			a.ends("Disconnect", a.end(), "no error")
			a.ends("the command", (<-call).err, "ExecInterruptedError (sent), ErrClosed")
			a.took(0)
		},
	},
	{
		rule: "E7", what: "replies to ids that nobody has used, a success without id, a second greeting, an object that is nothing", then: "they are dropped and logged, and the command gets its reply",
		steps: script("", qmptest.Expect("x"),
			qmptest.Send(`{"return": 0, "id": 77}{"return": 0, "id": "77"}{"return": 0, "id": null}{"return": 0, "id": [1]}{"return": 0, "id": {"a": 1}}{"return": 0, "id": 2.5}`),
			qmptest.Send(`{"return": 0}{"QMP": {"version": {}, "capabilities": []}}{}{"x": 1}{"error": {"class": "C", "desc": "D"}, "id": 99}`),
			qmptest.Return(`1`)),
		run: func(a *attempt) {
			a.connected()
			a.gives("x", `1`)
			a.hears()
			if n := strings.Count(a.log.String(), "message dropped"); n != 11 {
				a.Errorf("%d messages are logged as dropped, want 11:\n%s", n, a.log)
			}
		},
	},
	{
		rule: "E7", what: "an error without id while the only command is one that takes it", then: "it is that command's reply, and the connection lives on",
		steps: script("", qmptest.Expect("x"), qmptest.ReturnError("GenericError", "JSON parse error", qmptest.NoID()), qmptest.Expect("y"), qmptest.Return(`1`)),
		run: func(a *attempt) {
			a.connected()
			got, err := a.unattributed("x")
			if err != nil || !strings.Contains(got, "JSON parse error") {
				a.Errorf("got %s and error %v", got, err)
			}
			a.gives("y", `1`)
		},
	},
	ends("E7", "an error without id while an ordinary command is pending", "ServerParseError", qmptest.ReturnError("GenericError", "JSON parse error", qmptest.NoID()), qmptest.ExpectEOF()),
	{
		rule: "E7", what: "a late error without id, of a command that was given up, while another is pending", then: "the other does not get it",
		steps: script("", qmptest.Expect("x"), qmptest.Expect("y"), qmptest.ReturnError("GenericError", "JSON parse error", qmptest.NoID()), qmptest.ExpectEOF()),
		run: func(a *attempt) {
			a.connected()
			_, err := a.execute(time.Second, "x", nil)
			a.ends("the command", err, "ExecInterruptedError (sent), context.DeadlineExceeded")
			_, err = a.unattributed("y")
			a.ends("the other", err, "ExecInterruptedError (sent), ServerParseError")
		},
	},
	{
		rule: "E7", what: "an error without id while nothing is pending",
		steps: script("", qmptest.Pause(time.Second), qmptest.ReturnError("GenericError", "JSON parse error", qmptest.NoID()), qmptest.ExpectEOF()),
		run: func(a *attempt) {
			a.connected()
			a.heard(<-a.waiting(), nil, "ExecInterruptedError, ServerParseError")
			a.took(time.Second)
		},
	},
	{
		rule: "E7", what: "an error without id to qmp_capabilities",
		steps: []qmptest.Step{qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.ReturnError("GenericError", "not for you", qmptest.NoID())},
		run: func(a *attempt) {
			err := a.connect()
			a.ends("connect", err, "ConnectError, NegotiationError")
			a.says(err, "GenericError", "not for you")
		},
	},
	{
		rule: "E7", what: "arguments that QEMU could not read: lone surrogates, repeated keys, NaN, a list, over 1,000 levels", then: "nothing is sent, and the next command is answered",
		steps: script("", qmptest.Expect("x"), qmptest.Return(`1`)),
		run: func(a *attempt) {
			a.connected()
			for _, args := range []string{
				`{"a": "\ud800"}`,
				`{"a": 1, "a": 2}`,
				`{"a": NaN}`,
				`[]`,
			} {
				_, err := a.execute(connectLimit, "bad", json.RawMessage(args))
				a.ends("the command", err, "MessageError (refused before sending)")
			}
			_, err := a.execute(connectLimit, "bad", json.RawMessage(`{"a": `+strings.Repeat("[", 1001)+strings.Repeat("]", 1001)+`}`))
			a.ends("one of too many levels", err, "MessageError (too deep)")
			a.gives("x", `1`)
		},
	},
	{
		rule: "E8", what: "a ninth command behind eight unanswered ones, with oob", then: "it names the oldest one; an out-of-band command passes at once",
		steps: script("oob", times(8, qmptest.Expect("slow"),
			qmptest.ExpectOOB("urgent"), qmptest.Return(`1`),
			qmptest.Return(`1`, qmptest.Oldest()), qmptest.Return(`2`, qmptest.Oldest()), qmptest.Return(`3`, qmptest.Oldest()), qmptest.Return(`4`, qmptest.Oldest()),
			qmptest.Return(`5`, qmptest.Oldest()), qmptest.Return(`6`, qmptest.Oldest()), qmptest.Return(`7`, qmptest.Oldest()), qmptest.Return(`8`, qmptest.Oldest()))...),
		run: func(a *attempt) {
			a.connected()
			var calls []<-chan result
			for range 8 {
				calls = append(calls, a.pending(0, "slow", nil))
			}
			_, err := a.execute(time.Second, "ninth", nil)
			a.ends("the ninth", err, "ExecInterruptedError (not sent), context.DeadlineExceeded")
			a.says(err, "the oldest of them slow")
			a.took(time.Second)
			got, err := a.executeOOB(connectLimit, "urgent")
			a.is("urgent", got, err, `1`)
			for i, call := range calls {
				r := <-call
				a.is("slow", r.value, r.err, string(rune('1'+i)))
			}
			a.took(0)
		},
	},
	{
		rule: "E8", what: "eight unanswered commands that were given up, with oob", then: "an out-of-band command passes at once, and a reply to one of them makes room for the next command",
		steps: script("oob", times(8, qmptest.Expect("slow"), qmptest.ExpectOOB("urgent"), qmptest.Return(`1`),
			qmptest.Pause(20*time.Second), qmptest.Return(`"late"`, qmptest.Oldest()), qmptest.Expect("x"), qmptest.Return(`2`))...),
		run: func(a *attempt) {
			a.connected()
			for range 8 {
				_, err := a.execute(time.Second, "slow", nil)
				a.ends("each", err, "ExecInterruptedError (sent), context.DeadlineExceeded")
			}
			_, err := a.execute(time.Second, "ninth", nil)
			a.ends("the ninth", err, "ExecInterruptedError (not sent), context.DeadlineExceeded")
			got, err := a.executeOOB(connectLimit, "urgent")
			a.is("urgent", got, err, `1`)
			a.took(9 * time.Second)
			got, err = a.execute(0, "x", nil)
			a.is("x", got, err, `2`)
			a.took(20 * time.Second)
		},
	},
	{
		rule: "E8", what: "an out-of-band command without oob", then: "nothing is sent",
		steps: script(""),
		run: func(a *attempt) {
			a.connected()
			_, err := a.executeOOB(connectLimit, "urgent")
			a.ends("the command", err, "ErrNoOOB")
		},
	},
	{
		rule: "E9", what: "a reply over MaxMessage", then: "the error names the bound and the option",
		options: async.Options{MaxMessage: 4096},
		steps:   script("", qmptest.Expect("x"), qmptest.Return(long), qmptest.ExpectEOF()),
		run: func(a *attempt) {
			a.connected()
			_, err := a.execute(connectLimit, "x", nil)
			a.ends("the command", err, "ExecInterruptedError (sent), MessageError (too large)")
			a.says(err, "4096", "MaxMessage")
			a.ends("Disconnect", a.end(), "MessageError (too large)")
		},
	},
	{
		rule: "E9", what: "a command over MaxMessage", then: "nothing is sent, and the next command is answered",
		options: async.Options{MaxMessage: 4096},
		steps:   script("", qmptest.Expect("x"), qmptest.Return(`1`)),
		run: func(a *attempt) {
			a.connected()
			_, err := a.execute(connectLimit, "big", map[string]any{"x": long})
			a.ends("the command", err, "MessageError (too large)")
			a.gives("x", `1`)
		},
	},
	{
		rule: "E9", what: "a reply of 10,000 levels", then: "it arrives",
		steps: script("", qmptest.Expect("x"), qmptest.Return(strings.Repeat("[", 9999)+strings.Repeat("]", 9999))),
		run: func(a *attempt) {
			a.connected()
			a.gives("x", strings.Repeat("[", 9999)+strings.Repeat("]", 9999))
		},
	},
	ends("E9", "a reply of 10,001 levels", "MessageError (too deep)",
		qmptest.Send(`{"return": `+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)+"}"), qmptest.ExpectEOF()),
	{
		rule: "E10", what: "messages that touch, repeated keys, invalid UTF-8", then: "all are read; the last key wins, and U+FFFD stands for what is invalid",
		script: qmptest.ScriptOptions{LineEnd: qmptest.NoLineEnd},
		steps:  script("", qmptest.Event("A", ""), qmptest.Event("B", ""), qmptest.Expect("x"), qmptest.Send("{\"return\": 0, \"return\": [\"\xff\"], \"id\": 2}")),
		run: func(a *attempt) {
			a.connected()
			got, err := a.execute(connectLimit, "x", nil)
			var v []string
			if err == nil {
				err = json.Unmarshal([]byte(got), &v)
			}
			if err != nil || len(v) != 1 || v[0] != "\ufffd" {
				a.Errorf("got %q and error %v", v, err)
			}
			a.hears("A", "B")
		},
	},
	{
		rule: "E11", what: "a peer that does not read, while a command is written", then: "Disconnect closes hard at its limit",
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
		rule: "E11", what: "the same, and Close in place of Disconnect", then: "at once",
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
		rule: "E11", what: "ten goroutines disconnect at once, and once more", then: "all return at once",
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
		rule: "E11", what: "a peer that has hung up, met by a write", then: "the cause is what the reader finds, and the write's error is attached",
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
		rule: "E13", what: "an end with a command pending, and a new connection", then: "only what is asked then is sent",
		steps: append(script("", qmptest.Expect("x"), qmptest.HangUp(), qmptest.Accept()), script("", qmptest.Expect("y"), qmptest.Return(`1`), qmptest.ExpectNothing(time.Minute))...),
		run: func(a *attempt) {
			a.connected()
			_, err := a.execute(connectLimit, "x", nil)
			a.ends("the command", err, "ExecInterruptedError (sent), io.EOF")
			a.ends("Disconnect", a.end(), "io.EOF")
			a.connected()
			a.gives("y", `1`)
			time.Sleep(2 * time.Minute) // the script's is over then
		},
	},
	{
		rule: "E14", what: "a socket that is not there at first, with Options.Backoff", then: "it is waited for",
		options: async.Options{Backoff: everySecond},
		steps:   script(""),
		run: func(a *attempt) {
			a.failDials(2, syscall.ENOENT)
			a.connected()
			a.took(2 * time.Second)
		},
	},
	{
		rule: "E14", what: "a socket that never comes", then: "when the policy gives up, with the number of attempts",
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
		rule: "E14", what: "a socket that may not be used, with Options.Backoff", then: "it is dialled once",
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
		rule: "E14", what: "a handshake that fails, with Options.Backoff", then: "it is not repeated",
		options: async.Options{Backoff: everySecond},
		steps:   []qmptest.Step{qmptest.HangUp()},
		run: func(a *attempt) {
			a.ends("connect", a.connect(), "ConnectError, io.EOF")
			a.wasDialled(1)
		},
	},
	{
		rule: "E15", what: "a descriptor for a connection that cannot take one", then: "nothing is sent, and the next command is answered",
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
		rule: "E15", what: "a peer that hangs up when it has taken a descriptor", then: "the file stays the caller's",
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
		rule: "E15", what: "a second command with a descriptor behind an unanswered one, with oob", then: "it is not sent, and the next one travels alone; a command without is not held up",
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
		rule: "E16", what: "hooks that put another command and another reply in the place of the first", then: "the server gets the one, and the caller the other",
		options: async.Options{OnSend: replace("asked", "said"), OnReceive: replace("answered", "heard")},
		steps:   script("", qmptest.Expect("said"), qmptest.Return(`"answered"`)),
		run: func(a *attempt) {
			a.connected()
			a.gives("asked", `"heard"`)
		},
	},
	{
		rule: "E16", what: "a hook that makes a command into what QEMU could not read", then: "nothing is sent, and the next command is answered",
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
		rule: "E16", what: "a hook that makes a reply into what is no JSON object", then: "the connection ends",
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
		rule: "E16", what: "a secret in a command, and the log at debug", then: "the command is logged without it",
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

// ends is a fault that ends the connection under a pending command, for the
// same cause everywhere.
func ends(rule, what, cause string, steps ...qmptest.Step) fault {
	return fault{
		rule: rule, what: what, then: "at once",
		steps: script("", append([]qmptest.Step{qmptest.Expect("x"), qmptest.Pause(time.Second)}, steps...)...),
		run: func(a *attempt) {
			a.connected()
			events := a.waiting()
			_, err := a.execute(0, "x", nil)
			a.took(time.Second)
			a.ends("the command", err, "ExecInterruptedError (sent), "+cause)
			a.heard(<-events, nil, "ExecInterruptedError, "+cause)
			a.took(0)
			synctest.Wait()
			a.ends("Disconnect", a.end(), cause)
		},
	}
}

func fiftyTimes() (steps []qmptest.Step) {
	for range 50 {
		steps = append(append(steps, qmptest.Accept()), script("", qmptest.Expect("x"), qmptest.Return(`1`), qmptest.ExpectEOF())...)
	}
	return steps
}

// times is n times the first step, and then the others.
func times(n int, step qmptest.Step, others ...qmptest.Step) (steps []qmptest.Step) {
	for range n {
		steps = append(steps, step)
	}
	return append(steps, others...)
}

// takesFile waits for a descriptor, with its command or, from the legacy layer,
// ahead of it.
func takesFile() qmptest.Step {
	return qmptest.Do("take a descriptor", func(p *qmptest.Peer) error {
		m, err := p.Next()
		if err == nil && m.FDs != 1 {
			err = fmt.Errorf("%d descriptors came with %s, want 1", m.FDs, m.Raw)
		}
		return err
	})
}

// replace is a hook that puts other texts in the place of text, in messages that
// have all of these in them.
func replace(text, other string, in ...string) func(json.RawMessage) json.RawMessage {
	return func(m json.RawMessage) json.RawMessage {
		for _, t := range append(in, text) {
			if !bytes.Contains(m, []byte(t)) {
				return nil
			}
		}
		return bytes.ReplaceAll(m, []byte(text), []byte(other))
	}
}

// wasDialled requires how often the client has dialled.
func (a *attempt) wasDialled(n int) {
	a.Helper()
	if a.dialled != n {
		a.Errorf("dialled %d times, want %d", a.dialled, n)
	}
}

func everySecond() async.Backoff {
	return backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Second), 3)
}
