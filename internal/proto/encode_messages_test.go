package proto

import (
	"bytes"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Tests of the functions in encode.go that write whole messages and their parts.

func TestAppendText(t *testing.T) {
	for _, tt := range []struct{ s, want string }{
		{"", `""`},
		{"query-status", `"query-status"`},
		{"\"\\/\b\f\n\r\t\x00\x1f\x7f", `"\"\\/\b\f\n\r\t\u0000\u001f\u007f"`},
		{"é\u2028😀\U0010ffff", `"\u00e9\u2028\ud83d\ude00\udbff\udfff"`},
		{"a\xffb\xed\xa0\x80", `"a\ufffdb\ufffd\ufffd\ufffd"`},
	} {
		if got := string(AppendText([]byte("x:"), tt.s)); got != "x:"+tt.want {
			t.Errorf("%q: got %s, want %s", tt.s, got, tt.want)
		}
	}
	// Every rune is decoded again as it was.
	for r := range rune(utf8.MaxRune + 1) {
		if utf16.IsSurrogate(r) || raceEnabled && r%37 != 0 {
			continue
		}
		if got, ok := Text(AppendText(nil, string(r))); !ok || got != string(r) {
			t.Fatalf("%U is decoded as %q", r, got)
		}
	}
}

func TestAppendCommand(t *testing.T) {
	for _, tt := range []struct {
		name string
		oob  bool
		args []byte
		id   ID
		want string
	}{
		{"stop", false, nil, ID{}, `{"execute":"stop"}`},
		{"stop", false, nil, Number(1), `{"execute":"stop","id":1}`},
		{"stop", false, []byte{}, Number(1), `{"execute":"stop","id":1}`},
		{"stop", false, []byte(`{}`), Number(1 << 63), `{"execute":"stop","arguments":{},"id":9223372036854775808}`},
		{"x-oob", true, []byte(`{"a":1}`), TextualID("é"), `{"exec-oob":"x-oob","arguments":{"a":1},"id":"\u00e9"}`},
		{"a\"b\n\x7f😀", false, nil, TextualID(""), `{"execute":"a\"b\n\u007f\ud83d\ude00","id":""}`},
		{"", true, nil, ID{}, `{"exec-oob":""}`},
	} {
		raw := AppendCommand([]byte("dst"), tt.name, tt.oob, tt.args, tt.id)
		if string(raw) != "dst"+tt.want {
			t.Errorf("got  %s\nwant %s", raw[3:], tt.want)
		}
		checkWire(t, raw[3:])
		c := ParseCommand(raw[3:])
		if c.Name != tt.name || c.OOB != tt.oob || c.ID != tt.id || !bytes.Equal(c.Arguments, tt.args) || c.Unknown != "" {
			t.Errorf("%s is parsed as %+v", raw[3:], c)
		}
	}
}

func TestAppendWithID(t *testing.T) {
	for _, tt := range []struct {
		obj  string
		id   ID
		want string
	}{
		{`{}`, ID{}, `{}`},
		{`{}`, Number(1), `{"id":1}`},
		{`{"execute":"x"}`, ID{}, `{"execute":"x"}`},
		{`{"execute":"x"}`, Number(7), `{"execute":"x","id":7}`},
		{`{"execute":"x","arguments":{}}`, TextualID("a"), `{"execute":"x","arguments":{},"id":"a"}`},
	} {
		obj := []byte(tt.obj)
		if got := string(AppendWithID([]byte("dst"), obj, tt.id)); got != "dst"+tt.want {
			t.Errorf("got  %s\nwant %s", got[3:], tt.want)
		}
		if string(obj) != tt.obj {
			t.Errorf("the object became %s", obj)
		}
	}
}

func TestServerEncoders(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{string(AppendReturn([]byte("x"), []byte(`[1]`), []byte(`{"any":"id"}`))), `x{"return":[1],"id":{"any":"id"}}`},
		{string(AppendReturn(nil, []byte(`{}`), nil)), `{"return":{}}`},
		{string(AppendReturn(nil, nil, []byte("1"))), `{"return":{},"id":1}`},
		{
			string(AppendError([]byte("x"), "GenericError", "a \"b\" é", []byte("null"))),
			`x{"error":{"class":"GenericError","desc":"a \"b\" \u00e9"},"id":null}`,
		},
		{string(AppendError(nil, "C", "", nil)), `{"error":{"class":"C","desc":""}}`},
		{string(AppendEvent([]byte("x"), "STOP", nil, 1, 2)), `x{"timestamp":{"seconds":1,"microseconds":2},"event":"STOP"}`},
		{string(AppendEvent(nil, "é", []byte(`{"a":1}`), -1, -1)), `{"timestamp":{"seconds":-1,"microseconds":-1},"event":"\u00e9","data":{"a":1}}`},
	} {
		if tt.got != tt.want {
			t.Errorf("got  %s\nwant %s", tt.got, tt.want)
		}
	}

	// ParseMessage reads what the encoders of a server's messages write.
	m := ParseMessage(AppendError(nil, "DeviceNotFound", "no\n\x7f", []byte("7")))
	if class, desc, ok := ParseError(m.Error); !ok || class != "DeviceNotFound" || desc != "no\n\x7f" || m.ID != Number(7) {
		t.Errorf("error: %q, %q, %v, %+v", class, desc, ok, m.ID)
	}
	m = ParseMessage(AppendEvent(nil, "RESET", []byte(`{"guest":true}`), 5, 6))
	if name, _ := Text(m.Event); name != "RESET" || string(m.Data) != `{"guest":true}` || !ParseTimestamp(m.Timestamp).Equal(time.Unix(5, 6000)) {
		t.Errorf("event: %s", m.Raw)
	}
}
