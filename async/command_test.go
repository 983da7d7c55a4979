// Tests of commands: what is sent, and what a reply becomes.
// The code that they hold: command.go, call.go and reply.go.
package async_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// What is sent, byte for byte: compact, in ASCII, and nothing after the closing
// brace.
func TestCommandsOnTheWire(t *testing.T) {
	t.Parallel()
	type args struct {
		Device string `json:"device"`
		Force  bool   `json:"force,omitzero"`
		Size   uint64 `json:"size"`
	}
	tests := []struct {
		cmd  async.Command
		want string // the first id is 2: the handshake uses 1
	}{
		{async.Command{Name: "stop"}, `{"execute":"stop","id":2}`},
		{async.Command{Name: "stop", Args: map[string]any{}}, `{"execute":"stop","arguments":{},"id":2}`},
		{async.Command{Name: "stop", Args: json.RawMessage("{ }\n")}, `{"execute":"stop","arguments":{},"id":2}`},
		{async.Command{Name: "stop", Args: async.Members(nil)}, `{"execute":"stop","arguments":{},"id":2}`},
		{async.Command{Name: "x", Args: args{Device: "d/0", Size: 1<<64 - 1}}, `{"execute":"x","arguments":{"device":"d/0","size":18446744073709551615},"id":2}`},
		{async.Command{Name: "x", Args: &args{Force: true}}, `{"execute":"x","arguments":{"device":"","force":true,"size":0},"id":2}`},
		{async.Command{Name: "x", Args: map[string]any{"b": 1, "a": []any{nil, 1.5, "é"}}}, `{"execute":"x","arguments":{"a":[null,1.5,"\u00e9"],"b":1},"id":2}`},
		{async.Command{Name: "x", Args: async.Members{{"b", 1}, {"a", map[string]int{"d": 1, "c": 2}}, {"e", async.Members{{"g", nil}, {"f", true}}}}}, `{"execute":"x","arguments":{"b":1,"a":{"c":2,"d":1},"e":{"g":null,"f":true}},"id":2}`},
		{async.Command{Name: "x", Args: json.RawMessage(`{"z": 1.0, "a": 9007199254740993, "t": "a\/b"}`)}, `{"execute":"x","arguments":{"z":1.0,"a":9007199254740993,"t":"a/b"},"id":2}`},
		{async.Command{Name: "x", Args: jsontext.Value(`{"z":1}`)}, `{"execute":"x","arguments":{"z":1},"id":2}`},
		{async.Command{Name: "x", OOB: true}, `{"exec-oob":"x","id":2}`},
		{async.Command{Name: "x", ID: "a\"b"}, `{"execute":"x","id":"a\"b"}`},
		{async.Command{Name: `é"`}, `{"execute":"\u00e9\"","id":2}`},
		{async.Command{Object: map[string]any{"execute": "x", "arguments": map[string]any{}}}, `{"arguments":{},"execute":"x","id":2}`},
		{async.Command{Object: json.RawMessage(`{"id": "mine", "execute": "x"}`)}, `{"id":"mine","execute":"x"}`},
		{async.Command{Object: json.RawMessage(`{}`)}, `{"id":2}`},
		{async.Command{Object: async.Members{{"exec-oob", "x"}}, Name: "ignored", Args: 7, ID: "ignored"}, `{"exec-oob":"x","id":2}`},
	}
	for _, tt := range tests {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			p := memory(t, connected("oob", qmptest.ExpectRaw(tt.want), qmptest.Return(`{"ok":true}`))...)
			c := dial(t, p, nil)
			reply, err := c.Do(t.Context(), tt.cmd)
			wantNil(t, tt.want, err)
			v, err := reply.Value()
			wantValue(t, tt.want, v, err, `{"ok": true}`)
		})
	}
}

// The error names the member that cannot be encoded.
func TestMembersThatDoNotEncode(t *testing.T) {
	t.Parallel()
	for _, ms := range []async.Members{
		{{"a", make(chan int)}},
		{{"a", failing{}}},
		{{"\xff", 1}},
	} {
		if b, err := json.Marshal(ms); err == nil {
			t.Errorf("json.Marshal of %v: got %s, want an error", ms, b)
		}
	}
	b, err := json.Marshal(map[string]any{"m": async.Members{{"b", 1}, {"a", 2}}})
	if err != nil || string(b) != `{"m":{"b":1,"a":2}}` {
		t.Errorf("json.Marshal: got %s and error %v", b, err)
	}
}

type failing struct{}

func (failing) MarshalJSON() ([]byte, error) { return nil, errors.New("no") }

// When the server refuses a command, Execute returns an ExecuteError with all
// of the reply, and the connection stays usable. Do returns no error, but the
// reply.
func TestExecuteError(t *testing.T) {
	t.Parallel()
	const reply = `{"error": {"class": "DeviceNotFound", "desc": "Device 'x'\nnot found", "extra": 1}, "id": $id}`
	steps := []qmptest.Step{}
	for range 3 {
		steps = append(steps, qmptest.Expect("device_del"), qmptest.Reply(reply))
	}
	c := dial(t, memory(t, connected("", steps...)...), nil)

	got, err := c.Do(t.Context(), async.Command{Name: "device_del"})
	wantNil(t, "Do", err)
	_, executeErr := c.Execute(t.Context(), "device_del", nil)
	_, callErr := async.Call[any](t.Context(), c, "device_del", nil)
	for what, err := range map[string]error{"Reply.Err": got.Err(), "Execute": executeErr, "Call": callErr} {
		e := wantAs[*async.ExecuteError](t, what, err)
		if e.Command != "device_del" || e.Class != "DeviceNotFound" || e.Desc != "Device 'x'\nnot found" || !strings.Contains(string(e.Reply.Raw()), `"extra"`) {
			t.Errorf("%s: got %+v", what, *e)
		}
		wantText(t, what, err, "qmp: device_del: Device 'x' not found (DeviceNotFound)")
	}
	if v, err := got.Value(); v != nil || err == nil {
		t.Errorf("Value of an error reply: got %s and error %v", v, err)
	}
	wantState(t, c, async.Running)
}

// Call ignores case, dashes and underscores in names, and unknown members.
func TestCallDecodes(t *testing.T) {
	t.Parallel()
	type status struct {
		Status  string
		Running bool `json:"is_running"`
	}
	p := memory(t, connected("", qmptest.Expect("x"), qmptest.Return(`{"status":"right","new":{"a":[]},"is-running":true}`),
		qmptest.Expect("x"), qmptest.Return(`{"status":7}`))...)
	c := dial(t, p, nil)
	if v, err := async.Call[status](t.Context(), c, "x", nil); err != nil || v != (status{"right", true}) {
		t.Errorf("Call: got %+v and error %v", v, err)
	}
	_, err := async.Call[status](t.Context(), c, "x", nil)
	wantText(t, "Call of what does not fit", err, "qmp: x: reply does not fit a *async_test.status")
}

// A command without a name is a mistake, so it is refused. (A Command.Object is
// sent as it is.)
func TestCommandWithoutANameIsRefused(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := dial(t, memory(t, connected("", qmptest.Expect("x"), qmptest.Return(`1`))...), nil)
		for _, args := range []any{nil, map[string]any{"execute": "stop"}} {
			_, err := c.Execute(t.Context(), "", args)
			if e := wantAs[*async.MessageError](t, "Execute", err); e.Reason != async.Refused {
				t.Errorf("got reason %q, want %q", e.Reason, async.Refused)
			}
			wantText(t, "Execute", err, "the command has no name")
		}
		execute(t, c, "x", "1")
	})
}
