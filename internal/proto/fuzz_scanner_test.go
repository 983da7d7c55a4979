package proto

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// FuzzScanner compares the Framer, whatever the pieces in which the bytes come, with
// one that reads with package jsontext, and its members with those that spans finds.
// Holds E10.
func FuzzScanner(f *testing.F) {
	for _, s := range objects {
		f.Add([]byte(s), uint64(1), 0)
		f.Add([]byte(s+"\r\n"+s), uint64(2), len(s))
		f.Add([]byte(`{"a":[`+s+`,`+s+`],"id":1}`), uint64(3), -1)
	}
	for _, s := range []string{
		`{"ev\u0065nt":"A","\u0065\u0076\u0065\u006e\u0074":"B"}`, `{"i\u0064":1,"id\u0000":2,"\u0069d\"":3}`,
		`{"` + strings.Repeat("x", 200) + `":1,"id":2}`, `{"\u0074\u0069\u006d\u0065\u0073\u0074\u0061\u006d\u0070":1}`,
		`{"a":-}`, `{"a":-01}`, `{"a":1.}`, `{"a":1.e1}`, `{"a":1e}`, `{"a":1e+}`, `{"a":-1.0E-5 }`, `{"a":0e0,"b":00}`,
		`{"a":"\u12g4"}`, `{"a":"\x"}`, "{\"a\":\"\x1f\"}", "{\"a\":\"\x7f\xc3\"}", `{"a":truee}`, `{"a":true,}`, `{"a":[1,]}`, `{"a":{"b":1,}}`,
		nested(63), nested(64), nested(65), nested(129), nestedArrays(200), `{"a":[[[}]}`, nested(MaxDepth + 1), nestedArrays(MaxDepth + 1), nested(MaxDepth),
	} {
		f.Add([]byte(s), uint64(4), 0)
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, limit int) {
		old := newJSONTextFramer(bytes.NewReader(data), limit, nil)
		split := NewFramer(&pieces{data, rand.New(rand.NewPCG(seed, seed))}, limit, nil)
		whole := NewFramer(bytes.NewReader(data), limit, nil)
		for {
			want, wantErr := old.Next()
			for name, framer := range map[string]*Framer{"split": split, "whole": whole} {
				var m Message
				err := framer.Message(&m)
				if !bytes.Equal(m.Raw, want) {
					t.Fatalf("%s: got %q, %v\nwant %q, %v", name, m.Raw, err, want, wantErr)
				}
				where := name == "whole" // jsontext may see an invalid escape earlier if it is in one piece
				if got, want := describe(err, where), describe(wantErr, where); got != want {
					t.Fatalf("%s: got %v\nwant %v", name, got, want)
				}
				if err == nil {
					sameMembers(t, m)
				}
			}
			if wantErr != nil {
				return
			}
		}
	})
}

// describe returns what must be equal in two errors of a Framer. The excerpt and the text
// may have more or less of what comes after the fault.
func describe(err error, where bool) string {
	var frame *FrameError
	if errors.As(err, &frame) {
		if !where {
			return fmt.Sprint(frame.Fault, frame.Limit)
		}
		if syntax, ok := errors.AsType[*jsontext.SyntacticError](frame.Err); ok {
			return fmt.Sprint(frame.Fault, frame.Limit, syntax.ByteOffset)
		}
		return fmt.Sprint(frame.Fault, frame.Limit, frame.Err)
	}
	return fmt.Sprint(err)
}

// sameMembers compares the members of m with those that a second walk finds.
func sameMembers(t *testing.T, m Message) {
	t.Helper()
	want := Message{Raw: m.Raw, at: m.at, own: m.own}
	Members(m.Raw, func(name string, value []byte) bool {
		switch name {
		case "QMP":
			want.QMP = value
		case "event":
			want.Event = value
		case "data":
			want.Data = value
		case "timestamp":
			want.Timestamp = value
		case "return":
			want.Return = value
		case "error":
			want.Error = value
		case "id":
			want.ID = parseID(value)
		}
		return true
	})
	if !reflect.DeepEqual(m, want) {
		t.Fatalf("got %+v\nwant %+v", m, want)
	}
}
