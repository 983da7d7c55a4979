package proto

import (
	"bytes"
	"io"
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
)

// Tests of Framer in framer.go: which messages and which error it returns for which
// bytes, however the bytes come.

func TestFramer(t *testing.T) {
	reset := iotest.ErrReader(syscall.ECONNRESET)
	blank := strings.Repeat(" \t\r\n", 5000)
	long := sized(busyBuffer + 4000)

	// The errors that end a stream, apart from io.EOF.
	fault := func(f Fault) error { return &FrameError{Fault: f} }
	bound := func(f Fault, limit int) error { return &FrameError{Fault: f, Limit: limit} }

	for _, tt := range []struct {
		name string
		in   string
		then io.Reader // what the stream has after in; nil means its end
		max  int
		want []string
		err  error // nil means io.EOF
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
			name: "largest that keeps its buffer", in: sized(busyBuffer) + sized(busyBuffer+1) + `{}`,
			want: []string{sized(busyBuffer), sized(busyBuffer + 1), `{}`},
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
		{name: "reset when large", in: long + long[:busyBuffer+1000], then: reset, want: []string{long}, err: syscall.ECONNRESET},
		{name: "cut off by TLS", in: `{"a":1}`, then: iotest.ErrReader(io.ErrUnexpectedEOF), want: []string{`{"a":1}`}, err: io.ErrUnexpectedEOF},
		{name: "bad before reset", in: `{"a":x`, then: reset, err: fault(NotJSON)},
		{name: "reader returns no bytes", in: `{"a":1}`, then: idle{}, want: []string{`{"a":1}`}, err: io.ErrNoProgress},
		{name: "reader returns no bytes within", in: `{"a`, then: idle{}, err: io.ErrNoProgress},

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
						t.Errorf("the text is not one short line: %q", text)
					}
				default:
					if err != want {
						t.Errorf("error: got %v, want %v itself", err, want)
					}
				}
				// Next returns the same error ever after.
				for range 2 {
					if msg, again := f.Next(); msg != nil || again != err {
						t.Errorf("after the error: got %q, %v", msg, again)
					}
				}
			})
		}
	}
}

// TestFramerSaysAtOnce requires Next to return an error, or a whole message, as soon
// as the bytes that decide it have come. It must not read again: that could block.
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
			for _, before := range []string{"", "{}", sized(busyBuffer+1) + "\r\n"} {
				if len(before) > 2 && name != "whole" && name != "halves" {
					continue // the other readers take too long
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
	t.Run("a whole message", func(t *testing.T) {
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

// TestFramerEveryCut splits a stream into two reads at every byte, and ends it at
// every byte.
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

// TestFramerBeforeRead requires Next to call beforeRead before each read and at no
// other time, and only after it has returned every whole message that has come.
func TestFramerBeforeRead(t *testing.T) {
	long := sized(18_000)
	for name, open := range readers {
		if name == "nothing between" {
			continue // it makes two reads of each
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
					return // checking every one of so many takes too long
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

func TestFramerValidUntilNext(t *testing.T) {
	// A message must be valid until the next call, also if the bytes after it are in
	// the same buffer, and if its buffer has been released.
	for _, in := range []string{`{"a":1}`, sized(busyBuffer), sized(busyBuffer + 1), sized(1 << 20)} {
		f := NewFramer(strings.NewReader(in+in+in), 0, nil)
		for range 3 {
			msg, err := f.Next()
			if err != nil || string(msg) != in {
				t.Fatalf("got %.40q, %v", msg, err)
			}
			if cap(msg) != len(msg) {
				t.Error("appending to the message would overwrite the bytes after it")
			}
		}
	}
}
