package legacy_test

import (
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/legacy"
)

// Each call sends exactly these bytes. The handshake has used the id 1.
func TestSent(t *testing.T) {
	type args struct {
		B int    `json:"b"`
		A string `json:"a,omitempty"`
	}
	cmd := func(name string, args any, id ...string) func(*legacy.QEMUMonitorProtocol) error {
		return func(q *legacy.QEMUMonitorProtocol) error { _, err := q.Cmd(name, args, id...); return err }
	}
	obj := func(o any) func(*legacy.QEMUMonitorProtocol) error {
		return func(q *legacy.QEMUMonitorProtocol) error { _, err := q.CmdObj(o); return err }
	}
	command := func(name string, args any) func(*legacy.QEMUMonitorProtocol) error {
		return func(q *legacy.QEMUMonitorProtocol) error { _, err := q.Command(name, args); return err }
	}
	tests := []struct {
		name string
		call func(*legacy.QEMUMonitorProtocol) error
		want string
	}{
		{"Cmd, nil", cmd("x", nil), `{"execute":"x","id":2}`},
		{"Cmd, empty map", cmd("x", object{}), `{"execute":"x","id":2}`},
		{"Cmd, nil map", cmd("x", object(nil)), `{"execute":"x","id":2}`},
		{"Cmd, another empty map", cmd("x", map[string]int{}), `{"execute":"x","id":2}`},
		{"Cmd, no members", cmd("x", async.Members{}), `{"execute":"x","id":2}`},
		{"Cmd, empty raw JSON", cmd("x", json.RawMessage(" { } ")), `{"execute":"x","id":2}`},
		{"Cmd, empty struct", cmd("x", struct{}{}), `{"execute":"x","id":2}`},
		{"Cmd, no name", cmd("", nil), `{"execute":"","id":2}`},
		{"Cmd, map", cmd("x", object{"b": 1, "a": []int{2}}), `{"execute":"x","arguments":{"a":[2],"b":1},"id":2}`},
		{"Cmd, members", cmd("x", async.Members{{Name: "b", Value: 1}, {Name: "a", Value: object{}}}), `{"execute":"x","arguments":{"b":1,"a":{}},"id":2}`},
		{"Cmd, struct", cmd("x", args{B: 1}), `{"execute":"x","arguments":{"b":1},"id":2}`},
		{"Cmd, pointer", cmd("x", &args{B: 1, A: "é"}), `{"execute":"x","arguments":{"b":1,"a":"\u00e9"},"id":2}`},
		{"Cmd, raw JSON", cmd("x", json.RawMessage(`{"b": 1.0, "a": 2}`)), `{"execute":"x","arguments":{"b":1.0,"a":2},"id":2}`},
		{"Cmd, id", cmd("x", nil, "mine"), `{"execute":"x","id":"mine"}`},
		{"Cmd, empty id", cmd("x", nil, ""), `{"execute":"x","id":2}`},
		{"Cmd, the reserved text inside an id", cmd("x", nil, "x__qmp#1"), `{"execute":"x","id":"x__qmp#1"}`},
		{"CmdObj, map", obj(object{"execute": "x", "arguments": object{}}), `{"arguments":{},"execute":"x","id":2}`},
		{"CmdObj, raw JSON", obj(json.RawMessage(`{"arguments":{"b":1,"a":2},"execute":"x"}`)), `{"arguments":{"b":1,"a":2},"execute":"x","id":2}`},
		{"CmdObj, members with id", obj(async.Members{{Name: "id", Value: "mine"}, {Name: "execute", Value: "x"}}), `{"id":"mine","execute":"x"}`},
		{"CmdObj, out of band", obj(object{"exec-oob": "x"}), `{"exec-oob":"x","id":2}`},
		{"CmdObj, nothing", obj(object{}), `{"id":2}`},
		{"Command, nil", command("x", nil), `{"execute":"x","arguments":{},"id":2}`},
		{"Command, empty map", command("x", object{}), `{"execute":"x","arguments":{},"id":2}`},
		{"Command, map", command("x", object{"under_score": 1, "dash-ed": nil}), `{"execute":"x","arguments":{"dash-ed":null,"under_score":1},"id":2}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			greet := []qmptest.Step{qmptest.Greet("oob"), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`)}
			q := scripted(t, nil, append(greet, qmptest.ExpectRaw(tt.want), qmptest.Return(`{}`))...)
			connect(t, q)
			wantNoError(t, tt.call(q))
		})
	}
}

// This package sends a command with an empty name, as the old module does.
func TestCommandWithoutAName(t *testing.T) {
	q := connected(t,
		qmptest.ExpectRaw(`{"execute":"","id":2}`), qmptest.Return(`1`),
		qmptest.ExpectRaw(`{"execute":"","arguments":{"a":1},"id":"mine"}`), qmptest.Return(`2`),
		qmptest.ExpectRaw(`{"execute":"","arguments":{},"id":3}`), qmptest.Return(`3`))
	if reply, err := q.Cmd("", nil); err != nil || reply["return"] != int64(1) {
		t.Errorf("Cmd: got %v, %v", reply, err)
	}
	if reply, err := q.Cmd("", object{"a": 1}, "mine"); err != nil || reply["return"] != int64(2) || reply["id"] != "mine" {
		t.Errorf("Cmd with an id: got %v, %v", reply, err)
	}
	if value, err := q.Command("", nil); err != nil || value != int64(3) {
		t.Errorf("Command: got %v, %v", value, err)
	}
}

// Commands that cannot be sent are refused, and the connection stays usable.
func TestNotSent(t *testing.T) {
	q := connected(t, qmptest.Expect("good"), qmptest.Return(`{}`))
	for _, id := range []string{"__qmp#", "__qmp#00001"} {
		_, err := q.Cmd("x", nil, id)
		if bad := wantError[*async.InvalidIDError](t, err); bad.ID != id {
			t.Errorf("names the id %q, want %q", bad.ID, id)
		}
		_, err = q.CmdObj(object{"execute": "x", "id": id})
		wantError[*async.InvalidIDError](t, err)
	}
	_, err := q.Cmd("x", nil, "a", "b")
	wantError[*async.InvalidIDError](t, err)
	for _, id := range []any{nil, 0, 1.5, true, object{}, []any{"a"}} {
		_, err := q.CmdObj(object{"execute": "x", "id": id})
		wantError[*async.InvalidIDError](t, err)
	}
	for _, args := range []any{5, "text", []int{1}, make(chan int), json.RawMessage(`{"a":1,"a":2}`), object{"a": "\xff"}} {
		_, err := q.Cmd("x", args)
		wantError[*async.MessageError](t, err)
		_, err = q.Command("x", args)
		wantError[*async.MessageError](t, err)
		_, err = q.CmdObj(args)
		wantError[*async.MessageError](t, err)
	}
	_, err = q.CmdObj(nil)
	wantError[*async.MessageError](t, err)
	_, err = q.Cmd("good", nil)
	wantNoError(t, err)
}

// Replies become these Go values.
func TestReceived(t *testing.T) {
	two64 := new(big.Int).Lsh(big.NewInt(1), 64)
	exact := cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 })
	tests := []struct {
		reply string
		want  object
	}{
		{`{"return": {"a": [1, -1, 1.0, 1e2, 0.5]}, "id": $id}`, object{"return": object{"a": []any{int64(1), int64(-1), 1.0, 100.0, 0.5}}}},
		{`{"return": [9007199254740993, 9223372036854775807, 18446744073709551615, 18446744073709551616], "id": $id}`, object{"return": []any{int64(1<<53 + 1), int64(1<<63 - 1), uint64(1<<64 - 1), two64}}},
		{`{"return": {"a": 1, "b": 2, "a": 3}, "id": $id}`, object{"return": object{"a": int64(3), "b": int64(2)}}},
		{`{"return": "\ud83d\ude00 \ud83d", "id": $id}`, object{"return": "😀 \ufffd"}},
		{`{"return": null, "id": $id}`, object{"return": nil}},
		{`{"return": true, "id": $id, "more": "x"}`, object{"return": true, "more": "x"}},
		{`{"error": {"class": "GenericError", "desc": "no"}, "id": $id}`, object{"error": object{"class": "GenericError", "desc": "no"}}},
		{`{"error": 5, "id": $id}`, object{"error": int64(5)}},
		{`{"strange": [], "id": $id}`, object{"strange": []any{}}},
		// QEMU answers what its parser refuses without an id.
		{`{"error": {"class": "GenericError", "desc": "no"}}`, object{"error": object{"class": "GenericError", "desc": "no"}}},
		{`{"error": {"class": "GenericError", "desc": "no"}, "id": null}`, object{"error": object{"class": "GenericError", "desc": "no"}}},
	}
	for _, tt := range tests {
		t.Run(tt.reply, func(t *testing.T) {
			q := connected(t, qmptest.Expect("x"), qmptest.Reply(tt.reply), qmptest.Expect("y"), qmptest.Reply(tt.reply))
			got, err := q.Cmd("x", nil)
			wantNoError(t, err)
			if diff := cmp.Diff(tt.want, got, exact); diff != "" {
				t.Error("Cmd (-want +got)", diff)
			}
			got, err = q.CmdObj(object{"execute": "y"})
			wantNoError(t, err)
			if diff := cmp.Diff(tt.want, got, exact); diff != "" {
				t.Error("CmdObj (-want +got)", diff)
			}
		})
	}
}

// A reply holds the id that its caller gave.
func TestReplyHoldsTheCallersID(t *testing.T) {
	q := connected(t, qmptest.Expect("x"), qmptest.Return(`1`), qmptest.Expect("x"), qmptest.Return(`2`))
	got, err := q.Cmd("x", nil, "mine")
	wantNoError(t, err)
	if diff := cmp.Diff(object{"return": int64(1), "id": "mine"}, got); diff != "" {
		t.Error("Cmd (-want +got)", diff)
	}
	got, err = q.CmdObj(async.Members{{Name: "execute", Value: "x"}, {Name: "id", Value: "mine"}})
	wantNoError(t, err)
	if diff := cmp.Diff(object{"return": int64(2), "id": "mine"}, got); diff != "" {
		t.Error("CmdObj (-want +got)", diff)
	}
}

func TestCommand(t *testing.T) {
	q := connected(t,
		qmptest.Expect("a"), qmptest.Return(`{"status": "running", "n": 1}`),
		qmptest.Expect("b"), qmptest.Return(`null`),
		qmptest.Expect("c"), qmptest.ReturnError("GenericError", ""),
		qmptest.Expect("d"), qmptest.Reply(`{"error": null, "return": {}, "id": $id}`),
		qmptest.Expect("e"), qmptest.Reply(`{"id": $id}`),
		qmptest.Expect("f"), qmptest.Return(`1`+strings.Repeat("0", 5000)),
		qmptest.Expect("f"), qmptest.Return(`1`+strings.Repeat("0", 5000)),
		qmptest.Expect("g"), qmptest.Return(`[]`))

	got, err := q.Command("a", nil)
	wantNoError(t, err)
	if diff := cmp.Diff(any(object{"status": "running", "n": int64(1)}), got); diff != "" {
		t.Error("(-want +got)", diff)
	}
	if got, err := q.Command("b", nil); got != nil || err != nil {
		t.Errorf("null: %v, %v", got, err)
	}
	_, err = q.Command("c", nil)
	if refused := wantError[*async.ExecuteError](t, err); refused.Class != "GenericError" || refused.Desc != "" || refused.Command != "c" {
		t.Errorf("got %+v", refused)
	}
	_, err = q.Command("d", nil)
	wantError[*async.BadReplyError](t, err)
	_, err = q.Command("e", nil)
	wantError[*async.BadReplyError](t, err)
	_, err = q.Command("f", nil)
	if long := wantError[*async.MessageError](t, err); long.Reason != async.BadNumber || long.Limit != 4300 {
		t.Errorf("got %+v", long)
	}
	_, err = q.Cmd("f", nil)
	wantError[*async.MessageError](t, err)
	got, err = q.Command("g", nil)
	wantNoError(t, err)
	if diff := cmp.Diff(any([]any{}), got); diff != "" {
		t.Error("(-want +got)", diff)
	}
}

// Command, and Cmd with an id, do not take an error without an id for their reply:
// it does not say which command the server could not parse. The connection ends.
func TestUnattributedErrorEndsTheSession(t *testing.T) {
	for name, call := range map[string]func(*legacy.QEMUMonitorProtocol) error{
		"Command":      func(q *legacy.QEMUMonitorProtocol) error { _, err := q.Command("x", nil); return err },
		"Cmd, with id": func(q *legacy.QEMUMonitorProtocol) error { _, err := q.Cmd("x", nil, "mine"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			q := connected(t, qmptest.Expect("x"), qmptest.ReturnError("GenericError", "JSON parse error", qmptest.NoID()))
			err := call(q)
			wantError[*async.ExecInterruptedError](t, err)
			wantError[*async.ServerParseError](t, q.Close())
			wantNoError(t, q.Close())
		})
	}
}

func TestSetTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := scripted(t, nil, handshake(
			qmptest.Expect("one"), qmptest.Expect("two"), qmptest.Expect("three"),
			qmptest.Pause(time.Minute), qmptest.Event("LATE", ""),
			qmptest.Return(`1`, qmptest.Oldest()), qmptest.Return(`2`, qmptest.Oldest()), qmptest.Return(`3`, qmptest.Oldest()),
			qmptest.Expect("four"), qmptest.Return(`4`))...)
		q.SetTimeout(legacy.For(2 * time.Second)) // before Connect: it does not limit Connect
		connect(t, q)

		start := time.Now()
		_, err := q.Cmd("one", nil)
		wantTimeout(t, err)
		if interrupted := wantError[*async.ExecInterruptedError](t, err); !interrupted.Sent {
			t.Errorf("%v: the command was sent, and the error denies it", err)
		}
		_, err = q.Command("two", nil)
		wantTimeout(t, err)
		_, err = q.CmdObj(object{"execute": "three"})
		wantTimeout(t, err)
		if took := time.Since(start); took != 6*time.Second {
			t.Errorf("three calls took %v, want 6s", took)
		}

		for _, expired := range []legacy.Wait{legacy.For(0), legacy.For(-time.Second), legacy.NoWait} {
			q.SetTimeout(expired)
			_, err = q.Cmd("never", nil)
			wantTimeout(t, err)
			if interrupted := wantError[*async.ExecInterruptedError](t, err); interrupted.Sent {
				t.Errorf("%v: the command was not sent, and the error denies it", err)
			}
		}

		// No other command gets a late reply, and SetTimeout does not limit PullEvent.
		q.SetTimeout(legacy.Forever)
		got, err := q.Command("four", nil)
		if got != int64(4) || err != nil {
			t.Errorf("four: %v, %v", got, err)
		}
		q.SetTimeout(legacy.For(0))
		if ev, err := q.PullEvent(legacy.Forever); ev["event"] != "LATE" || err != nil {
			t.Errorf("event %v, %v", ev, err)
		}
	})
}

func TestInterrupted(t *testing.T) {
	q := scripted(t, nil, join(handshake(qmptest.Expect("x"), qmptest.HangUp()), handshake(qmptest.Expect("y"), qmptest.Return(`1`)))...)
	connect(t, q)
	_, err := q.Cmd("x", nil)
	if wantError[*async.ExecInterruptedError](t, err); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want io.EOF in it", err)
	}
	for name, call := range map[string]func() error{
		"Cmd":       func() error { _, err := q.Cmd("x", nil); return err },
		"CmdObj":    func() error { _, err := q.CmdObj(object{"execute": "x"}); return err },
		"Command":   func() error { _, err := q.Command("x", nil); return err },
		"SendFDSCM": func() error { return q.SendFDSCM(openNull(t)) },
	} {
		t.Run(name, func(t *testing.T) { wantState(t, call(), async.Disconnecting, async.Running) })
	}
	_, err = q.Connect(true)
	wantState(t, err, async.Disconnecting, async.Idle)
	if err := q.Close(); !errors.Is(err, io.EOF) {
		t.Errorf("first Close: %v, want io.EOF", err)
	}
	wantNoError(t, q.Close())
	_, err = q.Cmd("x", nil)
	wantState(t, err, async.Idle, async.Running)

	connect(t, q)
	if got, err := q.Command("y", nil); got != int64(1) || err != nil {
		t.Errorf("y: %v, %v", got, err)
	}
}
