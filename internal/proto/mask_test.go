package proto

import (
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	for _, tt := range []struct {
		msg   string
		names []string
		want  string
	}{
		{`{}`, []string{"a"}, `{}`},
		{`{"a":"secret","b":1}`, []string{"a"}, `{"a":"***","b":1}`},
		{`{"a":"secret","b":1}`, nil, `{"a":"secret","b":1}`},
		{`{"b":{"c":[1,{"a":["secret",{"a":"secret"}],"d":"a"}]},"a":null}`, []string{"a"}, `{"b":{"c":[1,{"a":"***","d":"a"}]},"a":"***"}`},
		{`{"a":{"b":"secret"},"b":-5e1,"c":true}`, []string{"b", "a"}, `{"a":"***","b":"***","c":true}`},
		{`{"\u0061":"secret","a ":"kept","A":"kept"}`, []string{"a"}, `{"\u0061":"***","a ":"kept","A":"kept"}`},
		{`{"a":"secret","a":"secret"}`, []string{"a"}, `{"a":"***","a":"***"}`},
		{`{"x":"a","y":["a","a:",":"],"z":"\"a\":"}`, []string{"a"}, `{"x":"a","y":["a","a:",":"],"z":"\"a\":"}`},
		{`{"a":"sec\\\"ret\\","b":"\\"}`, []string{"a"}, `{"a":"***","b":"\\"}`},
		{"\r\n{ \"a\" :\n\t[ \"sec ret\" ] , \"b\" : \"x y\" , \"c\" : [ 1 , 2 ] }\n", []string{"a"}, `{"a":"***","b":"x y","c":[1,2]}`},
		{`[{"a":1},"a"]`, []string{"a"}, `[{"a":"***"},"a"]`},
		{`"a"`, []string{"a"}, `"a"`},
		{nestedArrays(MaxDepth), []string{"b"}, nestedArrays(MaxDepth)},
		{nested(MaxDepth), []string{"b"}, nested(MaxDepth)},
		{`{"b":` + nested(MaxDepth-1) + `}`, []string{"a"}, `{"b":{"a":"***"}}`},
	} {
		msg := []byte(tt.msg)
		if got := string(Mask(msg, tt.names)); got != tt.want {
			t.Errorf("%.100s without %q:\n got %.200s\nwant %.200s", tt.msg, tt.names, got, tt.want)
		}
		if string(msg) != tt.msg {
			t.Errorf("the message became %.100s", msg)
		}
	}
	// Mask reads each byte once, however deep it is. This would take a minute if each
	// level read all levels within it again.
	long := strings.Repeat(`{"a":`, 9000) + `"` + strings.Repeat("x", 4<<20) + `"` + strings.Repeat("}", 9000)
	if got := Mask([]byte(long), []string{"b"}); string(got) != long {
		t.Errorf("%d bytes of %d", len(got), len(long))
	}
}
