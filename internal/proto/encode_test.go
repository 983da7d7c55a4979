package proto

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

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
			"the rest",
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
				t.Errorf("means something else: %v, want %v", got, want)
			}
			if string(got) != "dst"+tt.want {
				t.Errorf("got  %s\nwant %s", got[3:], tt.want)
			}
			for range 3 {
				if again, _ := AppendObject(nil, tt.v); string(again) != tt.want {
					t.Errorf("another time: %s", again)
				}
			}
		})
	}
}

func decoded(t *testing.T, raw []byte) any {
	t.Helper()
	if !stdjson.Valid(raw) {
		t.Fatalf("not valid: %.200q", raw)
	}
	v, err := Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return v
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
		t.Errorf("got %v, want it to lead to the cause", err)
	}
}

// refuses holds that AppendObject refuses v, with want in its error, and leaves
// dst alone.
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

// TestAppendObjectProperties sends random values round.
func TestAppendObjectProperties(t *testing.T) {
	seed := rand.Uint64()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		want := randomObject(rng, 4)
		raw, err := AppendObject(nil, want)
		if err != nil {
			t.Fatalf("%v: %v", want, err)
		}
		checkWire(t, raw)
		if got := decoded(t, raw); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s:\n got %v\nwant %v", raw, got, want)
		}
		// What was sent can be sent again as it is.
		again, err := AppendObject(nil, stdjson.RawMessage(raw))
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("%s\nagain %s, %v", raw, again, err)
		}
	}
}

// checkWire holds what is true of all we send: one valid JSON object in
// printable ASCII, without white space outside strings, that QEMU can parse.
func checkWire(t testing.TB, raw []byte) {
	t.Helper()
	for i, c := range raw {
		if c < ' ' || c > '~' {
			t.Fatalf("byte %#x at %d of %.200q", c, i, raw)
		}
	}
	if !stdjson.Valid(raw) || !jsontext.Value(raw).IsValid() {
		t.Fatalf("not valid: %.200q", raw)
	}
	if raw[0] != '{' || raw[len(raw)-1] != '}' {
		t.Fatalf("no object, or with something round it: %.200q", raw)
	}
	small := jsontext.Value(bytes.Clone(raw))
	if err := small.Compact(); err != nil || len(small) != len(raw) {
		t.Fatalf("not compact: %.200q, %v", raw, err)
	}
	f := NewFramer(bytes.NewReader(raw), len(raw), nil)
	if msg, err := f.Next(); err != nil || !bytes.Equal(msg, raw) {
		t.Fatalf("framed as %.200q, %v", msg, err)
	}
}

func randomObject(rng *rand.Rand, depth int) map[string]any {
	m := map[string]any{}
	for range rng.IntN(5) {
		m[randomText(rng)] = randomValue(rng, depth-1)
	}
	return m
}

func randomValue(rng *rand.Rand, depth int) any {
	n := rng.IntN(10)
	if depth == 0 {
		n = rng.IntN(8)
	}
	switch n {
	case 0:
		return nil
	case 1:
		return rng.IntN(2) == 0
	case 2:
		return randomText(rng)
	case 3:
		return int64(rng.Uint64()) >> rng.IntN(64)
	case 4:
		return rng.Uint64() | 1<<63
	case 5:
		return new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1+rng.Int64()), 64), big.NewInt(rng.Int64()))
	case 6:
		return float64(rng.Int64N(1000)) + 0.25
	case 7:
		return (rng.Float64() - 0.5) * 1e-300 // an exponent, so that it stays a float
	case 8:
		return randomObject(rng, depth)
	}
	a := []any{}
	for range rng.IntN(4) {
		a = append(a, randomValue(rng, depth-1))
	}
	return a
}

func randomText(rng *rand.Rand) string {
	var b strings.Builder
	for range rng.IntN(8) {
		switch rng.IntN(4) {
		case 0:
			b.WriteByte(byte(rng.IntN(0x80)))
		case 1:
			b.WriteByte(`"\/{}[],: <>&`[rng.IntN(13)])
		default:
			b.WriteRune(rune(rng.IntN(utf8.MaxRune))) // a surrogate becomes U+FFFD
		}
	}
	return b.String()
}

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
	// Every rune comes back.
	for r := range rune(utf8.MaxRune + 1) {
		if utf16.IsSurrogate(r) || raceEnabled && r%37 != 0 {
			continue
		}
		if got, ok := Text(AppendText(nil, string(r))); !ok || got != string(r) {
			t.Fatalf("%U comes back as %q", r, got)
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
			t.Errorf("%s comes back as %+v", raw[3:], c)
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

func TestCheckSend(t *testing.T) {
	array := func(n int) string { return `{"a":[` + strings.Repeat("1,", n-1) + `1]}` } // 6+2n tokens
	for _, tt := range []struct {
		name string
		msg  string
		want error
	}{
		{"empty", `{}`, nil},
		{"depth", nested(MaxSendDepth), nil},
		{"one level more", nested(MaxSendDepth + 1), ErrDepth},
		{"depth of arrays", nestedArrays(MaxSendDepth), nil},
		{"one array more", nestedArrays(MaxSendDepth + 1), ErrDepth},
		{"deep again", `{"a":` + nested(MaxSendDepth-1) + `,"b":` + nested(MaxSendDepth-1) + `,"c":[]}`, nil},
		{"much too deep", nested(MaxDepth), ErrDepth},
		{"brackets in strings", `{"` + strings.Repeat("{[", 2000) + `":"` + strings.Repeat("[", 2000) + `"}`, nil},
		{"brackets after backslashes", `{"a\\":"\\\"` + strings.Repeat("[", 2000) + `\\","b":"\"` + strings.Repeat("{", 2000) + `"}`, nil},
		{"deep, after backslashes", `{"a\\":"\\\"]]]]}}}}\\","b":` + nested(MaxSendDepth) + `}`, ErrDepth},
		{"literals", `{"a":[true,false,null,-1.5e+5,""]}`, nil},

		{"tokens", array((MaxSendTokens - 6) / 2), nil},
		{"too many tokens", array((MaxSendTokens-6)/2 + 1), ErrTokens},
		{"one token more", `{"b":true,` + array((MaxSendTokens - 10) / 2)[1:], nil},
		{"many objects", `{"a":[{}` + strings.Repeat(",{}", MaxSendTokens/3) + `]}`, ErrTokens},
		{"many characters", `{"a":"` + strings.Repeat("x", MaxSendTokens) + `"}`, nil},

		{"last character", `{"a":"\ufdcf\ufdf0\ufffd\ud83f\udffd\udbff\udffd"}`, nil},
		{"U+FFFE", `{"a":"\ufffe"}`, ErrNoncharacter},
		{"U+FFFF", `{"a":["\\\uFFFF"]}`, ErrNoncharacter},
		{"U+FDD0", `{"\ufdd0":1}`, ErrNoncharacter},
		{"U+FDEF", `{"a":"x\ufdefx"}`, ErrNoncharacter},
		{"U+1FFFE", `{"a":"\ud83f\udffe"}`, ErrNoncharacter},
		{"U+10FFFF", `{"a":"\uDBFF\uDFFF"}`, ErrNoncharacter},
		{"after a pair", `{"a":"\ud83d\ude00\uffff"}`, ErrNoncharacter},
		{"escaped backslash", `{"a":"\\uffff","\\\\uffff":"\\\\\\uffff"}`, nil},
		{"lone surrogate at the end", `{"a":"\ud83f"}`, nil}, // refused elsewhere
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !stdjson.Valid([]byte(tt.msg)) {
				t.Fatalf("bad test: %.100s", tt.msg)
			}
			if err := CheckSend([]byte(tt.msg)); err != tt.want {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestValidText(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "a": true, "\x00": true, "é😀\ufffd\ufdcf\ufdf0\U0001fffd": true,
		"\xff": false, "a\xe2\x82": false, "\xed\xa0\x80": false,
		"\ufdd0": false, "x\ufdefx": false, "\ufffe": false, "\uffff": false, "\U0001fffe": false, "\U0010ffff": false,
	} {
		if got := ValidText(s); got != want {
			t.Errorf("%q: got %v", s, got)
		}
	}
	refused := 0
	for r := range rune(utf8.MaxRune + 1) {
		if utf16.IsSurrogate(r) {
			continue
		}
		valid := ValidText(string(r))
		if !valid {
			refused++
		}
		if valid && raceEnabled && r%37 != 0 {
			continue
		}
		if err := CheckSend(AppendCommand(nil, string(r), false, nil, ID{})); (err == nil) != valid {
			t.Fatalf("%U: %v, but CheckSend says %v", r, valid, err)
		}
	}
	if refused != 66 {
		t.Errorf("%d noncharacters, Unicode has 66", refused)
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

	// What a server sends is what a client reads.
	m := ParseMessage(AppendError(nil, "DeviceNotFound", "no\n\x7f", []byte("7")))
	if class, desc, ok := ParseError(m.Error); !ok || class != "DeviceNotFound" || desc != "no\n\x7f" || m.ID != Number(7) {
		t.Errorf("error: %q, %q, %v, %+v", class, desc, ok, m.ID)
	}
	m = ParseMessage(AppendEvent(nil, "RESET", []byte(`{"guest":true}`), 5, 6))
	if name, _ := Text(m.Event); name != "RESET" || string(m.Data) != `{"guest":true}` || !ParseTimestamp(m.Timestamp).Equal(time.Unix(5, 6000)) {
		t.Errorf("event: %s", m.Raw)
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
