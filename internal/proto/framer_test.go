package proto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"weak"
)

// readers are the ways in which bytes may come.
var readers = map[string]func(io.Reader) io.Reader{
	"whole":           func(r io.Reader) io.Reader { return r },
	"one byte":        iotest.OneByteReader,
	"halves":          iotest.HalfReader,
	"data with end":   iotest.DataErrReader,
	"byte with end":   func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.OneByteReader(r)) },
	"nothing between": func(r io.Reader) io.Reader { return &hesitant{r: iotest.OneByteReader(r)} },
}

// hesitant returns nothing before each piece.
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

// frames collects what the Framer gives, and its error.
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

// nestedArrays returns an object n levels deep, of arrays but for the outermost.
func nestedArrays(n int) string {
	return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "}"
}

// sized returns an object of n bytes.
func sized(n int) string {
	return `{"a":"` + strings.Repeat("x", n-len(`{"a":""}`)) + `"}`
}

func TestFramer(t *testing.T) {
	reset := iotest.ErrReader(syscall.ECONNRESET)
	blank := strings.Repeat(" \t\r\n", 5000)
	long := sized(keepMessage + 4000)

	// What ends the stream, but for io.EOF.
	fault := func(f Fault) error { return &FrameError{Fault: f} }
	bound := func(f Fault, limit int) error { return &FrameError{Fault: f, Limit: limit} }

	for _, tt := range []struct {
		name string
		in   string
		then io.Reader // what follows in, nil for the end of the stream
		max  int
		want []string
		err  error // nil for io.EOF
	}{
		{name: "nothing"},
		{name: "blank", in: blank},
		{name: "CRLF", in: "{\"a\":1}\r\n{\"b\":2}\r\n", want: []string{`{"a":1}`, `{"b":2}`}},
		{name: "LF", in: "{\"a\":1}\n{\"b\":2}\n", want: []string{`{"a":1}`, `{"b":2}`}},
		{name: "CR", in: "{\"a\":1}\r{\"b\":2}\r", want: []string{`{"a":1}`, `{"b":2}`}},
		{name: "no line end", in: `{"a":1}`, want: []string{`{"a":1}`}},
		{name: "joined", in: `{"a":1}{"b":2}{}{"c":"}{"}`, want: []string{`{"a":1}`, `{"b":2}`, `{}`, `{"c":"}{"}`}},
		{
			name: "pretty", in: "{\r\n    \"return\": {\r\n    },\r\n    \"id\": 1\r\n}\r\n{\n\t\"a\": [\n\t\t1,\n\t\t2\n\t]\n}\n",
			want: []string{"{\r\n    \"return\": {\r\n    },\r\n    \"id\": 1\r\n}", "{\n\t\"a\": [\n\t\t1,\n\t\t2\n\t]\n}"},
		},
		{name: "blank between", in: blank + `{"a":1}` + blank + `{"b":2}` + blank, max: 7, want: []string{`{"a":1}`, `{"b":2}`}},
		{name: "large", in: long + "\r\n" + `{"b":2}` + long + long + `{"c":3}`, want: []string{long, `{"b":2}`, long, long, `{"c":3}`}},
		{name: "large and ends", in: long, want: []string{long}},
		{name: "large and blank", in: long + blank + `{}`, want: []string{long, `{}`}},
		{
			name: "largest that keeps its buffer", in: sized(keepMessage) + sized(keepMessage+1) + `{}`,
			want: []string{sized(keepMessage), sized(keepMessage + 1), `{}`},
		},
		{name: "escapes", in: `{"\u0061":"\ud83d\ude00\"\\\/\b\f\n\r\t","b":"\\"}`, want: []string{`{"\u0061":"\ud83d\ude00\"\\\/\b\f\n\r\t","b":"\\"}`}},
		{name: "literals and numbers", in: `{"a":[true,false,null,-0,1e5,-1.25E-3]}`, want: []string{`{"a":[true,false,null,-0,1e5,-1.25E-3]}`}},
		{name: "repeated names", in: `{"a":1,"a":2,"\u0061":3}`, want: []string{`{"a":1,"a":2,"\u0061":3}`}},
		{name: "invalid UTF-8", in: "{\"a\xff\":\"\xc3(\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82\"}", want: []string{"{\"a\xff\":\"\xc3(\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82\"}"}},
		{name: "lone surrogates", in: `{"a":"\ud800","b":"\udc00\ud800x","c":"\ud83d\ud83d\ude00"}`, want: []string{`{"a":"\ud800","b":"\udc00\ud800x","c":"\ud83d\ud83d\ude00"}`}},
		{name: "UTF-8", in: `{"é":"😀"}`, want: []string{`{"é":"😀"}`}},

		{name: "exact limit", in: sized(500) + sized(500), max: 500, want: []string{sized(500), sized(500)}},
		{name: "one byte over", in: sized(501), max: 500, err: bound(TooLarge, 500)},
		{name: "second one byte over", in: sized(20) + "\n" + sized(501), max: 500, want: []string{sized(20)}, err: bound(TooLarge, 500)},
		{name: "blank in a message counts", in: `{` + blank + `}`, max: 500, err: bound(TooLarge, 500)},
		{name: "never ends", in: `{"a":"`, then: &repeat{text: []byte("x")}, max: 500, err: bound(TooLarge, 500)},
		{name: "smallest", in: `{}{}`, max: 2, want: []string{`{}`, `{}`}},
		{name: "limit of one byte", in: `{}`, max: 1, err: bound(TooLarge, 1)},
		{name: "exact limit over a page", in: sized(18_000) + `{}` + sized(18_000), max: 18_000, want: []string{sized(18_000), `{}`, sized(18_000)}},
		{name: "one byte over a page", in: sized(18_000) + sized(18_001), max: 18_000, want: []string{sized(18_000)}, err: bound(TooLarge, 18_000)},
		{name: "no limit", in: sized(18_000), max: -1, want: []string{sized(18_000)}},
		{name: "greatest limit", in: sized(200), max: math.MaxInt, want: []string{sized(200)}},

		{name: "deep", in: nested(MaxDepth) + nestedArrays(MaxDepth), want: []string{nested(MaxDepth), nestedArrays(MaxDepth)}},
		{name: "too deep", in: nested(MaxDepth + 1), err: bound(TooDeep, MaxDepth)},
		{name: "arrays too deep", in: `{}` + nestedArrays(MaxDepth+1), want: []string{`{}`}, err: bound(TooDeep, MaxDepth)},
		{name: "too deep and never ends", in: `{"a":`, then: &repeat{text: []byte("[")}, err: bound(TooDeep, MaxDepth)},

		{name: "cut off", in: `{"a":1}{"b"`, want: []string{`{"a":1}`}, err: fault(Truncated)},
		{name: "cut off at once", in: `{`, err: fault(Truncated)},
		{name: "cut off in a string", in: `{"a":"x\`, err: fault(Truncated)},
		{name: "cut off in a rune", in: "{\"a\":\"\xe2\x82", err: fault(Truncated)},
		{name: "cut off after a number", in: `{"a":1`, err: fault(Truncated)},
		{name: "cut off after a comma", in: `{"a":1, `, err: fault(Truncated)},
		{name: "cut off in a literal", in: `{"a":nul`, err: fault(Truncated)},
		{name: "cut off in a literal alone", in: `nul`, err: fault(Truncated)},
		{name: "cut off when large", in: long[:len(long)-1], err: fault(Truncated)},

		{name: "reset between", in: "{\"a\":1}\r\n", then: reset, want: []string{`{"a":1}`}, err: syscall.ECONNRESET},
		{name: "reset at once", then: reset, err: syscall.ECONNRESET},
		{name: "reset within", in: `{"a":1}{"b":[{"c":`, then: reset, want: []string{`{"a":1}`}, err: syscall.ECONNRESET},
		{name: "reset in a name", in: `{"a`, then: reset, err: syscall.ECONNRESET},
		{name: "reset in a string", in: `{"a":"x`, then: reset, err: syscall.ECONNRESET},
		{name: "reset in a number", in: `{"a":1`, then: reset, err: syscall.ECONNRESET},
		{name: "reset in a literal", in: `{"a":nul`, then: reset, err: syscall.ECONNRESET},
		{name: "reset when large", in: long + long[:keepMessage+1000], then: reset, want: []string{long}, err: syscall.ECONNRESET},
		{name: "cut off by TLS", in: `{"a":1}`, then: iotest.ErrReader(io.ErrUnexpectedEOF), want: []string{`{"a":1}`}, err: io.ErrUnexpectedEOF},
		{name: "bad before reset", in: `{"a":x`, then: reset, err: fault(NotJSON)},
		{name: "reader gives nothing", in: `{"a":1}`, then: idle{}, want: []string{`{"a":1}`}, err: io.ErrNoProgress},
		{name: "reader gives nothing within", in: `{"a`, then: idle{}, err: io.ErrNoProgress},

		{name: "not an object: array", in: `{}[`, want: []string{`{}`}, err: fault(NotObject)},
		{name: "not an object: string", in: `"`, err: fault(NotObject)},
		{name: "not an object: number", in: `1`, err: fault(NotObject)},
		{name: "not an object: zero", in: `0`, err: fault(NotObject)},
		{name: "not an object: minus", in: `-`, err: fault(NotObject)},
		{name: "not an object: null", in: "null", err: fault(NotObject)},
		{name: "not an object: true", in: " true", err: fault(NotObject)},
		{name: "not an object: false", in: "false\n", err: fault(NotObject)},
		{name: "not an object after a large one", in: long + " []", want: []string{long}, err: fault(NotObject)},
		{name: "word", in: "nonsense\n", err: fault(NotJSON)},
		{name: "SSH", in: "SSH-2.0-OpenSSH\r\n", err: fault(NotJSON)},
		{name: "BOM", in: "\ufeff{}", err: fault(NotJSON)},
		{name: "NUL", in: "\x00", err: fault(NotJSON)},
		{name: "vertical tab", in: "{}\v", want: []string{`{}`}, err: fault(NotJSON)},
		{name: "no-break space", in: "\u00a0{}", err: fault(NotJSON)},
		{name: "agent's delimiter", in: "\xff{}", err: fault(NotJSON)},
		{name: "closing brace", in: `{}}`, want: []string{`{}`}, err: fault(NotJSON)},
		{name: "closing bracket", in: `]`, err: fault(NotJSON)},
		{name: "comma between", in: `{},{}`, want: []string{`{}`}, err: fault(NotJSON)},
		{name: "colon between", in: `{}:{}`, want: []string{`{}`}, err: fault(NotJSON)},
		{name: "NaN", in: `{"a":NaN}`, err: fault(NotJSON)},
		{name: "infinity", in: `{"a":-inf}`, err: fault(NotJSON)},
		{name: "trailing comma", in: `{"a":1,}`, err: fault(NotJSON)},
		{name: "trailing comma in an array", in: `{"a":[1,]}`, err: fault(NotJSON)},
		{name: "single quotes", in: `{'a':1}`, err: fault(NotJSON)},
		{name: "bare name", in: `{a:1}`, err: fault(NotJSON)},
		{name: "number as name", in: `{1:1}`, err: fault(NotJSON)},
		{name: "no colon", in: `{"a" 1}`, err: fault(NotJSON)},
		{name: "no comma", in: `{"a":1 "b":2}`, err: fault(NotJSON)},
		{name: "mismatched", in: `{"a":[}`, err: fault(NotJSON)},
		{name: "leading zero", in: `{"a":01}`, err: fault(NotJSON)},
		{name: "plus", in: `{"a":+1}`, err: fault(NotJSON)},
		{name: "bare point", in: `{"a":1.}`, err: fault(NotJSON)},
		{name: "hexadecimal", in: `{"a":0x10}`, err: fault(NotJSON)},
		{name: "comment", in: `{/**/}`, err: fault(NotJSON)},
		{name: "control character", in: "{\"a\":\"\n\"}", err: fault(NotJSON)},
		{name: "bad escape", in: `{"a":"\x41"}`, err: fault(NotJSON)},
		{name: "bad unicode escape", in: `{"a":"\u12G4"}`, err: fault(NotJSON)},
		{name: "capital literal", in: `{"a":True}`, err: fault(NotJSON)},
	} {
		for name, open := range readers {
			if tt.then == (idle{}) && strings.HasSuffix(name, "with end") {
				continue // such a reader never returns
			}
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				var r io.Reader = strings.NewReader(tt.in)
				if tt.then != nil {
					r = io.MultiReader(r, tt.then)
				}
				f := NewFramer(open(r), tt.max, nil)
				got, err := frames(f)
				if !slices.Equal(got, tt.want) {
					t.Errorf("messages:\n got %.300q\nwant %.300q", got, tt.want)
				}
				switch want := tt.err.(type) {
				case nil:
					if err != io.EOF {
						t.Errorf("error: got %v, want io.EOF itself", err)
					}
				case *FrameError:
					got, ok := err.(*FrameError)
					if !ok || got.Fault != want.Fault || got.Limit != want.Limit {
						t.Fatalf("error: got %#v, want fault %d, limit %d", err, want.Fault, want.Limit)
					}
					if n := len(got.Excerpt); n == 0 || n > excerptLen+len("...") {
						t.Errorf("excerpt of %d bytes", n)
					}
					if text := got.Error(); len(text) > 600 || strings.ContainsAny(text, "\r\n") {
						t.Errorf("not one short line: %q", text)
					}
				default:
					if err != want {
						t.Errorf("error: got %v, want %v itself", err, want)
					}
				}
				// An error is final.
				for range 2 {
					if msg, again := f.Next(); msg != nil || again != err {
						t.Errorf("after the error: got %q, %v", msg, again)
					}
				}
			})
		}
	}
}

// idle never gives anything.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// A liar has read more than there was room for, or less than nothing.
type liar struct{ by int }

func (l liar) Read(p []byte) (int, error) {
	if l.by < 0 {
		return l.by, nil
	}
	return len(p) + l.by, nil
}

// repeat gives text over and over.
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

var errReadOn = errors.New("read on instead of saying what is wrong")

// TestFramerSaysAtOnce: the first byte is enough for the error. Another read would
// block.
func TestFramerSaysAtOnce(t *testing.T) {
	for _, tt := range []struct {
		in    string
		fault Fault
	}{
		{`[`, NotObject},
		{`"`, NotObject},
		{`7`, NotObject},
		{`-`, NotObject},
		{"null", NotObject},
		{"\r\n true", NotObject},
		{`,`, NotJSON},
		{`:`, NotJSON},
		{`}`, NotJSON},
		{`]`, NotJSON},
		{"nonsense", NotJSON},
		{"nope", NotJSON},
		{"\ufeff", NotJSON},
		{`{]`, NotJSON},
		{`{,`, NotJSON},
		{`{"a":N`, NotJSON},
		{`{"a":nub`, NotJSON},
		{`{"a":1,}`, NotJSON},
		{`{"a":00`, NotJSON},
		{`{'`, NotJSON},
		{strings.Repeat(`{"a":`, MaxDepth) + "[", TooDeep},
	} {
		for name, open := range readers {
			if strings.HasSuffix(name, "with end") {
				continue
			}
			for _, before := range []string{"", "{}", sized(keepMessage+1) + "\r\n"} {
				if len(before) > 2 && name != "whole" && name != "halves" {
					continue // the others take long
				}
				f := NewFramer(open(io.MultiReader(strings.NewReader(before+tt.in), iotest.ErrReader(errReadOn))), 0, nil)
				got, err := frames(f)
				if want := len(before) > 0; len(got) > 0 != want {
					t.Errorf("%s, %.40q: messages %.80q", name, before+tt.in, got)
				}
				if fe, ok := err.(*FrameError); !ok || fe.Fault != tt.fault {
					t.Errorf("%s, %.40q: got %v, want fault %d", name, before+tt.in, err, tt.fault)
				}
			}
		}
	}
	t.Run("a message that has come", func(t *testing.T) {
		for name, open := range readers {
			for _, in := range []string{`{}`, `{"a":1}`, sized(9000), sized(18_000)} {
				f := NewFramer(open(io.MultiReader(strings.NewReader(in+in), iotest.ErrReader(errReadOn))), len(in), nil)
				for range 2 {
					if msg, err := f.Next(); string(msg) != in {
						t.Errorf("%s: got %.40q, %v", name, msg, err)
					}
				}
			}
		}
	})
}

// TestFramerErrorWithData has a reader whose error comes with its last bytes,
// and which then forgets it.
func TestFramerErrorWithData(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int
	}{{"", 0}, {"{}", 1}, {"{} ", 1}, {`{}{"a`, 1}, {sized(9000), 1}, {sized(9000) + "{}", 2}, {sized(9000) + `{"a`, 1}} {
		forgetful := readerFunc(func(p []byte) (int, error) {
			n := copy(p, tt.in)
			if tt.in = tt.in[n:]; tt.in == "" {
				return n, syscall.ECONNRESET
			}
			return n, nil
		})
		calls := 0
		f := NewFramer(readerFunc(func(p []byte) (int, error) {
			if calls++; calls > 1 && tt.in == "" {
				return 0, io.EOF
			}
			return forgetful(p)
		}), 0, nil)
		got, err := frames(f)
		if len(got) != tt.want || err != syscall.ECONNRESET {
			t.Errorf("got %d messages, %v; want %d, %v", len(got), err, tt.want, syscall.ECONNRESET)
		}
	}
	f := NewFramer(iotest.DataErrReader(strings.NewReader(`{"a":x}`)), 0, nil)
	if _, err := f.Next(); !isFault(err, NotJSON) {
		t.Errorf("bad bytes with the end of the stream: got %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func isFault(err error, fault Fault) bool {
	var fe *FrameError
	return errors.As(err, &fe) && fe.Fault == fault
}

// TestFramerEveryCut cuts a session in two at every byte, and ends it there.
func TestFramerEveryCut(t *testing.T) {
	session := "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n" +
		"{\"return\": {}, \"id\": 1}\r\n{\"event\":\"STOP\",\"timestamp\":{\"seconds\":1,\"microseconds\":-1}}\n" +
		"{\n    \"error\": {\"class\": \"GenericError\", \"desc\": \"\\u00e9\\\\\\\"\xc3\xa9\"}, \"id\": null}{\"return\":[true,false,null,1e5]}"
	want, err := frames(NewFramer(strings.NewReader(session), 0, nil))
	if err != io.EOF || len(want) != 5 {
		t.Fatalf("whole: %q, %v", want, err)
	}
	for i := range len(session) {
		two := io.MultiReader(strings.NewReader(session[:i]), strings.NewReader(session[i:]))
		if got, err := frames(NewFramer(two, 0, nil)); err != io.EOF || !slices.Equal(got, want) {
			t.Errorf("in two at %d: %q, %v", i, got, err)
		}
		got, err := frames(NewFramer(strings.NewReader(session[:i]), 0, nil))
		if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) || err != io.EOF && !isFault(err, Truncated) {
			t.Errorf("ended at %d: %q, %v", i, got, err)
		}
		got, err = frames(NewFramer(io.MultiReader(strings.NewReader(session[:i]), iotest.ErrReader(syscall.ECONNRESET)), 0, nil))
		if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) || err != syscall.ECONNRESET {
			t.Errorf("reset at %d: %q, %v", i, got, err)
		}
	}
}

// TestFramerBeforeRead holds that beforeRead is called before each read and at
// no other time, when every whole message received has been given out.
func TestFramerBeforeRead(t *testing.T) {
	long := sized(18_000)
	for name, open := range readers {
		if name == "nothing between" {
			continue // each of its reads is two
		}
		t.Run(name, func(t *testing.T) {
			in := strings.NewReader(`{"a":1}{"b":2}` + "\r\n" + `{"c":3}` + sized(5000) + long + `{"e":5}` + long + long + `{"f":6}[`)
			var received []byte
			reads, calls, given := 0, 0, 0
			source := open(in)
			f := NewFramer(readerFunc(func(p []byte) (int, error) {
				reads++
				n, err := source.Read(p)
				received = append(received, p[:n]...)
				return n, err
			}), 0, func() {
				if calls++; calls != reads+1 {
					t.Errorf("call %d before read %d", calls, reads+1)
				}
				if calls > 1000 && calls%997 != 0 {
					return // to check each of so many takes too long
				}
				if whole, _ := frames(NewFramer(bytes.NewReader(received), 0, nil)); len(whole) != given {
					t.Errorf("after %d bytes: %d of %d messages returned", len(received), given, len(whole))
				}
			})
			for {
				if _, err := f.Next(); err != nil {
					break
				}
				given++
			}
			if given != 9 || calls != reads {
				t.Errorf("%d messages, %d calls for %d reads", given, calls, reads)
			}
		})
	}
}

// allocated returns how many bytes do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestFramerMemory(t *testing.T) {
	t.Run("blank space fills no buffer", func(t *testing.T) {
		const flood = 4 << 20
		blank := func() io.Reader { return io.LimitReader(&repeat{text: []byte(" \t\r\n")}, flood) }
		f := NewFramer(io.MultiReader(strings.NewReader(`{"a":1}`), blank(), strings.NewReader(`{"b":2}`), blank()), 100, nil)
		n := allocated(func() {
			if got, err := frames(f); len(got) != 2 || err != io.EOF {
				t.Errorf("got %q, %v", got, err)
			}
		})
		if n > 64<<10 {
			t.Errorf("%d bytes allocated", n)
		}
	})
	t.Run("a limit is a bound", func(t *testing.T) {
		f := NewFramer(io.MultiReader(strings.NewReader(`{"a":"`), &repeat{text: []byte("x")}), 1<<20, nil)
		n := allocated(func() {
			if _, err := f.Next(); !isFault(err, TooLarge) {
				t.Errorf("got %v", err)
			}
		})
		if n > 8<<20 {
			t.Errorf("%d bytes allocated", n)
		}
	})
	t.Run("what follows a large message is not copied again and again", func(t *testing.T) {
		// All comes in one piece: the first message makes a large buffer, and
		// the reader fills it with the others.
		in := sized(4<<20) + strings.Repeat(sized(keepMessage+1), 200)
		f := NewFramer(strings.NewReader(in), 0, nil)
		count := 0
		n := allocated(func() {
			for {
				if _, err := f.Next(); err != nil {
					break
				}
				count++
			}
		})
		if count != 201 || n > 10*uint64(len(in)) {
			t.Errorf("%d messages, %d bytes allocated for %d", count, n, len(in))
		}
	})
	t.Run("a large buffer is given back", func(t *testing.T) {
		for _, rest := range []string{`{}{}`, sized(1 << 20)[:1<<19]} {
			f := NewFramer(io.MultiReader(strings.NewReader(sized(1<<20)+rest), iotest.ErrReader(errReadOn)), 0, nil)
			msg, err := f.Next()
			if err != nil {
				t.Fatal(err)
			}
			large := weak.Make(&msg[0])
			if rest == `{}{}` {
				msg, err = f.Next()
				if string(msg) != "{}" {
					t.Fatal(string(msg), err)
				}
			}
			msg = nil
			runtime.GC()
			if large.Value() != nil {
				t.Errorf("still held")
			}
			runtime.KeepAlive(f)
		}
	})
	t.Run("an error holds no message", func(t *testing.T) {
		// The path to the bad byte is as long as the message.
		in := `{"` + strings.Repeat("n", 1<<20) + `":NaN`
		f := NewFramer(strings.NewReader(in), 0, nil)
		_, err := f.Next()
		var fe *FrameError
		if !errors.As(err, &fe) || fe.Fault != NotJSON {
			t.Fatal(err)
		}
		if text := fmt.Sprintf("%+v", fe.Err); len(text) > 200 {
			t.Errorf("%d bytes of error", len(text))
		}
	})
}

// TestFramerLinear takes minutes if a byte is looked at, or moved, again for
// each one that follows it.
func TestFramerLinear(t *testing.T) {
	n := 512 << 10
	if raceEnabled {
		n = 16 << 10 // the race detector looks at all the bytes of a copy that moves nothing
	}
	for name, in := range map[string]string{
		"string":               sized(n),
		"backslashes":          `{"a":"` + strings.Repeat(`\\`, n/2) + `"}`,
		"quotes":               `{"a":"` + strings.Repeat(`\"`, n/2) + `"}`,
		"escapes":              `{"a":"` + strings.Repeat(`\ud83d\ude00`, n/12) + `"}`,
		"bad UTF-8":            `{"a":"` + strings.Repeat("\xff", n) + `"}`,
		"name":                 `{"` + strings.Repeat("x", n) + `":1}`,
		"number":               `{"a":1` + strings.Repeat("0", n) + `}`,
		"fraction":             `{"a":1.` + strings.Repeat("0", n) + `e5}`,
		"blank":                `{"a":` + strings.Repeat(" ", n) + `1}`,
		"members":              `{` + strings.Repeat(`"a":1,`, n/6) + `"b":2}`,
		"elements":             `{"a":[` + strings.Repeat(`{},`, n/3) + `null]}`,
		"deep":                 `{"a":[` + strings.Repeat(nested(MaxDepth-2)+",", n/(6*MaxDepth)) + `1]}`,
		"tiny":                 strings.Repeat(`{}`, n/2),
		"medium":               strings.Repeat(sized(keepMessage+1), 16),
		"blank space after it": `{}` + strings.Repeat(" ", n) + `{}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := NewFramer(iotest.OneByteReader(strings.NewReader(in)), 0, nil)
			for {
				msg, err := f.Next()
				if err == io.EOF {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				ParseMessage(msg)
			}
		})
	}
}

// TestLargeStringOfBackslashes is one string of nearly 64 MiB.
func TestLargeStringOfBackslashes(t *testing.T) {
	size := MaxSend
	if testing.Short() || raceEnabled {
		size >>= 4
	}
	in := bytes.Repeat([]byte{'\\'}, size)
	copy(in, `{"return":"`+`\"`)
	copy(in[size-3:], `n"}`)
	if n := len(in) - len(`{"return":""}`); n%2 != 0 {
		copy(in, `{"return": "`+`"`)
		copy(in, `{"return": "`+`\`)
	}
	f := NewFramer(bytes.NewReader(in), 0, nil)
	msg, err := f.Next()
	if err != nil {
		t.Fatal(err)
	}
	m := ParseMessage(msg)
	if text, ok := Text(m.Return); !ok || len(text) != len(m.Return)/2-1 {
		t.Errorf("%d bytes of text from %d", len(text), len(m.Return))
	}
	if err := CheckSend(msg); err != nil {
		t.Error(err)
	}
}

func TestFramerValidUntilNext(t *testing.T) {
	// The message of the last call must stand while what follows it is waiting
	// in the same buffer, and when its buffer is given back.
	for _, in := range []string{`{"a":1}`, sized(keepMessage), sized(keepMessage + 1), sized(1 << 20)} {
		f := NewFramer(strings.NewReader(in+in+in), 0, nil)
		for range 3 {
			msg, err := f.Next()
			if err != nil || string(msg) != in {
				t.Fatalf("got %.40q, %v", msg, err)
			}
			if cap(msg) != len(msg) {
				t.Error("appending would write over what follows")
			}
		}
	}
}

func TestFrameError(t *testing.T) {
	cause := errors.New("one\ntwo")
	for _, tt := range []struct {
		err  *FrameError
		want string
	}{
		{&FrameError{Fault: NotJSON, Excerpt: []byte("x\ny"), Err: cause}, `not JSON (one two): "x\ny"`},
		{&FrameError{Fault: NotJSON, Excerpt: []byte("x")}, `not JSON: "x"`},
		{&FrameError{Fault: NotObject, Excerpt: []byte("[1")}, `not a JSON object: "[1"`},
		{&FrameError{Fault: TooLarge, Limit: 5}, "larger than the limit of 5 bytes"},
		{&FrameError{Fault: TooDeep, Limit: 6}, "nested deeper than the limit of 6 levels"},
		{&FrameError{Fault: Truncated, Excerpt: []byte("{"), Err: io.ErrUnexpectedEOF}, `cut off: "{"`},
		{&FrameError{Fault: BadNumber, Limit: 7}, "a number of more than 7 digits"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
		if tt.err.Unwrap() != tt.err.Err {
			t.Errorf("%v: unwraps to %v", tt.err, tt.err.Unwrap())
		}
	}

	// What is wrong is told by where it is in its own message, wherever that
	// stands in the stream.
	for _, before := range []string{"", "{}\r\n", sized(100_000) + " ", strings.Repeat(sized(3000)+"\n", 5)} {
		_, err := frames(NewFramer(strings.NewReader(before+`{"a":{"b":NaN}}`), 0, nil))
		const want = `not JSON (jsontext: invalid character 'N' at start of value within "/a/b" after offset 10): "{\"a\":{\"b\":NaN}}"`
		if err == nil || err.Error() != want {
			t.Errorf("after %d bytes:\n got %v\nwant %s", len(before), err, want)
		}
	}
	_, err := frames(NewFramer(strings.NewReader(`{"a":"`+strings.Repeat("x", 1000)), 0, nil))
	if want := `cut off: "{\"a\":\"` + strings.Repeat("x", excerptLen-6) + `..."`; err.Error() != want || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// TestFramerAllocations holds that a small message costs no allocation.
func TestFramerAllocations(t *testing.T) {
	for _, text := range []string{
		`{"return": {}, "id": 12345}` + "\r\n",
		`{"id": 7, "error": {"class": "GenericError", "desc": "no"}}` + "\r\n",
		`{"timestamp": {"seconds": 1700000000, "microseconds": 12}, "event": "STOP", "data": {"a": [1, "\u00e9"]}}`,
		sized(keepMessage),
	} {
		f := NewFramer(&repeat{text: []byte(text)}, 0, nil)
		next := func() {
			msg, err := f.Next()
			if err != nil {
				t.Fatal(err)
			}
			m := ParseMessage(msg)
			if m.Timestamp != nil && ParseTimestamp(m.Timestamp).IsZero() {
				t.Fatal("no time")
			}
		}
		for range 300 {
			next() // the buffer grows to its size
		}
		if n := testing.AllocsPerRun(1000, next); n > 0 {
			t.Errorf("%.40q: %v allocations a message", text, n)
		}
	}
}

// A reader that breaks the rules of io.Reader is an error.
func TestFramerOverALiar(t *testing.T) {
	for _, by := range []int{1, -1} {
		for _, in := range []string{`{"a":1}`, `{"a`} {
			f := NewFramer(io.MultiReader(strings.NewReader(in), liar{by}), 0, nil)
			msg, err := f.Next()
			if err == nil && string(msg) == in {
				_, err = f.Next()
			}
			if !errors.Is(err, errCount) {
				t.Errorf("%q, and then %+d bytes: got %q and error %v, want %v", in, by, msg, err, errCount)
			}
		}
	}
}
