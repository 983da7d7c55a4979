package proto

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
)

// Tests of FrameError in framer.go, and of readers that fail or break io.Reader's rules.

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

	// The error says where the fault is within its message, not within the stream.
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

// TestFramerErrorWithData has a reader that returns its error together with its last
// bytes, and no error at the next call.
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

// If the reader breaks the rules of io.Reader, Next returns an error.
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
