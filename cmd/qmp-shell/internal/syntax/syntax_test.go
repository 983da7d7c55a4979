package syntax

import (
	"errors"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		// Commands and arguments.
		{"query-status", `{"execute":"query-status","arguments":{}}`},
		{"  query-status\t", `{"execute":"query-status","arguments":{}}`},
		{"device_add driver=e1000 id=net1", `{"execute":"device_add","arguments":{"driver":"e1000","id":"net1"}}`},
		{"# a comment\n\n  # another\nstop", `{"execute":"stop","arguments":{}}`},
		{"exec-oob migrate-pause", `{"exec-oob":"migrate-pause","arguments":{}}`},
		{"x {\"a\": 1,\n \"b\": [True]}", `{"execute":"x","arguments":{"a":1,"b":[true]}}`},

		// Words.
		{"x a=1 b=-5 c=+7 d=007 e=-0", `{"execute":"x","arguments":{"a":1,"b":-5,"c":7,"d":7,"e":0}}`},
		{"x a=18446744073709551616", `{"execute":"x","arguments":{"a":18446744073709551616}}`},
		{"x a=0x10 b=1.5 c=1e3 d=1_0 e=- f=+-1", `{"execute":"x","arguments":{"a":"0x10","b":"1.5","c":"1e3","d":"1_0","e":"-","f":"+-1"}}`},
		{"x a=true b=FALSE c=null d=None e=none f=NULL g=yes", `{"execute":"x","arguments":{"a":true,"b":false,"c":null,"d":null,"e":"none","f":"NULL","g":"yes"}}`},
		{`x a= b=c=d e=a"b c"d f=it's g=C:\dir`, `{"execute":"x","arguments":{"a":"","b":"c=d","e":"a\"b c\"d","f":"it's","g":"C:\\dir"}}`},
		{`x filename=json:{"driver":"qcow2"}`, `{"execute":"x","arguments":{"filename":"json:{\"driver\":\"qcow2\"}"}}`},

		// Quotes.
		{`x a="b c" b='d "e"' c="5" d="" e='\'' f="\u00e9\x41\U0001F600\ud83d\ude00\n"`, `{"execute":"x","arguments":{"a":"b c","b":"d \"e\"","c":"5","d":"","e":"'","f":"éA😀😀\n"}}`},
		{"x a='b\nc'", `{"execute":"x","arguments":{"a":"b\nc"}}`},

		// Literals.
		{`x a={"b": {'c': [1, -2.50, 1E+2, 0x1F, 0b11, 0o17,]}, "d": None} e=[]`, `{"execute":"x","arguments":{"a":{"b":{"c":[1,-2.50,1E+2,31,3,15]},"d":null},"e":[]}}`},

		// Nested keys.
		{"x a.b=1 c=2 a.d.e=true", `{"execute":"x","arguments":{"a":{"b":1,"d":{"e":true}},"c":2}}`},
		{"x a.1=p a.0.b=q a.0.c=r", `{"execute":"x","arguments":{"a":[{"b":"q","c":"r"},"p"]}}`},
		{"x 0=1", `{"execute":"x","arguments":{"0":1}}`},

		// Transactions.
		{"transaction( )", `{"execute":"transaction","arguments":{"actions":[]}}`},
		{"transaction(\n# c\na x=1\n  y=2\nb\n)", `{"execute":"transaction","arguments":{"actions":[{"type":"a","data":{"x":1,"y":2}},{"type":"b","data":{}}]}}`},
		{"transaction( a x=1 b y=2 )", `{"execute":"transaction","arguments":{"actions":[{"type":"a","data":{"x":1}},{"type":"b","data":{"y":2}}]}}`},
		{"transaction(a x=f(1))", `{"execute":"transaction","arguments":{"actions":[{"type":"a","data":{"x":"f(1)"}}]}}`},
		{"transaction (a x=1)", `{"execute":"transaction","arguments":{"actions":[{"type":"a","data":{"x":1}}]}}`},
		{`transaction( a {"x": 1} b {} c ) properties.completion-mode=grouped`, `{"execute":"transaction","arguments":{"actions":[{"type":"a","data":{"x":1}},{"type":"b","data":{}},{"type":"c","data":{}}],"properties":{"completion-mode":"grouped"}}}`},
		{"transaction actions=[]", `{"execute":"transaction","arguments":{"actions":[]}}`},

		// Whole messages.
		{`{"execute": "stop"}`, `{"execute":"stop"}`},
		{"{'exec-oob': 'yank',\n 'arguments': {'instances': []}, 'id': 'mine'}", `{"exec-oob":"yank","arguments":{"instances":[]},"id":"mine"}`},
	} {
		cmd, err := Parse(tt.text)
		if err != nil || string(cmd.Wire()) != tt.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", tt.text, cmd.Wire(), err, tt.want)
		}
	}
}

func TestParseEmpty(t *testing.T) {
	for _, text := range []string{"", " \n\t", "# only a comment", "\n#a\n#b\n"} {
		if _, err := Parse(text); !errors.Is(err, ErrEmpty) {
			t.Errorf("%q: %v, want ErrEmpty", text, err)
		}
	}
}
