package proto

import (
	"bytes"
	stdjson "encoding/json"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// Fuzz tests that compare decoded, encoded and masked values with encoding/json.

// FuzzDecode compares Decode with encoding/json for the same bytes.
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
			// If names are repeated, Decode reads each value; encoding/json returns
			// only the last.
			if !isFault(err, BadNumber) {
				t.Fatalf("got %v, want the number to be refused", err)
			}
			return
		}
		if err != nil {
			if isFault(err, BadNumber) && len(raw) > MaxDigits {
				return // the number is in a member that a later one replaces
			}
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %#v\nwant %#v", got, want)
		}
	})
}

// convert turns v, which encoding/json has decoded with UseNumber, into the value that
// Decode promises. It reports whether v has a number with too many digits.
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
			t.Fatalf("%q is not an integer", v)
		case n.IsInt64():
			return n.Int64(), false
		case n.IsUint64():
			return n.Uint64(), false
		}
		return n, false
	}
	return v, tooLong
}

// FuzzAppendObject requires AppendObject to accept raw JSON exactly if it is an
// object by the strict rules. Then the result has the form of all messages that are
// sent, and decodes to the same value.
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
			t.Fatal("AppendObject wrote into its argument")
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
			return // a number is too long
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
			t.Fatalf("Mask without names changed the value: %s", masked)
		}

		// The same object, given as Go values.
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

// sameValues is reflect.DeepEqual, except that a float without a fraction equals the
// integer of the same value: it encodes without a point, and is decoded as an integer.
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

// FuzzMask requires Mask to replace the value of every member that has a secret's
// name, however the name is escaped, and to change nothing else.
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
			t.Fatal("Mask wrote into its argument")
		}
		want, err := Decode(raw)
		if err != nil {
			return // a number is too long
		}
		if got := decodedOrErr(masked); !reflect.DeepEqual(got, withoutSecrets(want, names)) {
			t.Fatalf("%s without %q:\ngot  %s", raw, names, masked)
		}
	})
}

// withoutSecrets does for a decoded value what Mask does for its text.
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
