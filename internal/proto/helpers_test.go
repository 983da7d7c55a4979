package proto

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"
)

// Helpers that several tests of this package use.

// readers are the ways in which a reader may return its bytes.
var readers = map[string]func(io.Reader) io.Reader{
	"whole":           func(r io.Reader) io.Reader { return r },
	"one byte":        iotest.OneByteReader,
	"halves":          iotest.HalfReader,
	"data with end":   iotest.DataErrReader,
	"byte with end":   func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.OneByteReader(r)) },
	"nothing between": func(r io.Reader) io.Reader { return &hesitant{r: iotest.OneByteReader(r)} },
}

// hesitant reads from r, and returns no bytes at every other call.
type hesitant struct {
	r   io.Reader
	now bool
}

func (h *hesitant) Read(p []byte) (int, error) {
	if h.now = !h.now; h.now {
		return 0, nil
	}
	return h.r.Read(p)
}

// frames returns all messages that f returns, and the error after them.
func frames(f *Framer) ([]string, error) {
	var got []string
	for {
		msg, err := f.Next()
		if err != nil {
			return got, err
		}
		got = append(got, string(msg))
	}
}

// nested returns an object n levels deep.
func nested(n int) string {
	return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1)
}

// nestedArrays returns an object n levels deep, of which all but the outermost level
// are arrays.
func nestedArrays(n int) string {
	return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "}"
}

// sized returns an object of n bytes.
func sized(n int) string {
	return `{"a":"` + strings.Repeat("x", n-len(`{"a":""}`)) + `"}`
}

// idle is a reader that never returns a byte.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// A liar claims to have read by more bytes than the buffer has, or, for a negative
// by, a negative number of bytes.
type liar struct{ by int }

func (l liar) Read(p []byte) (int, error) {
	if l.by < 0 {
		return l.by, nil
	}
	return len(p) + l.by, nil
}

// repeat returns text again and again, without an end.
type repeat struct {
	text []byte
	off  int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c := copy(p[n:], r.text[r.off:])
		r.off = (r.off + c) % len(r.text)
		n += c
	}
	return n, nil
}

// errReadOn is the error of a reader that must not be read any more.
var errReadOn = errors.New("another read, after the fault was known")

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func isFault(err error, fault Fault) bool {
	var fe *FrameError
	return errors.As(err, &fe) && fe.Fault == fault
}

// objects are seeds. Each is one object, or bytes that are almost one.
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

// pieces returns data in pieces of random size. Some are empty, and the last may come
// together with the end of the stream.
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

// checkWire requires raw to have the form of all messages that are sent: one valid
// JSON object in printable ASCII, without white space outside strings.
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
		t.Fatalf("not an object alone: %.200q", raw)
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

// decoded decodes raw, which must be valid.
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

// decodedOrErr decodes raw, or returns the error.
func decodedOrErr(raw []byte) any {
	v, err := Decode(raw)
	if err != nil || !stdjson.Valid(raw) {
		return err
	}
	return v
}
