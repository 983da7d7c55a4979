package proto

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// A member is a name and a value that Members passes to its function.
type member struct{ name, value string }

// members returns what Members passes to its function.
func members(obj string) []member {
	var got []member
	Members([]byte(obj), func(name string, value []byte) bool {
		got = append(got, member{name, string(value)})
		return true
	})
	return got
}

func TestMembers(t *testing.T) {
	for _, tt := range []struct {
		obj  string
		want []member
	}{
		{`{}`, nil},
		{" \t\r\n{ \t\r\n} ", nil},
		{`{"a":1}`, []member{{"a", "1"}}},
		{`{"a":1,"b":[1,{"c":2}],"d":{"e":"}"}}`, []member{{"a", "1"}, {"b", `[1,{"c":2}]`}, {"d", `{"e":"}"}`}}},
		{" { \"a\" :\n1 ,\r\n\t\"b\" : [ 1 , 2 ] , \"c\" : null\n} ", []member{{"a", "1"}, {"b", "[ 1 , 2 ]"}, {"c", "null"}}},
		{`{"a":1,"a":2,"\u0061":3}`, []member{{"a", "1"}, {"a", "2"}, {"a", "3"}}},
		{
			`{"a":true,"b":false,"c":null,"d":-1.5e+3,"e":""}`,
			[]member{{"a", "true"}, {"b", "false"}, {"c", "null"}, {"d", "-1.5e+3"}, {"e", `""`}},
		},
		{
			`{"\"":"\"","\\":"\\","\\\"":"\\\"","{":"[","\u007d":"]"}`,
			[]member{{`"`, `"\""`}, {`\`, `"\\"`}, {`\"`, `"\\\""`}, {"{", `"["`}, {"}", `"]"`}},
		},
		{`{"\u00e9\ud83d\ude00":1,"é😀":2}`, []member{{"é😀", "1"}, {"é😀", "2"}}},
		{"{\"\\ud800\":1,\"\xff\":2,\"a\xc3(\":3}", []member{{"\ufffd", "1"}, {"\ufffd", "2"}, {"a\ufffd(", "3"}}},
		{`{"":0}`, []member{{"", "0"}}},
		{
			`{"a":` + nested(MaxDepth-1) + `,"b":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`,
			[]member{{"a", nested(MaxDepth - 1)}, {"b", strings.Repeat("[", 500) + strings.Repeat("]", 500)}},
		},

		// Values that are not objects.
		{"", nil},
		{" ", nil},
		{`["a",1]`, nil},
		{`"a"`, nil},
		{`null`, nil},
		{`12`, nil},
	} {
		if got := members(tt.obj); !slices.Equal(got, tt.want) {
			t.Errorf("%.80s:\n got %.200q\nwant %.200q", tt.obj, got, tt.want)
		}
	}

	calls := 0
	Members([]byte(`{"a":1,"b":2,"c":3}`), func(string, []byte) bool { calls++; return calls < 2 })
	if calls != 2 {
		t.Errorf("%d calls, want yield's false to end it at 2", calls)
	}

	obj := []byte(`{"a":1,"b":2}`)
	Members(obj, func(_ string, v []byte) bool { _ = append(v, "xxxx"...); return true })
	if string(obj) != `{"a":1,"b":2}` {
		t.Errorf("appending to a value wrote into the object: %s", obj)
	}
}

func TestElements(t *testing.T) {
	for _, tt := range []struct {
		arr  string
		want []string
	}{
		{`[]`, nil},
		{" [\r\n\t] ", nil},
		{`[1]`, []string{"1"}},
		{` [ 1 , "a,]" , [ 2 ] , {"b":[3]},null,true , false,-0.5 ] `, []string{"1", `"a,]"`, "[ 2 ]", `{"b":[3]}`, "null", "true", "false", "-0.5"}},
		{`[[[]],[],{}]`, []string{"[[]]", "[]", "{}"}},
		{`["\\","\"",""]`, []string{`"\\"`, `"\""`, `""`}},
		{"", nil},
		{`{"a":[1]}`, nil},
		{`"[1]"`, nil},
		{`null`, nil},
	} {
		var got []string
		Elements([]byte(tt.arr), func(v []byte) bool {
			got = append(got, string(v))
			return true
		})
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.arr, got, tt.want)
		}
	}

	calls := 0
	Elements([]byte(`[1,2,3]`), func([]byte) bool { calls++; return calls < 2 })
	if calls != 2 {
		t.Errorf("%d calls, want yield's false to end it at 2", calls)
	}
}

func TestText(t *testing.T) {
	for _, tt := range []struct {
		value, want string
		ok          bool
	}{
		{`"a"`, "a", true},
		{`""`, "", true},
		{`"\u0000\"\\\/\b\f\n\r\t\u00E9\ud83d\ude00"`, "\x00\"\\/\b\f\n\r\té😀", true},
		{`"\ud800"`, "\ufffd", true},
		{`"\udc00\ud800x\ud83d\ud83d\ude00"`, "\ufffd\ufffdx\ufffd😀", true},
		{`"\ud800\u0041"`, "\ufffdA", true},
		{"\"é\"", "é", true},
		{"\"\xff\xfe\"", "\ufffd\ufffd", true},
		{"\"a\\n\xff\"", "a\n\ufffd", true},
		{"\"\xed\xa0\x80\"", "\ufffd\ufffd\ufffd", true},
		{`null`, "", false},
		{`1`, "", false},
		{`{"a":"b"}`, "", false},
		{`["a"]`, "", false},
		{``, "", false},
	} {
		if got, ok := Text([]byte(tt.value)); got != tt.want || ok != tt.ok {
			t.Errorf("%s: got %q, %v; want %q, %v", tt.value, got, ok, tt.want, tt.ok)
		}
	}
}

func TestKindOfValue(t *testing.T) {
	for value, want := range map[string][2]bool{
		"{}": {true, false}, "[]": {false, true}, `"{"`: {}, "null": {}, "1": {}, "": {},
	} {
		if got := [2]bool{IsObject([]byte(value)), IsArray([]byte(value))}; got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

func TestParseMessage(t *testing.T) {
	b := func(s string) []byte { return []byte(s) }
	for _, tt := range []struct {
		raw  string
		want Message
	}{
		{`{}`, Message{}},
		{`{"QMP": {"version": {}, "capabilities": ["oob"]}}`, Message{QMP: b(`{"version": {}, "capabilities": ["oob"]}`)}},
		{`{"return": {}, "id": 7}`, Message{Return: b("{}"), ID: Number(7)}},
		{`{"return":null,"id":"a\"b"}`, Message{Return: b("null"), ID: TextualID(`a"b`)}},
		{`{"id": 1, "error": {"class": "GenericError", "desc": "no"}}`, Message{Error: b(`{"class": "GenericError", "desc": "no"}`), ID: Number(1)}},
		{
			`{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "data": {"a": [1]}}`,
			Message{Timestamp: b(`{"seconds": 1, "microseconds": 2}`), Event: b(`"STOP"`), Data: b(`{"a": [1]}`)},
		},
		{"{\r\n    \"return\": {\r\n    },\r\n    \"id\": 1\r\n}", Message{Return: b("{\r\n    }"), ID: Number(1)}},
		{`{"\u0065vent":"A","d\u0061ta":{},"\u0069d":2,"\u0051MP":1}`, Message{Event: b(`"A"`), Data: b("{}"), ID: Number(2), QMP: b("1")}},
		{`{"return":1,"return":2,"id":1,"id":2,"r\u0065turn":3}`, Message{Return: b("3"), ID: Number(2)}},
		{`{"id":1,"id":null}`, Message{}},
		{`{"Return":1,"EVENT":2,"qmp":3,"ID":4,"Id":5,"return ":6}`, Message{}},
		{`{"a":{"return":1,"id":2},"b":[{"event":"x"}]}`, Message{}},
		{`{"event":5,"error":"x","data":[],"timestamp":null}`, Message{Event: b("5"), Error: b(`"x"`), Data: b("[]"), Timestamp: b("null")}},
	} {
		want := tt.want
		want.Raw = b(tt.raw)
		got := ParseMessage(b(tt.raw))
		want.at = got.at // the positions: the members themselves are compared
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.raw, got, want)
		}

		raw := b(tt.raw)
		clone := ParseMessage(raw).Keep()
		clear(raw)
		want.own = true
		if !reflect.DeepEqual(clone, want) {
			t.Errorf("%s: the clone went with the original: %+v", tt.raw, clone)
		}
	}
}

func TestIDs(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  ID
	}{
		{`1`, Number(1)},
		{`0`, Number(0)},
		{`9007199254740993`, Number(1<<53 + 1)},
		{`18446744073709551615`, Number(1<<64 - 1)},
		{`"x"`, TextualID("x")},
		{`""`, TextualID("")},
		{`"1"`, TextualID("1")},
		{`"__qmp#00001"`, TextualID("__qmp#00001")},
		{`"\u0031\ud83d\ude00"`, TextualID("1😀")},
		{`null`, ID{}},

		{`18446744073709551616`, ID{Kind: OtherID}},
		{`100000000000000000000`, ID{Kind: OtherID}},
		{strings.Repeat("9", 5000), ID{Kind: OtherID}},
		{`-1`, ID{Kind: OtherID}},
		{`-0`, ID{Kind: OtherID}},
		{`1.0`, ID{Kind: OtherID}},
		{`1e0`, ID{Kind: OtherID}},
		{`1E2`, ID{Kind: OtherID}},
		{`true`, ID{Kind: OtherID}},
		{`false`, ID{Kind: OtherID}},
		{`[]`, ID{Kind: OtherID}},
		{`[1]`, ID{Kind: OtherID}},
		{`{}`, ID{Kind: OtherID}},
		{`{"id":1}`, ID{Kind: OtherID}},
	} {
		if got := ParseMessage([]byte(`{"return":{},"id":` + tt.value + `}`)).ID; got != tt.want {
			t.Errorf("reply's id %.40s: got %+v, want %+v", tt.value, got, tt.want)
		}
		c := ParseCommand([]byte(`{"execute":"x","id": ` + tt.value + ` }`))
		if c.ID != tt.want || string(c.RawID) != tt.value {
			t.Errorf("command's id %.40s: got %+v, raw %.40s; want %+v", tt.value, c.ID, c.RawID, tt.want)
		}
	}
	if got := ParseMessage([]byte(`{"return":{}}`)).ID; got != (ID{}) {
		t.Errorf("no id: got %+v", got)
	}

	for _, tt := range []struct {
		id   ID
		want string
	}{
		{Number(0), "0"},
		{Number(1<<64 - 1), "18446744073709551615"},
		{TextualID("a\"\x7fé😀"), `"a\"\u007f\u00e9\ud83d\ude00"`},
		{TextualID(""), `""`},
		{ID{}, "null"},
		{ID{Kind: OtherID}, "null"},
	} {
		if got := string(tt.id.Append([]byte("id:"))); got != "id:"+tt.want {
			t.Errorf("%+v: got %s, want %s", tt.id, got, tt.want)
		}
		if back := parseID([]byte(tt.want)); back != tt.id && tt.id.Kind != OtherID {
			t.Errorf("%+v comes back as %+v", tt.id, back)
		}
	}

	// Ids are keys of a map: no id may equal another.
	distinct := map[ID]bool{{}: true, Number(0): true, Number(1): true, TextualID(""): true, TextualID("0"): true, TextualID("1"): true, {Kind: OtherID}: true}
	if len(distinct) != 7 {
		t.Errorf("%d distinct ids, want 7", len(distinct))
	}
}

func TestParseError(t *testing.T) {
	for _, tt := range []struct {
		value, class, desc string
		ok                 bool
	}{
		{`{"class":"GenericError","desc":"no"}`, "GenericError", "no", true},
		{" { \"desc\" : \"\\u00e9\\n\" , \"class\" : \"\" , \"more\" : {\"class\":1} } ", "", "é\n", true},
		{`{"class":"A","class":"B","desc":"a","\u0064esc":"b"}`, "B", "b", true},
		{`{"class":"A","class":1,"desc":"a"}`, "", "a", false},
		{`{"class":"A"}`, "A", "", false},
		{`{"desc":"a"}`, "", "a", false},
		{`{"class":null,"desc":"a"}`, "", "a", false},
		{`{"class":"A","desc":["a"]}`, "A", "", false},
		{`{}`, "", "", false},
		{`[]`, "", "", false},
		{`"class"`, "", "", false},
		{``, "", "", false},
	} {
		class, desc, ok := ParseError([]byte(tt.value))
		if ok != tt.ok || ok && (class != tt.class || desc != tt.desc) {
			t.Errorf("%s: got %q, %q, %v", tt.value, class, desc, ok)
		}
	}
}

func TestParseTimestamp(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  time.Time
	}{
		{`{"seconds":1700000000,"microseconds":123456}`, time.Unix(1700000000, 123456000)},
		{" { \"microseconds\" : 999999 , \"seconds\" : 0 } ", time.Unix(0, 999999000)},
		{`{"seconds":0,"microseconds":0}`, time.Unix(0, 0)},
		{`{"seconds":1,"seconds":2,"\u006dicroseconds":3,"more":"x"}`, time.Unix(2, 3000)},
		{`{"seconds":253402300799,"microseconds":999999}`, time.Unix(253402300799, 999999000)},

		{`{"seconds":-1,"microseconds":-1}`, time.Time{}},
		{`{"seconds":1}`, time.Time{}},
		{`{"microseconds":1}`, time.Time{}},
		{`{"seconds":1,"microseconds":1000000}`, time.Time{}},
		{`{"seconds":1.5,"microseconds":1}`, time.Time{}},
		{`{"seconds":"1","microseconds":1}`, time.Time{}},
		{`{"seconds":1,"microseconds":null}`, time.Time{}},
		{`{"seconds":253402300800,"microseconds":0}`, time.Time{}},
		{`{"seconds":9223372036854775807,"microseconds":0}`, time.Time{}},
		{`{"seconds":9223372036854775808,"microseconds":0}`, time.Time{}},
		{`{"seconds":` + strings.Repeat("9", 5000) + `,"microseconds":0}`, time.Time{}},
		{`{}`, time.Time{}},
		{`null`, time.Time{}},
		{`[1,2]`, time.Time{}},
		{``, time.Time{}},
	} {
		got := ParseTimestamp([]byte(tt.value))
		if !got.Equal(tt.want) || got.IsZero() != tt.want.IsZero() {
			t.Errorf("%.80s: got %v, want %v", tt.value, got, tt.want)
		}
		if _, err := got.UTC().MarshalJSON(); err != nil {
			t.Errorf("%.80s: %v", tt.value, err)
		}
	}
}

func TestParseCommand(t *testing.T) {
	b := func(s string) []byte { return []byte(s) }
	for _, tt := range []struct {
		raw  string
		want Command
	}{
		{`{}`, Command{}},
		{`{"execute":"query-status"}`, Command{Name: "query-status", HasName: true}},
		{
			`{"execute": "stop", "arguments": {"a": 1}, "id": 3}`,
			Command{Name: "stop", HasName: true, Arguments: b(`{"a": 1}`), ID: Number(3), RawID: b("3")},
		},
		{`{"exec-oob":"x","id":"y"}`, Command{Name: "x", HasName: true, OOB: true, ID: TextualID("y"), RawID: b(`"y"`)}},
		{`{"execute":"x","id":null}`, Command{Name: "x", HasName: true, RawID: b("null")}},
		{`{"\u0065xecute":"\u0073top"}`, Command{Name: "stop", HasName: true}},
		{`{"execute":"a","execute":"b"}`, Command{Name: "b", HasName: true}},
		{`{"execute":""}`, Command{HasName: true}},
		{`{"execute":5}`, Command{}},
		{`{"execute":{"a":"b"}}`, Command{}},
		{`{"execute":"x","arguments":[]}`, Command{Name: "x", HasName: true, Arguments: b("[]")}},
		{`{"execute":"x","Arguments":{}}`, Command{Name: "x", HasName: true, Unknown: "Arguments"}},
		{`{"event":"x"}`, Command{Unknown: "event"}},
	} {
		want := tt.want
		want.Raw = b(tt.raw)
		if got := ParseCommand(b(tt.raw)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.raw, got, want)
		}
	}
}

// TestWalkersEnd gives the walkers bytes that a Framer never returns. They promise no
// result for these, but they must end, and must not read past the bytes.
func TestWalkersEnd(t *testing.T) {
	for _, in := range []string{`{"a`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":[1,`, `[1,`, `[`, `["`, `["\`, `{"a":"\"`, `{`, `{,`, `[,,]`, `{"a":}`, `]`} {
		b := bytes.Clone([]byte(in)[:len(in):len(in)])
		Members(b, func(string, []byte) bool { return true })
		Elements(b, func([]byte) bool { return true })
		Mask(b, []string{"a"})
	}
	if v, err := Decode([]byte("[}")); err != nil || len(v.([]any)) != 1 {
		t.Errorf("got %v, %v", v, err)
	}
}
