package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a simulated machine, and a script that is executed on it.
type world struct {
	vm     *qmptest.Server
	client *async.Client
	out    bytes.Buffer
}

// play runs f in a bubble, with a machine and a client that is not connected.
func play(t *testing.T, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		vm := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory})
		w := &world{vm: vm, client: async.New(&async.Options{Dialer: vm.Dial})}
		defer w.client.Close()
		f(t, w)
	})
}

// run connects the client, executes steps, and returns what was printed.
func (w *world) run(ctx context.Context, t *testing.T, opts Options, steps iter.Seq2[Step, error]) (string, error) {
	t.Helper()
	w.out.Reset()
	if opts.Printer == nil {
		opts.Printer = &output.Printer{}
	}
	opts.Printer.W = &w.out
	r := New(w.client, opts)
	defer r.Close()
	if w.client.Runstate() == async.Idle {
		if err := w.client.Connect(ctx, "vm"); err != nil {
			t.Fatal(err)
		}
	}
	err := r.Do(ctx, steps)
	return w.out.String(), err
}

func texts(lines ...string) iter.Seq2[Step, error] { return Texts("-c", lines, false) }

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func path(t *testing.T, text string) *output.Path {
	t.Helper()
	p, err := output.ParsePath(text)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestResults(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		for _, tt := range []struct {
			name  string
			opts  Options
			steps iter.Seq2[Step, error]
			want  string
		}{
			{"two", Options{}, texts("query-name", `{"execute": "query-status"}`), `{}` + "\n" + `{"status":"running","singlestep":false,"running":true}` + "\n"},
			{"part", Options{Get: path(t, "status")}, texts("query-status"), `"running"` + "\n"},
			{"raw", Options{Get: path(t, "status"), Printer: &output.Printer{Raw: true}}, texts("query-status"), "running\n"},
			{"none", Options{}, texts(), ""},
			{"human", Options{}, Texts("-c", []string{"info version"}, true), "7.2.22\n"},
			{"comments", Options{}, Lines(strings.NewReader("\n# query-status\n  query-name\n\n"), "f", false), "{}\n"},
			{"CRLF", Options{}, Lines(strings.NewReader("query-name\r\nquery-name\r\n"), "f", false), "{}\n{}\n"},
			{"no line end", Options{}, Lines(strings.NewReader("query-name"), "f", false), "{}\n"},
			{"message on lines", Options{}, Lines(strings.NewReader("{\n \"execute\":\n \"query-name\"\n}\n"), "f", false), "{}\n"},
		} {
			got, err := w.run(t.Context(), t, tt.opts, tt.steps)
			if err != nil || got != tt.want {
				t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
			}
		}
	})
}

// A command that the server does not have is explained; with KeepGoing each of them is.
func TestUnknownCommand(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		var asked, refused []string
		opts := Options{
			Unknown:   func(_ context.Context, name string) string { asked = append(asked, name); return "did you mean it?" },
			KeepGoing: true,
			Refused:   func(err error) { refused = append(refused, err.Error()) },
		}
		w.vm.Handle("picky", func(context.Context, *qmptest.Command) (any, error) {
			return nil, &qmptest.Error{Class: "GenericError", Desc: "no"}
		})
		_, err := w.run(t.Context(), t, opts, texts("query-nam", "picky", "query-name"))
		if !is[*RefusedError](err) || !is[*async.ExecuteError](err) {
			t.Errorf("the error is %v", err)
		}
		if len(asked) != 1 || asked[0] != "query-nam" || len(refused) != 2 {
			t.Fatalf("asked about %q, refused %q", asked, refused)
		}
		if !strings.HasSuffix(refused[0], "(CommandNotFound): did you mean it?") || strings.Contains(refused[1], "did you") {
			t.Errorf("refused %q", refused)
		}
	})
}

// A transaction may stand on several lines, and on several options.
func TestTransaction(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		var got []string
		w.vm.Handle("transaction", func(_ context.Context, cmd *qmptest.Command) (any, error) {
			got = append(got, string(cmd.Arguments))
			return nil, nil
		})
		lines := []string{"transaction(", "blockdev-snapshot-sync device=d snapshot-file=f", "abort", ")"}
		for _, steps := range []iter.Seq2[Step, error]{texts(lines...), Lines(strings.NewReader(strings.Join(lines, "\n")), "f", false)} {
			if out, err := w.run(t.Context(), t, Options{}, steps); err != nil || out != "{}\n" {
				t.Errorf("%q, %v", out, err)
			}
		}
		if len(got) != 2 || got[0] != got[1] || strings.Count(got[0], `"type"`) != 2 {
			t.Errorf("the machine got %q", got)
		}
	})
}

func TestRefused(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		out, err := w.run(t.Context(), t, Options{}, Lines(strings.NewReader("query-name\n\nnonsense\nquery-name\n"), "f", false))
		if !is[*async.ExecuteError](err) || !strings.HasPrefix(err.Error(), "f:3: ") || out != "{}\n" {
			t.Errorf("%q, %v", out, err)
		}
		out, err = w.run(t.Context(), t, Options{}, Texts("-c", []string{"info status", "nonsense"}, true))
		if !is[*async.HMPError](err) || !strings.HasPrefix(err.Error(), "-c 2: ") || out != "VM status: running\n" {
			t.Errorf("%q, %v", out, err)
		}
		_, err = w.run(t.Context(), t, Options{Get: path(t, "nope")}, texts("query-status"))
		if !is[*output.PathError](err) {
			t.Errorf("%v", err)
		}
		var refused []string
		opts := Options{KeepGoing: true, Get: path(t, "status"), Refused: func(err error) { refused = append(refused, err.Error()[:4]) }}
		out, err = w.run(t.Context(), t, opts, texts("nonsense", "query-name", "query-status"))
		if !is[*RefusedError](err) || !is[*async.ExecuteError](err) || out != "\"running\"\n" || fmt.Sprint(refused) != "[-c 1 -c 2]" {
			t.Errorf("%q, %v, %q", out, err, refused)
		}
	})
}

func TestSyntaxErrors(t *testing.T) {
	for _, tt := range []struct {
		steps iter.Seq2[Step, error]
		want  string
	}{
		{texts("a=b"), "-c: column 1"},
		{texts("stop", "a=b", "stop"), "-c 2: column 1"},
		{texts("stop", "transaction("), "-c 2: "},
		{Lines(strings.NewReader("stop\n{\"execute\":\n"), "f", false), "f:2: "},
	} {
		var last error
		for _, err := range tt.steps {
			last = err
		}
		if !is[*SyntaxError](last) || !strings.HasPrefix(last.Error(), tt.want) {
			t.Errorf("%v, want %s", last, tt.want)
		}
	}
	broken := errors.New("broken")
	var last error
	for _, err := range Lines(io.MultiReader(strings.NewReader("stop\n"), iotest.ErrReader(broken)), "f", false) {
		last = err
	}
	if !errors.Is(last, broken) {
		t.Errorf("%v", last)
	}
	for range Lines(strings.NewReader("stop\nstop\n"), "f", false) {
		break // reads no more
	}
}

// What stands before an error on the standard input is executed.
func TestSyntaxErrorWhileReading(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		out, err := w.run(t.Context(), t, Options{}, Lines(strings.NewReader("query-name\na=b\nquery-name\n"), "f", false))
		if !is[*SyntaxError](err) || out != "{}\n" {
			t.Errorf("%q, %v", out, err)
		}
	})
}

// QEMU sends the event of a command before the reply, and a server may send one directly
// after the handshake. Neither is missed.
func TestEventIsNotMissed(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		out, err := w.run(t.Context(), t, Options{Events: []string{"STOP"}, Get: path(t, "event")}, texts("stop"))
		if err != nil || out != "\"STOP\"\n" {
			t.Errorf("%q, %v", out, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		dial := qmptest.ScriptMemory(t, qmptest.Greet(), qmptest.Expect("qmp_capabilities"),
			qmptest.Return(`{}`), qmptest.Send(`{"event": "RESUME", "timestamp": {"seconds": 1, "microseconds": 0}}`))
		w := &world{client: async.New(&async.Options{Dialer: dial})}
		defer w.client.Close()
		out, err := w.run(t.Context(), t, Options{Events: []string{"STOP", "RESUME"}}, texts())
		if err != nil || !strings.Contains(out, "RESUME") {
			t.Errorf("%q, %v", out, err)
		}
	})
}

func TestMatches(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		var ms []Match
		for _, text := range []string{"device=b", "n=2", "a/b[0]=true"} {
			m, err := ParseMatch(text)
			if err != nil {
				t.Fatal(err)
			}
			ms = append(ms, m)
		}
		w.vm.Handle("go", func(context.Context, *qmptest.Command) (any, error) {
			for _, data := range []map[string]any{
				{"device": "b"},
				{"device": "a", "n": 2, "a": map[string]any{"b": []bool{true}}},
				{"device": "b", "n": 2, "a": map[string]any{"b": []bool{true}}, "found": true},
			} {
				if err := w.vm.Emit("E", data); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})
		out, err := w.run(t.Context(), t, Options{Events: []string{"E"}, Matches: ms, Get: path(t, "data/found")}, texts("go"))
		if err != nil || out != "true\n" {
			t.Errorf("%q, %v", out, err)
		}
	})
	for _, bad := range []string{"x", "=y", "a//b=1"} {
		if m, err := ParseMatch(bad); err == nil {
			t.Errorf("%q: %+v", bad, m)
		}
	}
}

func TestEventDoesNotCome(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := w.run(ctx, t, Options{Events: []string{"RESUME"}}, texts("stop"))
		if !errors.Is(err, context.DeadlineExceeded) || !is[*async.EventWaitError](err) {
			t.Errorf("%v", err)
		}
		// The time is over before the next command.
		_, err = w.run(ctx, t, Options{}, texts("query-name"))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
	play(t, func(t *testing.T, w *world) {
		_, err := w.run(t.Context(), t, Options{Events: []string{"RESUME"}}, texts("quit"))
		if !async.HungUp(err) {
			t.Errorf("%v", err)
		}
	})
}

// job makes the machine have jobs that the command "work" starts, and that end as "end"
// says.
func job(vm *qmptest.Server, end func(emit func(status string))) {
	list := []map[string]any{}
	status := func(s string) {
		switch s {
		case "null":
			list = list[:0]
		default:
			list = []map[string]any{{"id": "j", "type": "backup", "status": s, "current-progress": 7, "total-progress": 9}}
		}
		vm.Emit("JOB_STATUS_CHANGE", map[string]any{"id": "j", "status": s})
	}
	vm.Handle("work", func(context.Context, *qmptest.Command) (any, error) {
		status("created")
		status("running")
		end(status)
		return nil, nil
	})
	vm.Handle("query-jobs", func(context.Context, *qmptest.Command) (any, error) { return list, nil })
	vm.Handle("job-dismiss", func(context.Context, *qmptest.Command) (any, error) { status("null"); return nil, nil })
	vm.Handle("job-complete", func(context.Context, *qmptest.Command) (any, error) {
		status("waiting")
		status("concluded")
		return nil, nil
	})
}

// A job may end before the reply to the command that starts it.
func TestJob(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		job(w.vm, func(status func(string)) { status("waiting"); status("pending"); status("concluded") })
		var shown []jobs.Progress
		out, err := w.run(t.Context(), t, Options{Job: "j", Progress: func(p jobs.Progress) { shown = append(shown, p) }, Get: path(t, "id")}, texts("work"))
		if err != nil || out != "\"j\"\n" || len(shown) == 0 {
			t.Errorf("%q, %v, %v", out, err, shown)
		}
		// It is gone now, and nothing starts it again.
		_, err = w.run(t.Context(), t, Options{Job: "j"}, texts("query-name"))
		if !is[*jobs.NotFoundError](err) {
			t.Errorf("%v", err)
		}
		_, err = w.run(t.Context(), t, Options{Job: "j"}, texts("nonsense"))
		if !is[*async.ExecuteError](err) {
			t.Errorf("%v", err)
		}
	})
}

// A job that exists before is followed from before the command.
func TestJobThatExists(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		job(w.vm, func(status func(string)) { status("ready") })
		if _, err := w.run(t.Context(), t, Options{}, texts("work")); err != nil {
			t.Fatal(err)
		}
		out, err := w.run(t.Context(), t, Options{Job: "j"}, texts("job-complete id=j"))
		if err != nil || !strings.HasPrefix(out, "{}\n{\"id\":\"j\",\"type\":\"backup\"") {
			t.Errorf("%q, %v", out, err)
		}
		if _, err := w.run(t.Context(), t, Options{}, texts("work")); err != nil {
			t.Fatal(err)
		}
		if _, err := w.run(t.Context(), t, Options{Job: "j"}, texts("nonsense")); !is[*async.ExecuteError](err) {
			t.Errorf("%v", err)
		}
		// Without Complete it stays ready.
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := w.run(ctx, t, Options{Job: "j"}, texts()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if out, err := w.run(t.Context(), t, Options{Job: "j", Complete: true}, texts()); err != nil || !strings.Contains(out, `"j"`) {
			t.Errorf("%q, %v", out, err)
		}
	})
}

// A Writer that fails ends the script.
func TestBrokenPipe(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		if err := w.client.Connect(t.Context(), "vm"); err != nil {
			t.Fatal(err)
		}
		for _, steps := range []iter.Seq2[Step, error]{texts("query-name", "stop"), Texts("-c", []string{"info version", "stop"}, true)} {
			r := New(w.client, Options{Printer: &output.Printer{W: brokenWriter{}}})
			if err := r.Do(t.Context(), steps); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%v", err)
			}
		}
		for _, m := range w.vm.Received() {
			if m.Name == "stop" {
				t.Error("the script went on")
			}
		}
	})
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func FuzzLines(f *testing.F) {
	f.Add("stop\n# x\ntransaction(\nabort\n)\n", false)
	f.Add("{\"execute\":\n\"a\"}\r\n'", true)
	f.Fuzz(func(t *testing.T, text string, human bool) {
		for s, err := range Lines(strings.NewReader(text), "f", human) {
			if err == nil && s.Line == "" && s.Command.Name == "" && s.Command.Object == nil {
				t.Errorf("an empty step: %+v", s)
			}
		}
	})
}
