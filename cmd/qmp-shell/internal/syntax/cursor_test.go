package syntax

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestAt(t *testing.T) {
	for _, tt := range []struct{ text, want string }{ // "|" is the cursor; the result is place command path "prefix" given
		{"|", `command ""`},
		{"que|ry-status", `command "que"`},
		{"exec-oob yan|", `command "yan"`},
		{"exec-oob yank ins|", `name yank  "ins" {}`},
		{"# que|", "nowhere"},
		{"x |", `name x  "" {}`},
		{"a=1|", "nowhere"},
		{"x a=1 b|", `name x  "b" {"a":1}`},
		{"x b| a=1", `name x  "b" {"a":1}`},
		{"x a.b=1 a.|", `name x a "" {"a":{"b":1}}`},
		{"x a.b.c|", `name x a.b "c" {}`},
		{"x a=v|", `value x a "v" {}`},
		{"x a=| b=2", `value x a "" {"b":2}`},
		{`x a="b\u00|`, `value x a "b" {}`},
		{`x a='b c|`, `value x a "b c" {}`},
		{`x a="b"|`, "nowhere"},
		{`x a={}|`, "nowhere"},
		{`x a={|`, `name x a "" {"a":{}}`},
		{`x a={"b": 1, "c|`, `name x a "c" {"a":{"b":1}}`},
		{`x a={"b": tr|`, `value x a.b "tr" {"a":{}}`},
		{`x a={"b" |`, `value x a.b "" {"a":{}}`},
		{`x a={"b": 1 |`, "nowhere"},
		{`x a=[1, {"b": [2, "c|`, `value x a.1.b.1 "c" {"a":[1,{"b":[2,null]}]}`},
		{`x a={"b": ,|`, `value x a.b "" {"a":{}}`},
		{`x a=[)|`, "nowhere"},
		{`x {"a": {"b": 1}, |`, `name x  "" {"a":{"b":1}}`},
		{`x {"a": 1} |`, `name x  "" {"a":1}`},
		{`x {"a": |"`, `value x a "" {}`},
		{"x a.0={'b': |", `value x a.0.b "" {"a":{"0":{}}}`},
		{"x a={'b': 1} a.c|", `name x a "c" {"a":{"b":1}}`},
		{"transaction(|", `value transaction actions.0.type "" {"actions":[{}]}`},
		{"transaction( a|", `value transaction actions.0.type "a" {"actions":[{}]}`},
		{"transaction( a x=1 y|", `name transaction actions.0.data "y" {"actions":[{"data":{"x":1},"type":"a"}]}`},
		{"transaction( a x=1 b y=|", `value transaction actions.1.data.y "" {"actions":[{"type":"a"},{"data":{},"type":"b"}]}`},
		{"transaction( a\nb x=1\nc|", `value transaction actions.2.type "c" {"actions":[{"type":"a"},{"type":"b"},{}]}`},
		{"transaction( a |\nb x=1 )", `name transaction actions.0.data "" {"actions":[{"data":{},"type":"a"}]}`},
		{"transaction( a {'x': |", `value transaction actions.0.data.x "" {"actions":{"0":{"data":{},"type":"a"}}}`},
		{"transaction( x=|", "nowhere"},
		{"transaction( a ) p|", "nowhere"},
		{"x ( a|", "nowhere"},
		{`{|`, "nowhere"},
		{`{"execute": "q|`, `command "q"`},
		{`{"execute": "x", "arguments": {"a": 1, |`, `name x  "" {"a":1}`},
		{`{"exec-oob": "x", "arguments": {"a": {"b": "|`, `value x a.b "" {"a":{}}`},
		{`{"execute": "x", "id": "|`, "nowhere"},
	} {
		before, after, _ := strings.Cut(tt.text, "|")
		c := At(before+after, len(before))
		if got := describe(c); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.text, got, tt.want)
		}
		if c.End != len(before) || c.Start > c.End {
			t.Errorf("%s: %d to %d", tt.text, c.Start, c.End)
		}
	}
	if c := At("x", 99); c.End != 1 {
		t.Errorf("%+v", c)
	}
	if c := At("x", -1); c.End != 0 {
		t.Errorf("%+v", c)
	}
}

func describe(c Cursor) string {
	given, _ := json.Marshal(c.Given)
	path := strings.Join(c.Path, ".")
	switch c.Place {
	case CommandName:
		return fmt.Sprintf("command %q", c.Prefix)
	case Name:
		return fmt.Sprintf("name %s %s %q %s", c.Command, path, c.Prefix, given)
	case Value:
		return fmt.Sprintf("value %s %s %q %s", c.Command, path, c.Prefix, given)
	}
	return "nowhere"
}

// What the cursor says how to write a name or a value can be parsed, and means the same.
func TestWrite(t *testing.T) {
	for _, text := range []string{"plain", "", "5", "true", "None", "a b", `a"b`, "it's", "{x}", "[", "/a=b", "f(1)", "x)", "né\n", `back\slash`, "\x01"} {
		for _, before := range []string{"x k=", `x k="`, "x k='", `x k={"k": `, `x k={"k": "`, `x k={'k': '`, `transaction( a k=`} {
			c := At(before, len(before))
			line := before[:c.Start] + c.Value(text)
			if c.Literal {
				line += "}"
			}
			if strings.HasPrefix(before, "transaction") {
				line += " )"
			}
			cmd, err := Parse(line)
			want, _ := json.Marshal(text)
			want = append([]byte(`"k":`), want...)
			if err != nil || !strings.Contains(string(cmd.Wire()), string(want)) {
				t.Errorf("%s: %v, %s, want %s", line, err, cmd.Wire(), want)
			}
		}
	}
	for before, want := range map[string]string{"x ": "k=", "x {": `"k": `, `x {"`: `k": `, "x {'": "k': "} {
		if got := At(before, len(before)).Name("k"); got != want {
			t.Errorf("%s: %s, want %s", before, got, want)
		}
	}
}
