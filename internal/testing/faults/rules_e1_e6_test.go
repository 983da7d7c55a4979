package faults

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// rulesE1toE6 are the faults of the rules about run states, what is left, events,
// calls that are canceled, listeners, and the end of a connection.
var rulesE1toE6 = []fault{
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
		rule: "E1", what: "a second connect", then: "the connection stays usable",
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
		rule: "E1", what: "a connection that the peer ends, and calls after that", then: "the calls fail until Disconnect has returned the cause; then the client can connect again",
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
		rule: "E1", what: "a failed connect", then: "the client is idle, and can connect again",
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
		rule: "E1", what: "a peer that connects to a listening client and hangs up", then: "the client is idle, and does not listen any more",
		script: qmptest.ScriptOptions{Network: qmptest.Unix, DialTo: "the client"},
		steps:  []qmptest.Step{qmptest.Accept(), qmptest.HangUp(), qmptest.AwaitMark("accepted"), qmptest.DialFails()},
		run: func(a *attempt) {
			a.ends("accept", a.accept(), "ConnectError, io.EOF")
			if s := a.engine().Runstate(); s != async.Idle {
				a.Errorf("the client is %v", s)
			}
			a.player.Mark("accepted")
			a.player.Wait() // before Disconnect, which would stop listening, too
			if addr := a.engine().ListenAddr(); addr != nil {
				a.Errorf("the client still listens at %v", addr)
			}
		},
	},
	{
		rule: "E2", what: "fifty connections, one after another", then: "nothing is left of any of them",
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
		rule: "E3", what: "events and a reply in one packet", then: "the events are in the queue when the call returns, in their order",
		steps: script("", qmptest.Expect("x"), qmptest.Send(`{"event": "A"}{"event": "B"}{"event": "A"}{"return": 1, "id": 2}`)),
		run: func(a *attempt) {
			a.connected()
			a.gives("x", `1`)
			a.hears("A", "B", "A")
		},
	},
	{
		rule: "E4", what: "a time limit that has expired before the call", then: "nothing is sent",
		steps: script("", qmptest.Expect("y"), qmptest.Return(`1`)),
		run: func(a *attempt) {
			a.connected()
			_, err := a.execute(-1, "x", nil)
			a.ends("the command", err, "ExecInterruptedError (not sent), context.DeadlineExceeded")
			a.gives("y", `1`)
		},
	},
	{
		rule: "E4", what: "a time limit that expires when a part of the command is written", then: "the rest is written, and the next command is answered",
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
		rule: "E4", what: "a time limit that expires while the command waits for another one to be written", then: "it is never sent",
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
		rule: "E5", what: "a connection that ends while events are unread", then: "the events come first, then the cause, then the events of the next connection",
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
		rule: "E5", what: "10,000 events for a listener with a limit of ten", then: "commands are answered, and the listener keeps the newest ten",
		steps: script("", qmptest.Expect("x"), events(9990), qmptest.Return(`1`), qmptest.Expect("y"), qmptest.Send(strings.Repeat(`{"event": "NEW"}`+"\r\n", 10)), qmptest.Return(`2`)),
		run: func(a *attempt) {
			// The engine's listener, because the other layers have a queue of their own.
			l := a.engine().NewListener(&async.ListenerOptions{Limit: 10})
			defer l.Close()
			a.connected()
			a.gives("x", `1`)
			a.gives("y", `2`)
			_, err := l.Next(context.Background())
			a.ends("the first read", err, "OverflowError")
			if e, ok := errors.AsType[*async.OverflowError](err); ok && e.Lost != 9990 {
				a.Errorf("the error says that %d events were lost, want 9990", e.Lost)
			}
			got, err := l.Drain()
			if err != nil || len(got) != 10 || slices.ContainsFunc(got, func(ev async.Event) bool { return ev.Name != "NEW" }) {
				a.Errorf("after that: got %v and error %v, want ten times NEW", got, err)
			}
		},
	},
	endsPending("E6", "an end of file while a command is pending", "io.EOF", qmptest.HangUp()),
	endsPending("E6", "a reset while a command is pending", "ECONNRESET", qmptest.Reset()),
	endsPending("E6", "garbage while a command is pending", "MessageError (not JSON)", qmptest.Send("\x00"), qmptest.ExpectEOF()),
	endsPending("E6", "a list while a command is pending", "MessageError (not a JSON object)", qmptest.Send("[1]"), qmptest.ExpectEOF()),
	{
		rule: "E6", what: "this side disconnects while a command is pending", then: "the command ends at once",
		steps: script("", qmptest.Expect("x")),
		run: func(a *attempt) {
			a.connected()
			call := a.pending(0, "x", nil)
			a.ends("Disconnect", a.end(), "no error")
			a.ends("the command", (<-call).err, "ExecInterruptedError (sent), ErrClosed")
			a.took(0)
		},
	},
}
