package agent_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/async/qmptest"
)

// What errors tell a person.
func TestErrorTexts(t *testing.T) {
	cause := errors.New("the cause")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&agent.ExitError{Path: "x", Code: 3}, "x: exit status 3"},
		{&agent.ExitError{Path: "x", Signal: 9}, "x: ended by signal 9"},
		{&agent.TruncatedError{Path: "x", Stdout: true, Stderr: true}, "x: the guest agent has kept only the beginning of its standard output and standard error"},
		{&agent.LostProcessError{Path: "x", PID: 17, Err: cause}, "x: the guest agent does not know process 17 any more; the agent or the guest was restarted: the cause"},
		{&agent.LostReplyError{Command: "x", Err: cause}, "qmp: x: the guest agent has answered a later command, but not this one; it or the guest was restarted, and the command may have been executed"},
		{&agent.StreamError{Path: "x", Err: cause}, "x: cannot stream its input and output in this guest, and it was not started: the cause"},
		{&agent.ChecksumError{Name: "x", Here: "1", Guest: "2"}, "x: its SHA-256 in the guest is 2, and of what was copied 1; was it written to meanwhile?"},
		{&agent.LeaseError{Err: cause}, "the guest's file systems did not stay frozen until the end: the cause"},
		{&agent.ThawError{Err: cause}, "the guest's file systems may still be frozen; execute guest-fsfreeze-thaw when the agent answers again: the cause"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

// simulatedClient connects to an agent with handlers, in memory.
func simulatedClient(t *testing.T, handlers map[string]func(cmd *qmptest.Command) (any, error)) *agent.Client {
	t.Helper()
	s := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory, NoGreeting: true})
	for name, handle := range handlers {
		s.Handle(name, func(_ context.Context, cmd *qmptest.Command) (any, error) { return handle(cmd) })
	}
	a, err := agent.Dial(t.Context(), "", over(s.Dial))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// value is a handler that always returns v.
func value(v any) func(*qmptest.Command) (any, error) {
	return func(*qmptest.Command) (any, error) { return v, nil }
}

// refusal is a handler that refuses the command with these words.
func refusal(words string) func(*qmptest.Command) (any, error) {
	return func(*qmptest.Command) (any, error) {
		return nil, &qmptest.Error{Class: "GenericError", Desc: words}
	}
}

// What a program has written is incomplete, or is not what an agent sends.
func TestOddOutput(t *testing.T) {
	for name, tt := range map[string]struct {
		status map[string]any
		check  func(err error) bool
	}{
		"truncated": {
			map[string]any{"exited": true, "exitcode": 0, "out-data": "aGk=", "out-truncated": true, "err-truncated": true},
			func(err error) bool {
				e, ok := errors.AsType[*agent.TruncatedError](err)
				return ok && e.Stdout && e.Stderr && !errors.As(err, new(*agent.ExitError))
			},
		},
		"truncated and failed": {
			map[string]any{"exited": true, "exitcode": 1, "out-data": "aGk=", "out-truncated": true},
			func(err error) bool {
				e, ok := errors.AsType[*agent.TruncatedError](err)
				return ok && e.Stdout && !e.Stderr && errors.As(err, new(*agent.ExitError))
			},
		},
		"not base64": {
			map[string]any{"exited": true, "exitcode": 0, "out-data": "?"},
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "base64") },
		},
		"Windows' exception": {
			map[string]any{"exited": true, "signal": 5},
			func(err error) bool { e, ok := errors.AsType[*agent.ExitError](err); return ok && e.Signal == 5 },
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := simulatedClient(t, map[string]func(*qmptest.Command) (any, error){"guest-exec": value(map[string]int{"pid": 1}), "guest-exec-status": value(tt.status)})
			if _, err := a.Command(t.Context(), "x").Output(); !tt.check(err) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// A Cmd whose fields cannot be used starts nothing.
func TestCmdIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := simulatedClient(t, nil)
		ctx := t.Context()
		large := a.Command(ctx, "x")
		large.Stdin = io.LimitReader(zeros{}, agent.MaxInput+1)
		broken := a.Command(ctx, "x")
		broken.Stdin = errReader{}
		for what, err := range map[string]error{
			"too much input":        large.Run(),
			"an input that breaks":  broken.Run(),
			"Wait before the start": a.Command(ctx, "x").Wait(),
			"no guest-exec":         a.Command(ctx, "x", "y").Run(),
		} {
			if err == nil {
				t.Errorf("%s: no error", what)
			}
		}
		cmd := &agent.Cmd{Path: "x"}
		if cmd.String() != "x" || a.Command(ctx, "a", "b", "c").String() != "a b c" {
			t.Errorf("%s", cmd)
		}
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

var errBroken = errors.New("broken")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errBroken }

type errWriter struct{}

func (errWriter) Write([]byte) (int, error) { return 0, errBroken }

// An agent whose answers about files do not fit.
func TestOddFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count := 0
		a := simulatedClient(t, map[string]func(*qmptest.Command) (any, error){
			"guest-file-open":  value(1000),
			"guest-file-read":  value(map[string]any{"count": 4, "buf-b64": "YWJjZA==", "eof": false}),
			"guest-file-write": func(*qmptest.Command) (any, error) { return map[string]any{"count": count, "eof": false}, nil },
			"guest-file-close": refusal("Permission denied"),
			"guest-file-seek":  refusal("Invalid argument"),
		})
		ctx := t.Context()
		f, err := a.Open(ctx, "x")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := f.Read(nil); n != 0 || err != nil {
			t.Errorf("Read of nothing: %d, %v", n, err)
		}
		if n, err := f.Read(make([]byte, 2)); n != 0 || err == nil {
			t.Errorf("Read returned more than it was asked for: %d, %v", n, err)
		}
		if n, err := f.WriteTo(errWriter{}); n != 0 || err != errBroken {
			t.Errorf("WriteTo: %d, %v", n, err)
		}
		for _, count = range []int{0, 17} {
			if _, err := f.Write([]byte("abc")); !errors.Is(err, io.ErrShortWrite) {
				t.Errorf("Write of %d: %v", count, err)
			}
		}
		count = 1
		if n, err := f.Write([]byte("abc")); n != 3 || err != nil {
			t.Errorf("Write, a byte at a time: %d, %v", n, err)
		}
		if n, err := f.ReadFrom(errReader{}); n != 0 || err != errBroken {
			t.Errorf("ReadFrom: %d, %v", n, err)
		}
		if err := f.Close(); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("Close: %v", err)
		}
		if _, err := a.CopyOut(ctx, nil, "x", nil); err == nil || !strings.Contains(err.Error(), "Invalid argument") {
			t.Errorf("CopyOut: %v", err)
		}
		if _, err := a.CopyIn(ctx, "x", nil, 1, nil); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("CopyIn: %v", err)
		}
	})
}

// The guest computes another checksum, or none.
func TestOddChecksum(t *testing.T) {
	sum := strings.Repeat("0", 64)
	for output, want := range map[string]bool{sum + "  x\n": true, "sha256sum: x: Permission denied\n": false} {
		synctest.Test(t, func(t *testing.T) {
			a := simulatedClient(t, map[string]func(*qmptest.Command) (any, error){
				"guest-file-open": value(1000), "guest-file-close": value(nil),
				"guest-file-seek":   value(map[string]any{"position": 0, "eof": false}),
				"guest-exec":        value(map[string]int{"pid": 1}),
				"guest-exec-status": value(map[string]any{"exited": true, "exitcode": 0, "out-data": []byte(output)}),
			})
			copied, err := a.CopyOut(t.Context(), nil, "x", nil)
			if e, ok := errors.AsType[*agent.ChecksumError](err); ok != want || ok && e.Guest != sum || copied.Checked {
				t.Errorf("%q: %+v, %v", output, copied, err)
			}
			if copied, err = a.CopyOut(t.Context(), nil, "x", &agent.CopyOptions{NoCheck: true}); err != nil || copied.Checked {
				t.Errorf("without a check: %+v, %v", copied, err)
			}
		})
	}
}

// A guest whose stat prints something else, or that has no stat or no shell.
func TestOddStat(t *testing.T) {
	exited := func(code int, out, err string) func(*qmptest.Command) (any, error) {
		return value(map[string]any{"exited": true, "exitcode": code, "out-data": []byte(out), "err-data": []byte(err)})
	}
	for name, tt := range map[string]struct {
		status func(*qmptest.Command) (any, error)
		kind   error
	}{
		"two fields":  {exited(0, "81a4 5\n", ""), nil},
		"not numbers": {exited(0, "x y z\n", ""), nil},
		"no stat":     {exited(127, "", "sh: stat: not found\n"), errors.ErrUnsupported},
		"no rights":   {exited(1, "", "stat: cannot statx 'x': Permission denied\n"), fs.ErrPermission},
		"other error": {exited(1, "", "stat: x: Input/output error\n"), nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := simulatedClient(t, map[string]func(*qmptest.Command) (any, error){"guest-exec": value(map[string]int{"pid": 1}), "guest-exec-status": tt.status})
			_, err := fs.Stat(a.FS(t.Context(), "/"), "x")
			if err == nil || tt.kind != nil && !errors.Is(err, tt.kind) || tt.kind == nil && (errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrNotExist)) {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := fs.ReadDir(a.FS(t.Context(), "/"), "x"); name == "not numbers" && err == nil {
				t.Errorf("%s: no error", name)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		a := simulatedClient(t, map[string]func(*qmptest.Command) (any, error){
			"guest-exec": refusal("Failed to execute child process (No such file or directory)"), "guest-exec-status": value(nil),
		})
		if _, err := fs.Stat(a.FS(t.Context(), "/"), "x"); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("no shell: %v", err)
		}
		cmd := a.Command(t.Context(), "x")
		cmd.Stream = true
		if err := cmd.Run(); !errors.As(err, new(*agent.StreamError)) || !strings.Contains(err.Error(), "/bin/sh") {
			t.Errorf("a stream without a shell: %v", err)
		}
	})
}

// Every kind of file that a guest may have.
func TestModes(t *testing.T) {
	for mode, want := range map[string]fs.FileMode{
		"81ed": 0o755, "41ff": fs.ModeDir | 0o777, "43ff": fs.ModeDir | fs.ModeSticky | 0o777, "a1ff": fs.ModeSymlink | 0o777, "11a4": fs.ModeNamedPipe | 0o644,
		"c1ed": fs.ModeSocket | 0o755, "61b0": fs.ModeDevice | 0o660, "2190": fs.ModeDevice | fs.ModeCharDevice | 0o620, "8fed": fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky | 0o755,
	} {
		synctest.Test(t, func(t *testing.T) {
			a := simulatedClient(t, map[string]func(*qmptest.Command) (any, error){
				"guest-exec":        value(map[string]int{"pid": 1}),
				"guest-exec-status": value(map[string]any{"exited": true, "exitcode": 0, "out-data": []byte(mode + " 5 1700000000\n")}),
			})
			info, err := fs.Stat(a.FS(t.Context(), "/"), "x")
			if err != nil || info.Mode() != want || info.Sys() != nil || info.Size() != 5 {
				t.Errorf("%s: %v, %v, want %v", mode, info, err, want)
			}
		})
	}
}

// The context ends while the agent opens a file. The file is closed when it is open.
func TestOpenIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Int64
		a := simulatedClient(t, map[string]func(*qmptest.Command) (any, error){
			"guest-file-open": func(*qmptest.Command) (any, error) {
				time.Sleep(5 * time.Second)
				return 1000, nil
			},
			"guest-file-close": func(*qmptest.Command) (any, error) { closed.Add(1); return nil, nil },
		})
		_, err := a.Open(within(t, time.Second), "x")
		if e, ok := errors.AsType[*async.ExecInterruptedError](err); !ok || e.SafeToRetry() || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		time.Sleep(10 * time.Second)
		if n := closed.Load(); n != 1 {
			t.Errorf("closed %d times", n)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.Open(ended, "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("an ended context: %v", err)
		}
		// The context of an open file ends.
		ctx, cancel := context.WithCancel(t.Context())
		f, err := a.Open(ctx, "x")
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		time.Sleep(time.Second)
		if n := closed.Load(); n != 2 || !errors.Is(f.Close(), fs.ErrClosed) {
			t.Errorf("closed %d times", n)
		}
	})
}

// Done and Err tell of the end of the connection.
func TestDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := dialScript(t, qmptest.HangUp())
		<-a.Done()
		if err := a.Err(); err != io.EOF {
			t.Errorf("got %v", err)
		}
	})
}

// Agents before QEMU 8.0 do not keep both streams as one. Another error is not about that.
func TestMergedStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var paths []string
		a := simulatedClient(t, map[string]func(*qmptest.Command) (any, error){
			"guest-exec": func(cmd *qmptest.Command) (any, error) {
				var args struct {
					Path          string `json:"path"`
					CaptureOutput any    `json:"capture-output"`
				}
				if err := cmd.Decode(&args); err != nil {
					return nil, err
				}
				paths = append(paths, args.Path)
				if args.CaptureOutput == "merged" && args.Path == "old" {
					return nil, &qmptest.Error{Class: "GenericError", Desc: "Invalid parameter type for 'capture-output', expected: boolean"}
				}
				if args.Path == "missing" {
					return nil, &qmptest.Error{Class: "GenericError", Desc: "Failed to execute child process"}
				}
				return map[string]int{"pid": 1}, nil
			},
			"guest-exec-status": value(map[string]any{"exited": true, "exitcode": 0, "out-data": []byte("both")}),
		})
		for path, want := range map[string]string{"new": "new", "old": "old /bin/sh", "missing": "missing"} {
			paths = nil
			out, err := a.Command(t.Context(), path).CombinedOutput()
			if got := strings.Join(paths, " "); got != want || (err == nil) != (path != "missing") || err == nil && string(out) != "both" {
				t.Errorf("%s: executed %q, %q, %v", path, got, out, err)
			}
		}
		var b bytes.Buffer
		cmd := a.Command(t.Context(), "x")
		cmd.Stdout = &b
		if _, err := cmd.CombinedOutput(); err == nil {
			t.Error("Stdout was set")
		}
	})
}
