package proto

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Tests of AppendObject in encode.go: which Go values encode to which bytes, and which
// are refused.

// marshaler has a MarshalJSON method.
type marshaler struct {
	text string
	err  error
}

func (m marshaler) MarshalJSON() ([]byte, error) { return []byte(m.text), m.err }

type pointerMarshaler struct{ text string }

func (m *pointerMarshaler) MarshalJSON() ([]byte, error) { return []byte(m.text), nil }

type textMarshaler struct{ text string }

func (m textMarshaler) MarshalText() ([]byte, error) { return []byte(m.text), nil }

func TestAppendObject(t *testing.T) {
	type inner struct {
		Z int    `json:"z"`
		A string `json:"a,omitempty"`
	}
	type outer struct {
		Node  string              `json:"node-name"`
		Depth int                 `json:"-"`
		Big   uint64              `json:"big"`
		Inner inner               `json:"inner"`
		List  []string            `json:"list"`
		Ptr   *bool               `json:"ptr,omitempty"`
		Raw   stdjson.RawMessage  `json:"raw"`
		Any   any                 `json:"any"`
		Map   map[string]int      `json:"map"`
		Extra map[string]struct{} `json:"extra,omitempty"`
	}
	wide := map[string]any{}
	wideWant := "{"
	for i := range 300 {
		wide[fmt.Sprintf("k%03d", i)] = i
		wideWant += fmt.Sprintf(`"k%03d":%d,`, i, i)
	}
	wideWant = strings.TrimSuffix(wideWant, ",") + "}"

	for _, tt := range []struct {
		name string
		v    any
		want string
	}{
		{"empty map", map[string]any{}, `{}`},
		{"nil map", map[string]any(nil), `{}`},
		{"nil typed map", map[string]int(nil), `{}`},
		{"empty struct", struct{}{}, `{}`},
		{
			"struct keeps its order",
			outer{Node: "n", Depth: 1, Big: 1<<64 - 1, Inner: inner{Z: -1}, Raw: stdjson.RawMessage(` [ 1 , "a b" ] `)},
			`{"node-name":"n","big":18446744073709551615,"inner":{"z":-1},"list":[],"raw":[1,"a b"],"any":null,"map":{}}`,
		},
		{"pointer to struct", &inner{Z: 1, A: "x"}, `{"z":1,"a":"x"}`},
		{"map is sorted", wide, wideWant},
		{"inner map is sorted", struct {
			M map[string]any `json:"m"`
		}{wide}, `{"m":` + wideWant + `}`},
		{"map of maps", map[string]map[string]int{"b": {"d": 1, "c": 2}, "a": nil}, `{"a":{},"b":{"c":2,"d":1}}`},
		{"map with integer keys", map[int]string{10: "b", 9: "a"}, `{"10":"b","9":"a"}`},
		{"raw keeps its order", stdjson.RawMessage(" { \"b\" : 1.0 ,\r\n\t\"a\" : [ 1e5 , -0 ] } \n"), `{"b":1.0,"a":[1e5,-0]}`},
		{"jsontext.Value", jsontext.Value(`{"b":1.0, "a":{}}`), `{"b":1.0,"a":{}}`},
		{
			"inner raw keeps its order",
			map[string]any{"r": stdjson.RawMessage(`{"z":1,"a":2}`), "q": jsontext.Value(`{"z":1.50,"a":2}`)},
			`{"q":{"z":1.50,"a":2},"r":{"z":1,"a":2}}`,
		},
		{"nil raw within", map[string]any{"r": stdjson.RawMessage(nil)}, `{"r":null}`},
		{"MarshalJSON", marshaler{text: ` {"b": 1, "a": 2} `}, `{"b":1,"a":2}`},
		{"MarshalJSON of a pointer", &pointerMarshaler{text: `{"b":1,"a":2}`}, `{"b":1,"a":2}`},
		{"MarshalJSON within", map[string]any{"m": marshaler{text: `{"b":1.0}`}, "n": &pointerMarshaler{text: `[]`}}, `{"m":{"b":1.0},"n":[]}`},
		{"MarshalText within", map[string]any{"t": textMarshaler{text: "é"}}, `{"t":"\u00e9"}`},
		{
			"integers",
			map[string]any{"a": int64(math.MinInt64), "b": uint64(math.MaxUint64), "c": int64(1<<53 + 1), "d": int8(-128)},
			`{"a":-9223372036854775808,"b":18446744073709551615,"c":9007199254740993,"d":-128}`,
		},
		{
			"big integers",
			map[string]any{"a": bigInt(t, "18446744073709551616"), "b": bigInt(t, "-"+strings.Repeat("9", 50)), "c": *big.NewInt(5)},
			`{"a":18446744073709551616,"b":-` + strings.Repeat("9", 50) + `,"c":5}`,
		},
		{"raw big integer", stdjson.RawMessage(`{"a":123456789012345678901234567890}`), `{"a":123456789012345678901234567890}`},
		{"floats", map[string]any{"a": 0.1, "b": 1.0, "c": -2.5, "d": 1e300, "e": 0.0}, `{"a":0.1,"b":1,"c":-2.5,"d":1e+300,"e":0}`},
		{
			"other values",
			map[string]any{"a": nil, "b": true, "c": false, "d": []any{}, "e": []any(nil), "f": [2]int{1, 2}, "g": (*int)(nil), "h": []byte("hi")},
			`{"a":null,"b":true,"c":false,"d":[],"e":[],"f":[1,2],"g":null,"h":"aGk="}`,
		},
		{
			"text is ASCII",
			map[string]any{"é": "😀\u2028\ufffd\u00a0~ </>&'"},
			`{"\u00e9":"\ud83d\ude00\u2028\ufffd\u00a0~ </>&'"}`,
		},
		{
			"control characters",
			map[string]string{"a": "\x00\x01\b\t\n\f\r\x1f\x7f\u0080\"\\"},
			`{"a":"\u0000\u0001\b\t\n\f\r\u001f\u007f\u0080\"\\"}`,
		},
		{"raw text is ASCII", stdjson.RawMessage("{\"é\":\"😀\x7f\"}"), `{"\u00e9":"\ud83d\ude00\u007f"}`},
		{"raw escapes mean the same", stdjson.RawMessage(`{"\u0061":"\u0062\/\uD83D\uDE00"}`), `{"a":"b/\ud83d\ude00"}`},
		{"names that differ in case", stdjson.RawMessage(`{"a":1,"A":2,"":3}`), `{"a":1,"A":2,"":3}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := AppendObject([]byte("dst"), tt.v)
			if err != nil || !bytes.HasPrefix(got, []byte("dst")) {
				t.Fatalf("got %q, %v", got, err)
			}
			if got, want := decoded(t, got[3:]), decoded(t, []byte(tt.want)); !reflect.DeepEqual(got, want) {
				t.Errorf("decodes to another value: %v, want %v", got, want)
			}
			if string(got) != "dst"+tt.want {
				t.Errorf("got  %s\nwant %s", got[3:], tt.want)
			}
			for range 3 {
				if again, _ := AppendObject(nil, tt.v); string(again) != tt.want {
					t.Errorf("encoded again: %s", again)
				}
			}
		})
	}
}

func TestAppendObjectRefuses(t *testing.T) {
	cause := errors.New("refused by the method")
	type loop struct{ Next *loop }
	endless := &loop{}
	endless.Next = endless
	for _, tt := range []struct {
		name string
		v    any
		want string // part of the error
	}{
		{"nil", nil, "null"},
		{"nil pointer", (*struct{})(nil), "null"},
		{"array", []int{1}, "array"},
		{"nil slice", []int(nil), "array"},
		{"string", "x", "string"},
		{"number", 5, "number"},
		{"boolean", true, "boolean"},
		{"false", false, "boolean"},
		{"bytes", []byte(`{}`), "string"},
		{"raw array", stdjson.RawMessage(`[{}]`), "array"},
		{"raw null", jsontext.Value(`null`), "null"},
		{"raw string", jsontext.Value(`"{}"`), "string"},
		{"raw nothing", stdjson.RawMessage(nil), ""},
		{"raw blank", stdjson.RawMessage(" "), ""},
		{"no raw value", jsontext.Value(nil), ""},
		{"raw cut off", stdjson.RawMessage(`{"a":1`), ""},
		{"raw and more", stdjson.RawMessage(`{"a":1}{}`), ""},
		{"raw and a comma", stdjson.RawMessage(`{"a":1},`), ""},
		{"raw trailing comma", jsontext.Value(`{"a":1,}`), ""},
		{"raw single quotes", jsontext.Value(`{'a':1}`), ""},
		{"raw NaN", jsontext.Value(`{"a":NaN}`), ""},
		{"raw comment", jsontext.Value(`{}//`), ""},
		{"MarshalJSON array", marshaler{text: `[1]`}, "array"},
		{"MarshalJSON fails", marshaler{err: cause}, cause.Error()},
		{"MarshalJSON fails within", map[string]any{"a": []any{marshaler{err: cause}}}, cause.Error()},
		{"MarshalJSON garbage", marshaler{text: `{"a"`}, ""},
		{"MarshalJSON two", marshaler{text: `{}{}`}, ""},
		{"MarshalJSON nothing", marshaler{}, ""},
		{"raw garbage within", map[string]any{"a": stdjson.RawMessage(`nul`)}, ""},
		{"NaN", map[string]any{"a": math.NaN()}, "NaN"},
		{"infinity", map[string]any{"a": []float64{math.Inf(1)}}, "Inf"},
		{"float32 infinity", struct{ A float32 }{float32(math.Inf(-1))}, "Inf"},
		{"channel", map[string]any{"a": make(chan int)}, "chan"},
		{"function", map[string]any{"a": func() {}}, "func"},
		{"complex", map[string]any{"a": 1i}, "complex"},
		{"endless", endless, ""},
		{"too deep", jsontext.Value(nested(MaxDepth + 1)), "depth"},

		{"invalid UTF-8", map[string]any{"a": "\xff"}, "UTF-8"},
		{"invalid UTF-8 cut off", map[string]any{"a": "x\xe2\x82"}, "UTF-8"},
		{"invalid UTF-8 in a name", map[string]any{"\xff": 1}, "UTF-8"},
		{"raw invalid UTF-8", stdjson.RawMessage("{\"a\":\"\xff\"}"), "UTF-8"},
		{"surrogate in UTF-8", map[string]any{"a": "\xed\xa0\x80"}, "UTF-8"},
		{"lone surrogate", stdjson.RawMessage(`{"a":"\ud800"}`), "surrogate"},
		{"lone low surrogate", stdjson.RawMessage(`{"a":"\udc00"}`), "surrogate"},
		{"surrogates in the wrong order", stdjson.RawMessage(`{"a":"\ude00\ud83d"}`), "surrogate"},
		{"lone surrogate in a name", jsontext.Value(`{"a":{"\ud800x":1}}`), "surrogate"},
		{"lone surrogate within", map[string]any{"r": stdjson.RawMessage(`["\udfff"]`)}, "surrogate"},
		{"MarshalJSON lone surrogate", marshaler{text: `{"a":"\ud83dx"}`}, "surrogate"},

		{"repeated name", stdjson.RawMessage(`{"a":1,"a":2}`), "duplicate"},
		{"repeated name by its escape", stdjson.RawMessage(`{"a":1,"\u0061":2}`), "duplicate"},
		{"repeated empty name", stdjson.RawMessage(`{"":1,"":2}`), "duplicate"},
		{"repeated name deep down", jsontext.Value(`{"a":[1,{"b":{"c":1,"d":2,"c":3}}]}`), "duplicate"},
		{"repeated name within", map[string]any{"r": []any{stdjson.RawMessage(`{"a":1,"a":2}`)}}, "duplicate"},
		{"MarshalJSON repeated name", marshaler{text: `{"a":{"b":1,"b":2}}`}, "duplicate"},
		{"map repeats a name", map[*textMarshaler]int{{"a"}: 1, {"a"}: 2}, "duplicate"},
		{"duration", map[string]any{"a": time.Second}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refuses(t, tt.v, tt.want)
		})
	}
	if _, err := AppendObject(nil, marshaler{err: cause}); !errors.Is(err, cause) {
		t.Errorf("got %v, want an error that wraps the method's", err)
	}
}

// refuses requires AppendObject to refuse v with want in its error, and to leave dst
// unchanged.
func refuses(t *testing.T, v any, want string) {
	t.Helper()
	room := make([]byte, 100)
	dst := append(room[:0], "dst"...)
	got, err := AppendObject(dst, v)
	if err == nil {
		t.Fatalf("accepted as %.200q", got[3:])
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want it to say %q", err, want)
	}
	if string(got) != "dst" || &got[0] != &dst[0] || !bytes.Equal(room[3:], make([]byte, 97)) {
		t.Errorf("dst became %q, in %q", got, room)
	}
}

func TestKindName(t *testing.T) {
	for text, want := range map[string]string{"": "nothing", "null": "null", "true": "a boolean", "[]": "an array", `""`: "a string", "-1": "a number"} {
		if got := kindName([]byte(text)); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestAppendObjectWritesNumbersAsNumbers(t *testing.T) {
	for _, tt := range []struct {
		number stdjson.Number
		want   string // "" for an error
	}{
		{"5", `{"n":5}`},
		{"18446744073709551616", `{"n":18446744073709551616}`},
		{"1.50", `{"n":1.50}`},
		{"NaN", ""},
		{"", ""},
		{`1,"x":2`, ""},
	} {
		got, err := AppendObject(nil, map[string]any{"n": tt.number})
		if (err != nil) != (tt.want == "") || string(got) != tt.want {
			t.Errorf("json.Number(%q): got %s and error %v, want %q", tt.number, got, err, tt.want)
		}
	}
}
