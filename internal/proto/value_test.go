package proto

import (
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
)

func bigInt(t testing.TB, s string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		t.Fatalf("%.40q is not an integer", s)
	}
	return n
}

func TestDecode(t *testing.T) {
	digits4300 := strings.Repeat("9", MaxDigits)
	type object = map[string]any
	for _, tt := range []struct {
		raw  string
		want any
	}{
		{`{}`, object{}},
		{`[]`, []any{}},
		{`null`, nil},
		{`true`, true},
		{`false`, false},
		{`"a"`, "a"},
		{`""`, ""},
		{
			" \r\n\t{ \"a\" : [ true , false , null , \"\" , { } , [ ] , 1 ] , \"b\" : { \"c\" : -1 } } \n",
			object{"a": []any{true, false, nil, "", object{}, []any{}, int64(1)}, "b": object{"c": int64(-1)}},
		},
		{`{"a":1,"b":2,"a":{"c":3},"\u0061":4}`, object{"a": int64(4), "b": int64(2)}},
		{`{"a":{"x":1},"a":{"y":2}}`, object{"a": object{"y": int64(2)}}},
		{`{"A":1,"a":2}`, object{"A": int64(1), "a": int64(2)}},
		{`{"":{"":[]}}`, object{"": object{"": []any{}}}},
		{`["}","]",",",":","\"","\\","{[\\\""]`, []any{"}", "]", ",", ":", `"`, `\`, `{[\"`}},

		// Integers are exact.
		{`0`, int64(0)},
		{`-0`, int64(0)},
		{`-1`, int64(-1)},
		{`9007199254740992`, int64(1 << 53)},
		{`9007199254740993`, int64(1<<53 + 1)},
		{`-9007199254740993`, int64(-1<<53 - 1)},
		{`9223372036854775807`, int64(math.MaxInt64)},
		{`9223372036854775808`, uint64(1 << 63)},
		{`18446744073709551615`, uint64(math.MaxUint64)},
		{`18446744073709551616`, bigInt(t, "18446744073709551616")},
		{`-9223372036854775808`, int64(math.MinInt64)},
		{`-9223372036854775809`, bigInt(t, "-9223372036854775809")},
		{`-18446744073709551616`, bigInt(t, "-18446744073709551616")},
		{digits4300, bigInt(t, digits4300)},
		{"-" + digits4300, bigInt(t, "-"+digits4300)},
		{`[9007199254740993,9007199254740993]`, []any{int64(1<<53 + 1), int64(1<<53 + 1)}},

		// A point or an exponent makes a float.
		{`1.0`, 1.0},
		{`1e0`, 1.0},
		{`1E2`, 100.0},
		{`1e+2`, 100.0},
		{`-1.5e-3`, -0.0015},
		{`0.1`, 0.1},
		{`-0.0`, math.Copysign(0, -1)},
		{`9007199254740993.0`, 9007199254740992.0},
		{`1e400`, math.Inf(1)},
		{`-1e400`, math.Inf(-1)},
		{`1e-400`, 0.0},
		{`1.7976931348623157e308`, math.MaxFloat64},
		{"0." + strings.Repeat("0", MaxDigits-2) + "1", 0.0},
		{strings.Repeat("1", MaxDigits-1) + "e0", math.Inf(1)},
		{"1." + strings.Repeat("5", MaxDigits-1), 1.0 + 5.0/9},
		{"-1." + strings.Repeat("0", MaxDigits-2) + "e-0", -1.0},

		// Each part of a text that is not valid Unicode becomes U+FFFD.
		{`"\ud800"`, "\ufffd"},
		{`"\udc00x"`, "\ufffdx"},
		{`"\ud800\ud83d\ude00"`, "\ufffd😀"},
		{`"\ud83d\ude00"`, "😀"},
		{`"\u0000"`, "\x00"},
		{"\"\xff\"", "\ufffd"},
		{"\"\xe2\x82\"", "\ufffd\ufffd"},
		{"{\"\xff\":1}", object{"\ufffd": int64(1)}},
		{`{"\ud800":1,"\udbff":2}`, object{"\ufffd": int64(2)}},
		{"\"é\u2028\"", "é\u2028"},

		{``, nil},
		{` `, nil},
	} {
		got, err := Decode([]byte(tt.raw))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%.80s:\n got %T %.100v, %v\nwant %T %.100v", tt.raw, got, got, err, tt.want, tt.want)
		}
		if f, ok := got.(float64); ok && math.Signbit(f) != math.Signbit(tt.want.(float64)) {
			t.Errorf("%s: lost its sign", tt.raw)
		}
	}
}

func TestDecodeLongNumber(t *testing.T) {
	long := strings.Repeat("7", MaxDigits+1)
	for _, raw := range []string{
		long, "-" + long, "0." + long, long + ".0", "1e" + long, long + "e1",
		`{"a":` + long + `}`, `[1,{"b":[` + long + `]}]`, "{\n\"a\" : " + long + "\n}",
		`{"a":` + long + `,"b":` + long + `}`,
		strings.Repeat("7", 1<<20),
	} {
		_, err := Decode([]byte(raw))
		fe, ok := err.(*FrameError)
		if !ok || fe.Fault != BadNumber || fe.Limit != MaxDigits || len(fe.Excerpt) > excerptLen+len("...") {
			t.Errorf("%.20s...: got %.100v", raw, err)
		}
	}

	// Decode still returns the members after the number.
	v, err := Decode([]byte(`{"a":` + long + `,"b":2}`))
	if want := map[string]any{"a": nil, "b": int64(2)}; err == nil || !reflect.DeepEqual(v, want) {
		t.Errorf("got %v, %v", v, err)
	}
}

func TestDecodeDeep(t *testing.T) {
	v, err := Decode([]byte(nested(MaxDepth)))
	if err != nil {
		t.Fatal(err)
	}
	depth := 1
	for m := v.(map[string]any); len(m) > 0; depth++ {
		m = m["a"].(map[string]any)
	}
	if depth != MaxDepth {
		t.Errorf("object of %d levels", depth)
	}

	v, err = Decode([]byte(nestedArrays(MaxDepth)))
	if err != nil {
		t.Fatal(err)
	}
	depth = 2
	for a := v.(map[string]any)["a"].([]any); len(a) > 0; depth++ {
		a = a[0].([]any)
	}
	if depth != MaxDepth {
		t.Errorf("arrays of %d levels", depth)
	}
}

// TestDecodeKeepsNothing requires that the values share no bytes with the message,
// because the Framer overwrites these.
func TestDecodeKeepsNothing(t *testing.T) {
	raw := []byte(`{"return":{"a":"text","\u0062":["\u0074"]},"id":"x"}`)
	v, err := Decode(raw)
	clear(raw)
	want := map[string]any{"return": map[string]any{"a": "text", "b": []any{"t"}}, "id": "x"}
	if err != nil || !reflect.DeepEqual(v, want) {
		t.Errorf("got %v, %v", v, err)
	}
}
