package proto

import (
	stdjson "encoding/json"
	"errors"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestUnmarshal(t *testing.T) {
	type object = map[string]any
	type base struct {
		NodeName string
	}
	type exact struct {
		Dashed   int `json:"a-b"`
		Plain    int `json:"ab"`
		Underbar int `json:"a_b"`
	}
	type rest struct {
		Known int
		Rest  map[string]any `json:",embed"`
	}
	type numbers struct {
		I8  int8
		I64 int64
		U64 uint64
		Big *big.Int
		F   float64
		N   stdjson.Number
		Raw jsontext.Value
	}
	for _, tt := range []struct {
		what, raw string
		want      any // the result in a new value of its type
	}{
		// Names.
		{"the field's own name", `{"NodeName":"a"}`, base{"a"}},
		{"dashes and case", `{"node-name":"a"}`, base{"a"}},
		{"underscores", `{"node_name":"a"}`, base{"a"}},
		{"an unknown member", `{"node":"b","node-name":"a","x":[{}]}`, base{"a"}},
		{"an embedded struct", `{"node-name":"a","Own-Field":1}`, struct {
			base2
			OwnField int
		}{base2{"a"}, 1}},
		{"exact matches, each its own", `{"a_b":3,"ab":2,"a-b":1}`, exact{1, 2, 3}},
		{"an escaped name", `{"\u006eode-name":"a"}`, base{"a"}},
		{"a repeated member", `{"node-name":"a","node-name":"b"}`, base{"b"}},
		{"two members for one field", `{"node-name":"a","node_name":"b"}`, base{"b"}},
		{"the rest", `{"known":1,"a-b":2,"c":[3]}`, rest{1, object{"a-b": int64(2), "c": []any{int64(3)}}}},
		{"keys of a map stay", `{"a-b":1,"a_b":2,"AB":3}`, map[string]int{"a-b": 1, "a_b": 2, "AB": 3}},
		{"structs in lists and maps", `{"x":[{"node-name":"a"}]}`, map[string][]base{"x": {{"a"}}}},

		// Numbers.
		{
			"integers", `{"i8":-128,"i64":-9223372036854775808,"u64":18446744073709551615,"big":18446744073709551616,"f":0.5,"n":9007199254740993,"raw":1.0}`,
			numbers{-128, math.MinInt64, math.MaxUint64, bigInt(t, "18446744073709551616"), 0.5, "9007199254740993", jsontext.Value("1.0")},
		},
		{"a Number from a text", `["12",null,1e3]`, []stdjson.Number{"12", "", "1e3"}},
		{"any in a struct", `{"a":9007199254740993}`, struct{ A any }{int64(9007199254740993)}},
		{
			"any in a list", `[1,18446744073709551615,18446744073709551616,1.0,1e400]`,
			[]any{int64(1), uint64(math.MaxUint64), bigInt(t, "18446744073709551616"), 1.0, math.Inf(1)},
		},
		{"any in a map", `{"a":1,"b":{"c":[2]},"d":null}`, object{"a": int64(1), "b": object{"c": []any{int64(2)}}, "d": nil}},
		{"any in a map of maps", `{"a":{"b":1}}`, map[string]map[string]any{"a": {"b": int64(1)}}},
		{"any, repeated, of another type", `{"a":18446744073709551616,"a":"x"}`, struct{ A any }{"x"}},
		{"any, repeated, objects", `{"a":{"b":1},"a":{"c":2}}`, struct{ A any }{object{"c": int64(2)}}},
		{"structs, repeated, are merged", `{"a":{"b":1},"a":{"c":2}}`, struct{ A struct{ B, C int } }{struct{ B, C int }{1, 2}}},
		{"any, null", `{"a":null}`, struct{ A any }{nil}},

		// Faults that the Framer accepts.
		{"invalid UTF-8", "{\"node-name\":\"a\xff\",\"x\xff\":1}", base{"a\ufffd"}},
		{"invalid UTF-8 in an any", "[\"a\xff\",{\"b\xff\":\"\\ud800\"}]", []any{"a\ufffd", object{"b\ufffd": "\ufffd"}}},
		{"white space", " \r\n[ 1 ]\t", []any{int64(1)}},
	} {
		v := reflect.New(reflect.TypeOf(tt.want))
		if err := Unmarshal([]byte(tt.raw), v.Interface()); err != nil || !reflect.DeepEqual(v.Elem().Interface(), tt.want) {
			t.Errorf("%s: %s is %#v (%v), want %#v", tt.what, tt.raw, v.Elem().Interface(), err, tt.want)
		}
	}

	// Unmarshal into an any.
	var v any
	if err := Unmarshal([]byte(`{"a":9007199254740993}`), &v); err != nil || !reflect.DeepEqual(v, object{"a": int64(9007199254740993)}) {
		t.Errorf("any: got %#v and error %v", v, err)
	}
	// If an any holds a pointer, Unmarshal fills what it points to.
	var inner base
	outer := struct{ A any }{&inner}
	if err := Unmarshal([]byte(`{"a":{"node-name":"x"}}`), &outer); err != nil || inner.NodeName != "x" || outer.A != &inner {
		t.Errorf("an any that holds a pointer: got %+v, %+v and error %v", inner, outer, err)
	}
	// Any other value in an any is replaced.
	v = object{"old": 1}
	if err := Unmarshal([]byte(`{"a":1}`), &v); err != nil || !reflect.DeepEqual(v, object{"a": int64(1)}) {
		t.Errorf("an any that holds a map: got %#v and error %v", v, err)
	}
}

type base2 struct{ NodeName string }

func TestUnmarshalRefuses(t *testing.T) {
	for _, tt := range []struct {
		raw  string
		v    any
		want string // part of the error
	}{
		{`{"n":1.0}`, new(struct{ N int64 }), "1.0"},
		{`{"n":1e3}`, new(struct{ N int64 }), "1e3"},
		{`{"n":9223372036854775808}`, new(struct{ N int64 }), "9223372036854775808"},
		{`{"n":-1}`, new(struct{ N uint64 }), "-1"},
		{`{"n":"1"}`, new(struct{ N int }), "string"},
		{`{"a_b":1}`, new(struct {
			A int `json:"a-b"`
			B int `json:"ab"`
		}), "a_b"}, // the name matches two fields
		{`{} {}`, new(any), "after top-level value"},
		{`{`, new(any), "EOF"},
		{``, new(any), "EOF"},
	} {
		if err := Unmarshal([]byte(tt.raw), tt.v); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s into %T: got error %v, want one about %q", tt.raw, tt.v, err, tt.want)
		}
	}
	var frame *FrameError
	long := `[[` + strings.Repeat("1", MaxDigits+1) + `]]`
	for _, v := range []any{new(any), new([]any), new([][]any)} {
		if err := Unmarshal([]byte(long), v); !errors.As(err, &frame) || frame.Fault != BadNumber {
			t.Errorf("a number of %d digits into %T: got error %v, want a FrameError", MaxDigits+1, v, err)
		}
	}
}

// FuzzUnmarshal requires Unmarshal into an any to give the same value as Decode,
// wherever the any is, and not to panic for any bytes.
func FuzzUnmarshal(f *testing.F) {
	for _, s := range objects {
		f.Add([]byte(s))
	}
	type node struct {
		A, B     any
		AB       int
		NodeName *node
		Rest     jsontext.Value `json:",embed"`
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_ = Unmarshal(raw, new(node))
		_ = Unmarshal(raw, new(map[string]*node))
		valid := jsontext.Value(raw).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		var top any
		err := Unmarshal(raw, &top)
		if !valid {
			if err == nil {
				t.Fatalf("%q is not JSON, and became %#v", raw, top)
			}
			return
		}
		want, wantErr := Decode(raw)
		if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(top, want) {
			t.Fatalf("%q became %#v (%v), want %#v (%v)", raw, top, err, want, wantErr)
		}
		var list []any
		err = Unmarshal(append(append([]byte{'['}, raw...), ']'), &list)
		if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(list, []any{want}) {
			t.Fatalf("[%q] became %#v (%v), want %#v (%v)", raw, list, err, want, wantErr)
		}
	})
}
