package proto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"weak"
)

// Tests of what Framer in framer.go costs: memory, allocations and time.

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
	t.Run("a limit bounds the buffer", func(t *testing.T) {
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
		// Everything comes in one piece: the Framer makes a large buffer for the
		// first message, and the reader fills it with the others.
		in := sized(4<<20) + strings.Repeat(sized(busyBuffer+1), 200)
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
	t.Run("a large buffer is released", func(t *testing.T) {
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
				t.Errorf("the Framer still holds the buffer")
			}
			runtime.KeepAlive(f)
		}
	})
	t.Run("an error does not hold the message", func(t *testing.T) {
		// Here the path to the bad byte, which jsontext's error has, is as long as
		// the message.
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

// TestFramerLinear takes minutes if the Framer reads or moves a byte again for each
// byte that comes after it.
func TestFramerLinear(t *testing.T) {
	n := 512 << 10
	if raceEnabled {
		n = 16 << 10 // the race detector checks all bytes of a copy, even of one onto itself
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
		"medium":               strings.Repeat(sized(busyBuffer+1), 16),
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

// TestLargeStringOfBackslashes reads one string of nearly 64 MiB that consists of
// backslashes.
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

// TestFramerAllocations requires that a small message costs no allocation.
func TestFramerAllocations(t *testing.T) {
	for _, text := range []string{
		`{"return": {}, "id": 12345}` + "\r\n",
		`{"id": 7, "error": {"class": "GenericError", "desc": "no"}}` + "\r\n",
		`{"timestamp": {"seconds": 1700000000, "microseconds": 12}, "event": "STOP", "data": {"a": [1, "\u00e9"]}}`,
		sized(busyBuffer),
	} {
		f := NewFramer(&repeat{text: []byte(text)}, 0, nil)
		next := func() {
			msg, err := f.Next()
			if err != nil {
				t.Fatal(err)
			}
			m := ParseMessage(msg)
			if m.Timestamp != nil && ParseTimestamp(m.Timestamp).IsZero() {
				t.Fatal("the event has no time")
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
