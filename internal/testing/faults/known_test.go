package faults

import (
	"time"

	"github.com/goqmp/qmp/async/qmptest"
)

// known are failures that users of other clients have reported.
var known = []fault{
	{
		rule: "E9", what: "a reply of more than 64 KiB", then: "it arrives, and so does the next",
		steps: script("", qmptest.Expect("x"), qmptest.Return(long), qmptest.Expect("y"), qmptest.Return(`1`)),
		run: func(a *attempt) {
			a.connected()
			a.gives("x", long)
			a.gives("y", `1`)
		},
	},
	{
		rule: "E12", what: "an event between qmp_capabilities and its reply", then: "the listener gets it, and each command gets its own reply",
		steps: []qmptest.Step{
			qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Event("BETWEEN", ""), qmptest.Return(`{}`),
			qmptest.Expect("x"), qmptest.Return(`1`), qmptest.Expect("y"), qmptest.Return(`2`),
		},
		run: func(a *attempt) {
			a.connected()
			a.gives("x", `1`)
			a.gives("y", `2`)
			a.hears("BETWEEN")
		},
	},
	{
		rule: "E12", what: "events before the greeting", then: "the listener gets them, and the connection is made",
		steps: append([]qmptest.Step{qmptest.Event("EARLY", ""), qmptest.Event("EARLIER", "")}, script("")...),
		run: func(a *attempt) {
			a.connected()
			a.hears("EARLY", "EARLIER")
		},
	},
	{
		rule: "E5", what: "10,000 events that nobody reads", then: "commands are answered, and the events can be read afterwards (qmpsync keeps the newest 1,000)",
		steps: script("", qmptest.Expect("x"), events(10_000), qmptest.Return(`1`), qmptest.Expect("y"), qmptest.Return(`2`)),
		run: func(a *attempt) {
			a.connected()
			a.gives("x", `1`)
			a.gives("y", `2`)
			want := 10_000
			if a.layer == "qmpsync" {
				want = 1000
				_, err := a.poll()
				a.ends("the first read", err, "OverflowError")
			}
			for range want {
				if ev, err := a.poll(); ev != "MANY" {
					a.Fatalf("got event %q and error %v, want %d times MANY", ev, err, want)
				}
			}
			a.hears()
		},
	},
	{
		rule: "E12", what: "a peer that never greets", then: "the connect ends exactly at its time limit",
		steps: []qmptest.Step{qmptest.Stall()},
		run: func(a *attempt) {
			err := a.connect()
			a.ends("connect", err, "ConnectError, GreetingError, context.DeadlineExceeded")
			a.says(err, "another client")
			a.took(connectLimit)
		},
	},
	{
		rule: "E4", what: "a late reply to a canceled command", then: "the next command gets its own reply",
		steps: script("", qmptest.Expect("slow"), qmptest.Pause(2*time.Second), qmptest.Return(`"late"`),
			qmptest.Expect("next"), qmptest.Return(`"its own"`)),
		run: func(a *attempt) {
			a.connected()
			_, err := a.execute(time.Second, "slow", nil)
			a.ends("the command", err, "ExecInterruptedError (sent), context.DeadlineExceeded")
			a.took(time.Second)
			a.gives("next", `"its own"`)
		},
	},
	{
		rule: "E5", what: "the machine dies while a caller waits for an event", then: "the wait ends at once",
		steps: script("", qmptest.Event("LAST", ""), qmptest.Pause(time.Second), qmptest.HangUp()),
		run: func(a *attempt) {
			a.connected()
			a.heard(<-a.waiting(), []string{"LAST"}, "ExecInterruptedError, io.EOF")
			a.took(time.Second)
		},
	},
	{
		rule: "E11", what: "a hang-up directly after the reply to quit", then: "the reply arrives",
		steps: script("", qmptest.Expect("quit"), qmptest.Return(`{}`), qmptest.HangUp()),
		run: func(a *attempt) {
			a.connected()
			a.gives("quit", `{}`)
			<-a.waiting()
			a.ends("Disconnect", a.end(), "io.EOF")
		},
	},
	{
		rule: "E11", what: "a reset directly after the reply to quit", then: "the reply arrives, and the reset counts as an end of file",
		steps: script("", qmptest.Expect("quit"), qmptest.Return(`{}`), qmptest.Reset()),
		run: func(a *attempt) {
			a.connected()
			a.gives("quit", `{}`)
			<-a.waiting()
			a.ends("Disconnect", a.end(), "io.EOF")
		},
	},
	{
		rule: "E10", what: "integers beyond 2^53, sent and received", then: "they are exact",
		steps: script("", qmptest.Expect("x", `{"n": 18446744073709551615}`), qmptest.Return(`[9007199254740993, -9223372036854775808, 18446744073709551615]`)),
		run: func(a *attempt) {
			a.connected()
			got, err := a.execute(connectLimit, "x", map[string]any{"n": uint64(1<<64 - 1)})
			a.is("x", got, err, `[9007199254740993, -9223372036854775808, 18446744073709551615]`)
		},
	},
	{
		rule: "E10", what: "a monitor that spreads each message over many lines (pretty=on)", then: "its messages are read like others",
		script: qmptest.ScriptOptions{Pretty: true},
		steps:  script("oob", qmptest.Event("E", `{"a": [1, 2]}`), qmptest.Expect("x"), qmptest.Return(`{"b": {"c": []}}`)),
		run: func(a *attempt) {
			a.connected()
			a.gives("x", `{"b": {"c": []}}`)
			a.hears("E")
		},
	},
}
