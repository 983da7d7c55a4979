package proto

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// Fuzz tests that compare Framer and the walkers with encoding/json and jsontext.

// FuzzFramer requires the Framer to return the same valid messages and the same error
// for the same bytes, however they are split.
// Holds E10.
func FuzzFramer(f *testing.F) {
	for _, s := range objects {
		f.Add([]byte(s), uint64(1), 0)
		f.Add([]byte(s+"\r\n"+s), uint64(2), len(s))
		f.Add([]byte(s+s), uint64(3), 20)
	}
	f.Add([]byte(strings.Join(objects[:16], "\n")), uint64(4), 0)
	f.Add([]byte("{}"+strings.Repeat(" ", 300)+"{}"), uint64(5), 2)
	large := sized(busyBuffer + 1)
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, limit int) {
		if seed%2 == 0 && limit <= 0 {
			// Insert a message whose buffer is released, before the data and within
			// it. The fuzzer itself works best with short inputs.
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
					t.Fatalf("%q was dropped", rest)
				}
				return
			}
			if otherErr != nil {
				t.Fatalf("%q\nsplit: %v", msg, otherErr)
			}
			if msg[0] != '{' || msg[len(msg)-1] != '}' || !stdjson.Valid(msg) {
				t.Fatalf("not an object: %q", msg)
			}
			if limit > 0 && len(msg) > limit {
				t.Fatalf("%d bytes, the limit is %d", len(msg), limit)
			}
			rest = bytes.TrimLeft(rest, whitespace)
			if !bytes.HasPrefix(rest, msg) {
				t.Fatalf("%q is not the next message in %q", msg, rest)
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

// sameFault requires a and b to be the same fault, or both io.EOF.
func sameFault(t *testing.T, a, b error) {
	t.Helper()
	var fa, fb *FrameError
	if errors.As(a, &fa) && errors.As(b, &fb) {
		if fa.Fault != fb.Fault || fa.Limit != fb.Limit {
			t.Fatalf("%v\nsplit: %v", a, b)
		}
		for _, text := range []string{a.Error(), b.Error()} {
			if len(text) > 1000 || strings.ContainsAny(text, "\r\n") {
				t.Fatalf("the text is not one short line: %q", text)
			}
		}
		return
	}
	if a != io.EOF || b != io.EOF {
		t.Fatalf("%v\nsplit: %v", a, b)
	}
}

// FuzzMembers compares Members and Elements with jsontext's tokens.
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

// FuzzDifferential compares the Framer, Members and Decode with encoding/json over
// the same stream. If encoding/json reads an object, the Framer must return the same
// bytes, and they must have the same members with the same values. If encoding/json
// fails, or reads another value, the Framer must fail too.
//
// There is one permitted difference: Decode returns numbers in the types of convert,
// and fails for a number with too many digits. In all else they agree. Both take the
// last one of repeated names. Both put U+FFFD for invalid UTF-8 and lone surrogates.
// Both distinguish upper and lower case, because encoding/json decodes into maps here.
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
				continue // FuzzDecode checks which numbers are refused
			}
			converted, _ := convert(t, want)
			if err != nil || !reflect.DeepEqual(decoded, converted) {
				t.Fatalf("%q:\ngot  %#v, %v\nwant %#v", raw, decoded, err, converted)
			}
		}
	})
}
