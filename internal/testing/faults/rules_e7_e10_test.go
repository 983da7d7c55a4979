package faults

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// rulesE7toE10 are the faults of the rules about messages: those that belong to no
// call, out-of-band commands, limits, and any bytes.
var rulesE7toE10 = []fault{
	{
		rule: "E7", what: "replies to ids that were never used, a success without an id, a second greeting, objects that are not a QMP message", then: "they are dropped and logged, and the command gets its reply",
		steps: script("", qmptest.Expect("x"),
			qmptest.Send(`{"return": 0, "id": 77}{"return": 0, "id": "77"}{"return": 0, "id": null}{"return": 0, "id": [1]}{"return": 0, "id": {"a": 1}}{"return": 0, "id": 2.5}`),
			qmptest.Send(`{"return": 0}{"QMP": {"version": {}, "capabilities": []}}{}{"x": 1}{"error": {"class": "C", "desc": "D"}, "id": 99}`),
			qmptest.Return(`1`)),
		run: func(a *attempt) {
			a.connected()
			a.gives("x", `1`)
			a.hears()
			// The log has ten of the eleven: a session logs no more in a minute.
			if n := strings.Count(a.log.String(), "message dropped"); n != 10 {
				a.Errorf("%d messages are logged as dropped, want 10:\n%s", n, a.log)
			}
		},
	},
	{
		rule: "E7", what: "an error without an id while the only pending command takes one (TakesErrorWithoutID)", then: "it is that command's reply, and the connection stays usable",
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
	endsPending("E7", "an error without an id while an ordinary command is pending", "ServerParseError", qmptest.ReturnError("GenericError", "JSON parse error", qmptest.NoID()), qmptest.ExpectEOF()),
	{
		rule: "E7", what: "a late error without an id, which answers a canceled command, while another command is pending", then: "the other command does not get it",
		steps: script("", qmptest.Expect("x"), qmptest.Expect("y"), qmptest.ReturnError("GenericError", "JSON parse error", qmptest.NoID()), qmptest.ExpectEOF()),
		run: func(a *attempt) {
			a.connected()
			_, err := a.execute(time.Second, "x", nil)
			a.ends("the command", err, "ExecInterruptedError (sent), context.DeadlineExceeded")
			_, err = a.unattributed("y")
			a.ends("the other command", err, "ExecInterruptedError (sent), ServerParseError")
		},
	},
	{
		rule: "E7", what: "an error without an id while no command is pending",
		steps: script("", qmptest.Pause(time.Second), qmptest.ReturnError("GenericError", "JSON parse error", qmptest.NoID()), qmptest.ExpectEOF()),
		run: func(a *attempt) {
			a.connected()
			a.heard(<-a.waiting(), nil, "ExecInterruptedError, ServerParseError")
			a.took(time.Second)
		},
	},
	{
		rule: "E7", what: "an error without an id in reply to qmp_capabilities",
		steps: []qmptest.Step{qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.ReturnError("GenericError", "not for you", qmptest.NoID())},
		run: func(a *attempt) {
			err := a.connect()
			a.ends("connect", err, "ConnectError, NegotiationError")
			a.says(err, "GenericError", "not for you")
		},
	},
	{
		rule: "E7", what: "arguments that QEMU could not read: lone surrogates, repeated keys, NaN, a list, more than 1,000 levels", then: "nothing is sent, and the next command is answered",
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
			a.ends("the command with too many levels", err, "MessageError (too deep)")
			a.gives("x", `1`)
		},
	},
	{
		rule: "E8", what: "a ninth command while eight are unanswered, with oob", then: "the error names the oldest of the eight; an out-of-band command is sent at once",
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
			a.says(err, "the oldest (slow)")
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
		rule: "E8", what: "eight canceled commands that are unanswered, with oob", then: "an out-of-band command is sent at once, and the next command is sent after a reply to one of the eight",
		steps: script("oob", times(8, qmptest.Expect("slow"), qmptest.ExpectOOB("urgent"), qmptest.Return(`1`),
			qmptest.Pause(20*time.Second), qmptest.Return(`"late"`, qmptest.Oldest()), qmptest.Expect("x"), qmptest.Return(`2`))...),
		run: func(a *attempt) {
			a.connected()
			for range 8 {
				_, err := a.execute(time.Second, "slow", nil)
				a.ends("each of the eight", err, "ExecInterruptedError (sent), context.DeadlineExceeded")
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
		rule: "E9", what: "a reply longer than MaxMessage", then: "the error names the limit and the option",
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
		rule: "E9", what: "a command longer than MaxMessage", then: "nothing is sent, and the next command is answered",
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
	endsPending("E9", "a reply of 10,001 levels", "MessageError (too deep)",
		qmptest.Send(`{"return": `+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)+"}"), qmptest.ExpectEOF()),
	{
		rule: "E10", what: "messages with nothing between them, repeated keys, invalid UTF-8", then: "all are read; of repeated keys the last counts, and U+FFFD replaces invalid bytes",
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
}
