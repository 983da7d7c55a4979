package proto

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// objects are seeds that are, or could nearly be, one object.
var objects = []string{
	`{}`,
	" \r\n{ }\t",
	`{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2+dfsg-7"}, "capabilities": ["oob"]}}`,
	`{"return": {}, "id": 1}`,
	`{"return": {"status": "running", "singlestep": false, "running": true}, "id": "a\"b"}`,
	`{"id": 18446744073709551616, "error": {"class": "GenericError", "desc": "no \u00e9\n"}}`,
	`{"timestamp": {"seconds": 1700000000, "microseconds": 123456}, "event": "STOP", "data": {"a": [1, -2.5e-3, null]}}`,
	"{\r\n    \"return\": [\r\n        1,\r\n        2\r\n    ]\r\n}",
	`{"execute": "x", "arguments": {"a": {"b": [[], {}, ""]}}, "id": null}`,
	`{"a":1,"a":2,"\u0061":3,"A":4}`,
	`{"a":9007199254740993,"b":-9223372036854775809,"c":1e400,"d":-0,"e":-0.0,"f":0.10}`,
	`{"a":"\ud800","b":"\udc00\ud83d\ude00","c":"\ud83d\ud83d","\ud800":"\uffff\u0000"}`,
	"{\"a\xff\":\"\xc3(\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82\"}",
	"{\"é\":\"😀\x7f\u2028\"}",
	`{"\"":"\\","\\\"":"\\\\\"","{[":"]}"}`,
	`{"a":{"b":{"c":{"d":{"e":[[[[{}]]]]}}}}}`,
	`{"a":1,}`, `{"a" 1}`, `{'a':1}`, `{"a":NaN}`, `{"a":01}`, `{"a":nul}`, `{"a":"x`, `{"a":[}`, `{,}`, `{"a":tru`,
	`[1]`, `"a"`, `1`, `null`, `,`, `:`, `}`, "\ufeff{}", "\xff{}", `[1,"a",{"b":[]},[],null]`,
}

// pieces gives data in pieces whose sizes a seed decides, now and then in none,
// now and then the last with the end of the stream.
type pieces struct {
	data []byte
	rng  *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	n := min(len(p.data), len(b))
	switch p.rng.IntN(4) {
	case 0:
		n = min(n, 1)
	case 1:
		n = min(n, p.rng.IntN(20))
	case 2:
		n = min(n, p.rng.IntN(5000))
	}
	copy(b, p.data[:n])
	p.data = p.data[n:]
	if len(p.data) == 0 && (n == 0 || p.rng.IntN(2) == 0) {
		return n, io.EOF
	}
	return n, nil
}

// FuzzFramer holds that any bytes in any split give the same valid messages and
// the same error.
// Holds E10.
func FuzzFramer(f *testing.F) {
	for _, s := range objects {
		f.Add([]byte(s), uint64(1), 0)
		f.Add([]byte(s+"\r\n"+s), uint64(2), len(s))
		f.Add([]byte(s+s), uint64(3), 20)
	}
	f.Add([]byte(strings.Join(objects[:16], "\n")), uint64(4), 0)
	f.Add([]byte("{}"+strings.Repeat(" ", 300)+"{}"), uint64(5), 2)
	large := sized(keepMessage + 1)
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, limit int) {
		if seed%2 == 0 && limit <= 0 {
			// Have a message that gives its buffer back, in what is fuzzed and in
			// front of it. Fuzzing itself is best with short inputs.
			i := int(seed / 2 % uint64(len(data)+1))
			data = slices.Concat([]byte(large), data[:i], []byte(large), data[i:])
		}
		whole := NewFramer(bytes.NewReader(data), limit, nil)
		split := NewFramer(&pieces{data, rand.New(rand.NewPCG(seed, seed))}, limit, nil)
		rest := data
		for {
			msg, err := whole.Next()
			other, otherErr := split.Next()
			if !bytes.Equal(msg, other) {
				t.Fatalf("%q\nsplit: %q, %v", msg, other, otherErr)
			}
			if err != nil {
				sameFault(t, err, otherErr)
				if err == io.EOF && len(bytes.TrimSpace(rest)) > 0 {
					t.Fatalf("%q was swallowed", rest)
				}
				return
			}
			if otherErr != nil {
				t.Fatalf("%q\nsplit: %v", msg, otherErr)
			}
			if msg[0] != '{' || msg[len(msg)-1] != '}' || !stdjson.Valid(msg) {
				t.Fatalf("no object: %q", msg)
			}
			if limit > 0 && len(msg) > limit {
				t.Fatalf("%d bytes, the limit is %d", len(msg), limit)
			}
			rest = bytes.TrimLeft(rest, whitespace)
			if !bytes.HasPrefix(rest, msg) {
				t.Fatalf("%q is not what comes next in %q", msg, rest)
			}
			rest = rest[len(msg):]

			m := ParseMessage(msg)
			ParseError(m.Error)
			ParseTimestamp(m.Timestamp)
			Text(m.Event)
			Mask(msg, []string{"a"})
			ParseCommand(msg)
			CheckSend(msg)
		}
	})
}

func sameFault(t *testing.T, a, b error) {
	t.Helper()
	var fa, fb *FrameError
	if errors.As(a, &fa) && errors.As(b, &fb) {
		if fa.Fault != fb.Fault || fa.Limit != fb.Limit {
			t.Fatalf("%v\nsplit: %v", a, b)
		}
		for _, text := range []string{a.Error(), b.Error()} {
			if len(text) > 1000 || strings.ContainsAny(text, "\r\n") {
				t.Fatalf("not one short line: %q", text)
			}
		}
		return
	}
	if a != io.EOF || b != io.EOF {
		t.Fatalf("%v\nsplit: %v", a, b)
	}
}

// FuzzDecode compares Decode with what encoding/json makes of the same bytes.
func FuzzDecode(f *testing.F) {
	for _, s := range objects {
		f.Add([]byte(s))
	}
	for _, s := range []string{"0", "-0", "1e5", "9223372036854775808", "18446744073709551616", "-0.0", "1E-400", "123456789012345678901234567890"} {
		f.Add([]byte(s))
		f.Add([]byte("[" + s + ",{\"a\":" + s + "}]"))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		dec := stdjson.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		var std any
		if !stdjson.Valid(raw) || dec.Decode(&std) != nil {
			return
		}
		got, err := Decode(raw)
		want, tooLong := convert(t, std)
		if tooLong {
			// Of repeated names Decode sees each value, encoding/json shows the last.
			if !isFault(err, BadNumber) {
				t.Fatalf("got %v, want the number to be refused", err)
			}
			return
		}
		if err != nil {
			if isFault(err, BadNumber) && len(raw) > MaxDigits {
				return // in a member that a later one replaces
			}
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %#v\nwant %#v", got, want)
		}
	})
}

// convert turns what encoding/json decodes with UseNumber into what Decode
// promises. It reports whether there was a number of too many digits.
func convert(t *testing.T, v any) (_ any, tooLong bool) {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			e, long := convert(t, v[k])
			v[k], tooLong = e, tooLong || long
		}
	case []any:
		for i := range v {
			e, long := convert(t, v[i])
			v[i], tooLong = e, tooLong || long
		}
	case stdjson.Number:
		if len(strings.Trim(v.String(), "-+.eE")) > MaxDigits && digits([]byte(v)) > MaxDigits {
			return nil, true
		}
		if strings.ContainsAny(v.String(), ".eE") {
			x, _ := strconv.ParseFloat(v.String(), 64)
			return x, false
		}
		n, ok := new(big.Int).SetString(v.String(), 10)
		switch {
		case !ok:
			t.Fatalf("%q is no integer", v)
		case n.IsInt64():
			return n.Int64(), false
		case n.IsUint64():
			return n.Uint64(), false
		}
		return n, false
	}
	return v, tooLong
}

// FuzzMembers compares Members and Elements with a walk over jsontext's tokens.
func FuzzMembers(f *testing.F) {
	for _, s := range objects {
		f.Add([]byte(s))
		f.Add([]byte(" [ " + s + " ,\n" + s + "]"))
		f.Add([]byte(`{"a":` + s + `,"b" : ` + s + "\n}"))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		options := []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
		if !jsontext.Value(raw).IsValid(options...) {
			return
		}
		var want []member
		var wantElements []string
		dec := jsontext.NewDecoder(bytes.NewReader(raw), options...)
		switch open, _ := dec.ReadToken(); open.Kind() {
		case '{':
			for dec.PeekKind() != '}' {
				name, err := dec.ReadToken()
				if err != nil {
					t.Fatal(err)
				}
				text := name.String() // before the next read
				value, err := dec.ReadValue()
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, member{text, string(value)})
			}
		case '[':
			for dec.PeekKind() != ']' {
				value, err := dec.ReadValue()
				if err != nil {
					t.Fatal(err)
				}
				wantElements = append(wantElements, string(value))
			}
		}
		if got := members(string(raw)); !slices.Equal(got, want) {
			t.Fatalf("members: got %q, want %q", got, want)
		}
		var elements []string
		Elements(raw, func(v []byte) bool {
			elements = append(elements, string(v))
			return true
		})
		if !slices.Equal(elements, wantElements) {
			t.Fatalf("elements: got %q, want %q", elements, wantElements)
		}
	})
}

// FuzzAppendObject holds that raw JSON is accepted exactly if it is an object
// by the strict rules, and then goes out clean and means the same.
func FuzzAppendObject(f *testing.F) {
	for _, s := range objects {
		f.Add([]byte(s))
		f.Add([]byte(`{"a":` + s + `}`))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		given := bytes.Clone(raw)
		dst := []byte("dst")
		got, err := AppendObject(dst, stdjson.RawMessage(raw))
		if !bytes.Equal(raw, given) {
			t.Fatal("wrote into what was given")
		}
		trimmed := bytes.TrimLeft(raw, whitespace)
		if want := len(trimmed) > 0 && trimmed[0] == '{' && jsontext.Value(raw).IsValid(); (err == nil) != want {
			t.Fatalf("got %q, %v; valid: %v", got, err, want)
		}
		if err != nil {
			if string(got) != "dst" {
				t.Fatalf("dst became %q", got)
			}
			return
		}
		wire := got[len("dst"):]
		checkWire(t, wire)
		was, err := Decode(raw)
		if err != nil {
			return // a long number
		}
		is, err := Decode(wire)
		if err != nil || !reflect.DeepEqual(was, is) {
			t.Fatalf("%s\ngot  %#v\nwant %#v", wire, is, was)
		}
		if CheckSend(wire) == nil {
			if c := ParseCommand(AppendCommand(nil, string(raw), true, wire, TextualID(string(raw)))); !bytes.Equal(c.Arguments, wire) || c.Name != string(raw) || c.ID.Text != string(raw) {
				t.Fatalf("as arguments: %+v", c)
			}
		}

		if masked := Mask(raw, nil); !reflect.DeepEqual(decodedOrErr(masked), is) {
			t.Fatalf("nothing to mask: %s", masked)
		}

		// The same as Go values.
		values, err := AppendObject(nil, is)
		if err != nil {
			if strings.Contains(err.Error(), "Inf") {
				return // 1e400
			}
			t.Fatal(err)
		}
		checkWire(t, values)
		if back, err := Decode(values); err != nil || !sameValues(back, is) {
			t.Fatalf("%s\ngot  %#v\nwant %#v", values, back, is)
		}
	})
}

func decodedOrErr(raw []byte) any {
	v, err := Decode(raw)
	if err != nil || !stdjson.Valid(raw) {
		return err
	}
	return v
}

// sameValues is reflect.DeepEqual but for whole floats, which encode without a
// point and so come back as integers.
func sameValues(a, b any) bool {
	switch b := b.(type) {
	case map[string]any:
		a, ok := a.(map[string]any)
		return ok && maps.EqualFunc(a, b, sameValues)
	case []any:
		a, ok := a.([]any)
		return ok && slices.EqualFunc(a, b, sameValues)
	case float64:
		switch a := a.(type) {
		case float64:
			return a == b
		case int64:
			return float64(a) == b
		case uint64:
			return float64(a) == b
		case *big.Int:
			x, _ := new(big.Float).SetInt(a).Float64()
			return x == b
		}
		return false
	}
	return reflect.DeepEqual(a, b)
}

// FuzzDifferential holds that a stream is here what it is for encoding/json: what
// that takes for an object the Framer gives out, byte by byte, with the same
// members of the same values; what it refuses, or takes for something else, ends
// both.
//
// They may differ in nothing but this: numbers come in Go's types (see convert),
// and one of too many digits is an error where it is converted. Of repeated names
// both take the last one, for invalid UTF-8 and lone surrogates both put U+FFFD,
// and both keep upper and lower case apart, since encoding/json decodes into maps
// here.
// Holds E10.
func FuzzDifferential(f *testing.F) {
	for _, s := range objects {
		f.Add([]byte(s))
		f.Add([]byte("{}\n" + s + "{}"))
		f.Add([]byte(`{"a":` + s + `,"a":` + s + `}`))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		std := stdjson.NewDecoder(bytes.NewReader(data))
		framer := NewFramer(bytes.NewReader(data), -1, nil)
		for {
			var raw stdjson.RawMessage
			stdErr := std.Decode(&raw)
			msg, err := framer.Next()
			if stdErr != nil || raw[0] != '{' {
				if err == nil {
					t.Fatalf("accepted %q; encoding/json: %q, %v", msg, raw, stdErr)
				}
				if (err == io.EOF) != (stdErr == io.EOF) {
					t.Fatalf("got %v; encoding/json: %v", err, stdErr)
				}
				return
			}
			if err != nil || !bytes.Equal(msg, raw) {
				t.Fatalf("got %q, %v; encoding/json: %q", msg, err, raw)
			}

			want := map[string]any{}
			dec := stdjson.NewDecoder(bytes.NewReader(raw))
			dec.UseNumber()
			if err := dec.Decode(&want); err != nil {
				t.Fatal(err)
			}
			got := map[string]any{}
			Members(msg, func(name string, value []byte) bool {
				var v any
				dec := stdjson.NewDecoder(bytes.NewReader(value))
				dec.UseNumber()
				if err := dec.Decode(&v); err != nil {
					t.Fatalf("member %q is %q: %v", name, value, err)
				}
				got[name] = v
				return true
			})
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%q:\ngot  %#v\nwant %#v", raw, got, want)
			}

			decoded, err := Decode(msg)
			if isFault(err, BadNumber) && len(msg) > MaxDigits {
				continue // FuzzDecode knows which numbers may be
			}
			converted, _ := convert(t, want)
			if err != nil || !reflect.DeepEqual(decoded, converted) {
				t.Fatalf("%q:\ngot  %#v, %v\nwant %#v", raw, decoded, err, converted)
			}
		}
	})
}

// FuzzMask holds that nothing is left of what has a secret's name, however that is
// written, and nothing else is changed.
// Holds E16.
func FuzzMask(f *testing.F) {
	for _, s := range objects {
		f.Add([]byte(s), "a", "b")
		f.Add([]byte(`{"\u0061": `+s+`, "b": [{"a": `+s+`}], "c": `+s+`, "d": "a", "A": "b"}`), "a", "execute")
	}
	f.Add([]byte(`{"a":{"a":"\"a\":"},"b":"a","":"x"}`), "", "\ufffd")
	f.Fuzz(func(t *testing.T, raw []byte, first, second string) {
		if !stdjson.Valid(raw) {
			return
		}
		names := []string{first, second}
		given := bytes.Clone(raw)
		masked := Mask(raw, names)
		if !bytes.Equal(raw, given) {
			t.Fatal("wrote into what was given")
		}
		want, err := Decode(raw)
		if err != nil {
			return // a long number
		}
		if got := decodedOrErr(masked); !reflect.DeepEqual(got, withoutSecrets(want, names)) {
			t.Fatalf("%s without %q:\ngot  %s", raw, names, masked)
		}
	})
}

// withoutSecrets is Mask for values.
func withoutSecrets(v any, names []string) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			if slices.Contains(names, name) {
				v[name] = "***"
			} else {
				v[name] = withoutSecrets(v[name], names)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutSecrets(v[i], names)
		}
	}
	return v
}
