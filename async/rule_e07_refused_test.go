// Tests of rule E7 (what QEMU could not parse is refused before it is sent).
// The code that they hold: call.go and internal/proto.
package async_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// deep returns an object with that many levels.
func deep(levels int) json.RawMessage {
	return json.RawMessage(strings.Repeat(`{"a":`, levels-1) + `{}` + strings.Repeat(`}`, levels-1))
}

// What QEMU cannot parse is refused before it is sent. The connection goes on.
func TestE7RefusedBeforeSending(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	tests := []struct {
		name   string
		cmd    async.Command
		opts   async.Options
		reason async.Reason
		limit  int
		text   []string
	}{
		{name: "lone surrogate in raw JSON", cmd: async.Command{Name: "x", Args: json.RawMessage(`{"a":"\ud800"}`)}, reason: async.Refused, text: []string{"surrogate"}},
		{name: "lone low surrogate", cmd: async.Command{Name: "x", Args: json.RawMessage(`{"a":"\udc00\ud800"}`)}, reason: async.Refused, text: []string{"surrogate"}},
		{name: "invalid UTF-8 in raw JSON", cmd: async.Command{Name: "x", Args: json.RawMessage("{\"a\":\"\xff\"}")}, reason: async.Refused, text: []string{"UTF-8"}},
		{name: "invalid UTF-8 in a string", cmd: async.Command{Name: "x", Args: object{"a": "\xff"}}, reason: async.Refused, text: []string{"UTF-8"}},
		{name: "repeated key in raw JSON", cmd: async.Command{Name: "x", Args: json.RawMessage(`{"a":1,"a":2}`)}, reason: async.Refused, text: []string{"duplicate"}},
		{name: "repeated key in Members", cmd: async.Command{Name: "x", Args: async.Members{{"a", 1}, {"a", 2}}}, reason: async.Refused, text: []string{"duplicate"}},
		{name: "repeated key in a whole object", cmd: async.Command{Object: json.RawMessage(`{"execute":"x","execute":"y"}`)}, reason: async.Refused, text: []string{"duplicate"}},
		{name: "noncharacter", cmd: async.Command{Name: "x", Args: object{"a": "\ufffe"}}, reason: async.Refused},
		{name: "not JSON", cmd: async.Command{Name: "x", Args: json.RawMessage(`{`)}, reason: async.Refused},
		{name: "two values", cmd: async.Command{Name: "x", Args: json.RawMessage(`{}{}`)}, reason: async.Refused},
		{name: "an array", cmd: async.Command{Name: "x", Args: []int{1}}, reason: async.Refused, text: []string{"an array", "not to a JSON object"}},
		{name: "null", cmd: async.Command{Name: "x", Args: json.RawMessage(`null`)}, reason: async.Refused, text: []string{"null"}},
		{name: "a string", cmd: async.Command{Name: "x", Args: "text"}, reason: async.Refused, text: []string{"a string"}},
		{name: "not a number", cmd: async.Command{Name: "x", Args: object{"a": math.NaN()}}, reason: async.Refused},
		{name: "a value without a JSON form", cmd: async.Command{Name: "x", Args: object{"a": make(chan int)}}, reason: async.Refused},
		{name: "an object that is an array", cmd: async.Command{Object: []int{}}, reason: async.Refused},
		{name: "1,001 levels", cmd: async.Command{Name: "x", Args: deep(1000)}, reason: async.TooDeep, limit: 1000, text: []string{"1000 levels"}},
		{name: "1,001 levels in a whole object", cmd: async.Command{Object: deep(1001)}, reason: async.TooDeep, limit: 1000, text: []string{"1000 levels"}},
		{
			name: "larger than the option", opts: async.Options{MaxMessage: 4096},
			cmd:    async.Command{Name: "x", Args: object{"a": strings.Repeat("x", 4096)}},
			reason: async.TooLarge, limit: 4096, text: []string{"4096 bytes", "Options.MaxMessage"},
		},
		{
			name: "a whole object larger than the option", opts: async.Options{MaxMessage: 4096},
			cmd:    async.Command{Object: object{"execute": "x", "a": strings.Repeat("x", 4096)}},
			reason: async.TooLarge, limit: 4096, text: []string{"4096 bytes", "Options.MaxMessage"},
		},
		{
			name: "larger only with what goes around it", opts: async.Options{MaxMessage: 4096},
			cmd:    async.Command{Name: "x", Args: object{"a": strings.Repeat("x", 4080)}},
			reason: async.TooLarge, limit: 4096, text: []string{"4096 bytes", "Options.MaxMessage"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := tt.opts
			p := memory(t, connected("oob", qmptest.Expect("next"), qmptest.Return(`{}`))...)
			c := dial(t, p, &opts)
			_, err := c.Do(t.Context(), tt.cmd)
			e := wantAs[*async.MessageError](t, "Do", err)
			label := tt.cmd.Name
			if label == "" {
				label = "message"
			}
			if tt.cmd.Object != nil && tt.reason == async.TooLarge {
				label = "x"
			}
			if e.Reason != tt.reason || e.Limit != tt.limit || e.Command != label {
				t.Errorf("got Reason %q, Limit %d, Command %q, want %q, %d, %q", e.Reason, e.Limit, e.Command, tt.reason, tt.limit, label)
			}
			wantAs[async.ProtocolError](t, "Do", err)
			wantText(t, "Do", err, append(tt.text, "qmp: "+label+": not sent: ")...)
			execute(t, c, "next", "{}")
			wantNothingPending(t, c)
		})
	}
}

// A message that is just within the bounds is sent.
func TestE7AllowedBeforeSending(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("",
		qmptest.ExpectJSON(`{"execute":"x","arguments":`+string(deep(999))+`}`), qmptest.Return(`{}`),
		qmptest.ExpectRaw(`{"execute":"x","arguments":{"a":"\ud83d\ude00\u00e9\u0000","b":"\u007f"},"id":3}`), qmptest.Return(`{}`),
		qmptest.ExpectFunc("the largest", func(m qmptest.Message) error {
			if len(m.Raw) != 4096 {
				return fmt.Errorf("got %d bytes, want 4096", len(m.Raw))
			}
			return nil
		}), qmptest.Return(`{}`))...)
	c := dial(t, p, &async.Options{MaxMessage: 4096 * 2})
	_, err := c.Execute(t.Context(), "x", deep(999))
	wantNil(t, "1,000 levels", err)
	_, err = c.Execute(t.Context(), "x", json.RawMessage(`{"a":"\ud83d\ude00é\u0000","b":"`+"\x7f"+`"}`))
	wantNil(t, "escapes", err)
	around := len(`{"execute":"x","arguments":{"a":""},"id":4}`)
	_, err = c.Execute(t.Context(), "x", map[string]any{"a": strings.Repeat("x", 4096-around)})
	wantNil(t, "the largest", err)
}
