package proto

import (
	stdjson "encoding/json"
	"strings"
	"testing"
	"testing/iotest"
)

func TestSmoke(t *testing.T) {
	in := "  {\"a\":1}\r\n\n{\"b\": [\n1,\n2]}{\"c\":{}} \r\n" + `{"big":"` + strings.Repeat("x", 100000) + `"}{"d":2}`
	f := NewFramer(iotest.OneByteReader(strings.NewReader(in)), 0, nil)
	for {
		m, err := f.Next()
		if err != nil {
			t.Log(err)
			break
		}
		t.Log(string(m[:min(len(m), 40)]))
	}
	for _, in := range []string{"nonsense\n", "[", "null\n", "12", `{"a":NaN}`, "SSH-2.0", `{"a"`, strings.Repeat(`{"a":`, 10001), `{"x":"` + strings.Repeat("x", 2000) + `"}`, "   \xef\xbb\xbf{}", "{}\n  "} {
		f := NewFramer(strings.NewReader(in), 1000, nil)
		if len(in) > 10000 {
			f = NewFramer(strings.NewReader(in), 0, nil)
		}
		_, err := f.Next()
		t.Log(err)
	}
	for _, v := range []any{stdjson.RawMessage(`{"a":"\ud800"}`), stdjson.RawMessage(`{"a":1,"a":2}`), map[string]any{"b": 1.0, "a": "é😀\x7f/<>\n\x00"}, (*struct{})(nil), []int{}, map[string]any(nil), stdjson.RawMessage(nil), stdjson.RawMessage(` { "a" : 1.0 , "b":"\/" } `), map[string]any{"a": "\xff"}, map[string]any{"a": stdjson.RawMessage(`{"b":1,"b":1}`)}} {
		b, err := AppendObject(nil, v)
		t.Log(string(b), err)
	}
}
