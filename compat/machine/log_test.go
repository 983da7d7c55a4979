package machine

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogText(t *testing.T) {
	t.Parallel()
	const limit = minLogLimit
	for _, size := range []int{0, 1, limit / 4, limit/4 + 1, limit, limit + 1, 3*limit/2 + 7, 2 * limit, 10*limit + 3} {
		for _, piece := range []int{1, 7, 100, limit - 1, limit, 5 * limit} {
			text := bytes.Repeat([]byte("0123456789abcdefghij\n"), size/21+1)[:size]
			l := logText{limit: limit}
			for rest := text; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
				l.write(rest[:min(piece, len(rest))])
			}
			got := string(l.render(nil, -1))
			want := string(text)
			if size > limit {
				want = fmt.Sprintf("%s\n[%d bytes are missing here: the log's limit is %d bytes (machine.Options.LogLimit)]\n%s",
					text[:limit/4], size-limit, limit, text[size-limit*3/4:])
			}
			if got != want {
				t.Errorf("%d bytes in pieces of %d: %d bytes, want %d", size, piece, len(got), len(want))
			}
			if got := cap(l.head) + cap(l.ring); got > 2*limit {
				t.Errorf("%d bytes in pieces of %d: it takes %d bytes", size, piece, got)
			}
			if got := string(l.render(nil, 10)); size > limit/4+10 && !strings.HasSuffix(got, "\n"+string(text[size-10:])) {
				t.Errorf("%d bytes in pieces of %d: with 10 at the end it ends with %q", size, piece, got[max(0, len(got)-20):])
			}
		}
	}
	l := logText{limit: -1}
	for range 10 {
		l.write(make([]byte, limit))
	}
	if got := len(l.render(nil, -1)); got != 10*limit {
		t.Errorf("without a limit it has %d bytes", got)
	}
}

// newLogFile returns a file that is not empty, and a log that is copied there. why
// returns what has failed.
func newLogFile(t *testing.T) (path string, file *logFile, why func() error) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var failed error
	file, err := openLogFile(path, minLogLimit, func(err error) { failed = err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.close() })
	return path, file, func() error { return failed }
}

func TestLogFile(t *testing.T) {
	t.Parallel()
	path, file, why := newLogFile(t)
	text := logText{limit: minLogLimit}
	for i := range 5000 {
		b := fmt.Appendf(nil, "line %d\n", i)
		text.write(b)
		file.write(b, text.render)
		got, err := os.ReadFile(path)
		if err != nil || why() != nil {
			t.Fatal(err, why())
		}
		if !bytes.HasPrefix(got, []byte("before\nline 0\nline 1\n")[:min(len(got), 21)]) || !bytes.HasSuffix(got, b) || len(got) > minLogLimit+7 {
			t.Fatalf("after line %d the file has %d bytes: %q ... %q", i, len(got), got[:20], got[len(got)-20:])
		}
	}
	got, _ := os.ReadFile(path)
	if n := bytes.Count(got, []byte(" bytes are missing here: ")); n != 1 {
		t.Errorf("the file says %d times that something is missing", n)
	}
}

// If another program writes to the file, the log does not change it; it only appends
// why it stops.
func TestLogFileOfTwo(t *testing.T) {
	t.Parallel()
	path, file, why := newLogFile(t)
	text := logText{limit: minLogLimit}
	b := []byte(strings.Repeat("x", 99) + "\n")
	other, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.WriteString("another's\n"); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		text.write(b)
		file.write(b, text.render)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(got, []byte("before\nanother's\nxx")) || !bytes.HasSuffix(got, []byte("(machine.Options.LogFile)]\n")) || len(got) > 2*minLogLimit {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if !errors.Is(why(), errSharedLog) {
		t.Errorf("%v", why())
	}
}

func TestLogFileThatFails(t *testing.T) {
	t.Parallel()
	_, file, why := newLogFile(t)
	_ = file.file.Close()
	for range 2 {
		file.write([]byte("x"), nil)
	}
	if !errors.Is(why(), os.ErrClosed) {
		t.Errorf("%v", why())
	}
	if file, err := openLogFile(os.DevNull, 0, nil); err != nil {
		t.Error(err)
	} else {
		file.write(make([]byte, 1<<20), nil) // has no size that could be limited
		if err := file.close(); err != nil {
			t.Error(err)
		}
	}
}

// What the process has written is in the log at once: a caller that has got QEMU's reply
// finds in the log what QEMU printed before the reply.
func TestLogIsUpToDate(t *testing.T) {
	t.Parallel()
	l, err := openLog("", -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	var want strings.Builder
	for i := range 2000 {
		line := strings.Repeat(fmt.Sprint(i), 1+i%50) + "\n"
		want.WriteString(line)
		if _, err := l.theirs.WriteString(line); err != nil {
			t.Fatal(err)
		}
		if got := l.tail(math.MaxInt); got != want.String() {
			t.Fatalf("after %d lines it has %d bytes, want %d", i+1, len(got), want.Len())
		}
	}
}

// The log is complete as soon as the process has ended, even if somebody else
// still has the process's end of the pipe and goes on writing.
func TestLogSettles(t *testing.T) {
	t.Parallel()
	for i := range 200 {
		l, err := openLog("", -1, nil)
		if err != nil {
			t.Fatal(err)
		}
		other := l.theirs
		l.theirs = nil
		want := strings.Repeat(fmt.Sprintln(i), 1+i*10)
		if _, err := other.WriteString(want); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			l.settle()
			if got := l.tail(math.MaxInt); got != want {
				t.Fatalf("it has %d bytes, want %d", len(got), len(want))
			}
		}
		if _, err := other.WriteString("more\n"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := l.close(); err != nil {
				t.Error(err)
			}
		}
		l.settle()
		if got := l.tail(math.MaxInt); !strings.HasPrefix(got, want) {
			t.Errorf("%q", got)
		}
		_ = other.Close()
	}
}

func TestErrorsHoldTheEndOfALongOutput(t *testing.T) {
	t.Parallel()
	failure := &VMLaunchFailure{Output: strings.Repeat("x\n", 5000), Err: os.ErrNotExist}
	if got := failure.Error(); len(got) > 3*(2<<10) {
		t.Errorf("the error has %d bytes", len(got))
	}
}
