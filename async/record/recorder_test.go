package record_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/async/record"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// connected returns steps that come after a handshake.
func connected(steps ...qmptest.Step) []qmptest.Step {
	return append([]qmptest.Step{qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`)}, steps...)
}

// lines returns the lines of a recording without those of the handshake, the connect,
// the header and the last line.
func lines(file string) (kept []string) {
	for line := range strings.Lines(file) {
		boring := false
		for _, word := range []string{`{"qmp-recording"`, `{"complete"`, `"connected"`, `"QMP"`, `qmp_capabilities`, `"received":{"return":{},"id":1}`} {
			boring = boring || strings.Contains(line, word)
		}
		if !boring {
			kept = append(kept, strings.TrimSpace(line))
		}
	}
	return kept
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
}

// A gate is a writer that waits until it is opened.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	buf  bytes.Buffer
}

func (g *gate) Write(b []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.buf.Write(b)
}

// A writer that does not return holds no connection up. What does not fit in the queue is
// missing, and the recording says so in its place.
// Holds E16.
func TestSlowWriterHoldsNothingUp(t *testing.T) {
	t.Parallel()
	w := &gate{open: make(chan struct{})}
	rec := record.New(w, &record.Options{MaxQueue: 20_000})
	vm := qmptest.Start(t, nil)
	c, err := async.Dial(t.Context(), vm.Addr(), &async.Options{Tracers: []*async.Tracer{rec.Tracer("")}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	execute := func(name string) {
		t.Helper()
		if _, err := c.Execute(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		execute("query-status")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("my reason"))
	if err := rec.Flush(ctx); err == nil || !strings.Contains(err.Error(), "my reason") {
		t.Errorf("Flush with an ended context: %v", err)
	}
	close(w.open)
	if err := rec.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	execute("query-name")
	if err := rec.Close(); err != nil {
		t.Error(err)
	}
	file := load(t, w.buf.String())
	gaps, after := 0, 0
	for _, e := range file.Entries {
		switch {
		case e.Kind == record.Missing:
			gaps += e.Gap.Entries
			if !strings.Contains(e.Gap.Reason, "record.Options.MaxQueue") {
				t.Errorf("reason: %q", e.Gap.Reason)
			}
		case gaps > 0:
			after++
		}
	}
	if gaps == 0 || gaps != file.Missing || after < 2 || len(file.Entries)+gaps != 400+5+2+1 {
		t.Errorf("%d entries, %d missing by their marks and %d by the last line, %d entries after the first mark", len(file.Entries), gaps, file.Missing, after)
	}
	if _, err := record.NewPlayer(file, nil); err == nil || !strings.Contains(err.Error(), "cannot be played past line") {
		t.Errorf("NewPlayer: %v", err)
	}
}

// What is missing at the end is told by the last line.
func TestEntriesThatAreLostBeforeClose(t *testing.T) {
	t.Parallel()
	w := &gate{open: make(chan struct{})}
	rec := record.New(w, &record.Options{MaxQueue: 1})
	tr := rec.Tracer("x")
	for i := range 5 {
		tr.Connected(async.TraceConnected{Session: uint64(i + 1), Time: time.Now()})
	}
	closed := make(chan error)
	go func() { closed <- rec.Close() }()
	close(w.open)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	file := load(t, w.buf.String())
	if n := len(file.Entries); n != 2 || file.Missing != 4 || file.Entries[1].Gap == nil || file.Entries[1].Gap.Entries != 4 {
		t.Errorf("%+v", file)
	}
}

// A full writer takes so many bytes, and then fails.
type full struct {
	bytes.Buffer
	room int
	fail error // nil: it writes a part and returns no error
}

func (f *full) Write(b []byte) (int, error) {
	if len(b) <= f.room {
		f.room -= len(b)
		return f.Buffer.Write(b)
	}
	n, _ := f.Buffer.Write(b[:f.room])
	f.room = 0
	return n, f.fail
}

// A writer that fails holds no connection up. The error is told, and the recording is
// recognized as cut off.
// Holds E16.
func TestFailingWriter(t *testing.T) {
	t.Parallel()
	vm := qmptest.Start(t, nil)
	for _, tt := range []struct {
		name string
		fail error
		want error
	}{{"disk full", syscall.ENOSPC, syscall.ENOSPC}, {"short write", nil, io.ErrShortWrite}} {
		for room := 0; room < 1500; room += 97 {
			w := &full{room: room, fail: tt.fail}
			rec := record.New(w, nil)
			c, err := async.Dial(t.Context(), vm.Addr(), &async.Options{Tracers: []*async.Tracer{rec.Tracer("")}})
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				if _, err := c.Execute(t.Context(), "query-status", nil); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
			if err := rec.Flush(t.Context()); !errors.Is(err, tt.want) {
				t.Errorf("%s after %d bytes: Flush: %v", tt.name, room, err)
			}
			if err := rec.Err(); !errors.Is(err, tt.want) {
				t.Errorf("%s after %d bytes: Err: %v", tt.name, room, err)
			}
			for range 2 {
				if err := rec.Close(); !errors.Is(err, tt.want) {
					t.Errorf("%s after %d bytes: Close: %v", tt.name, room, err)
				}
			}
			if _, err := record.Load(&w.Buffer); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s after %d bytes: Load: %v", tt.name, room, err)
			}
		}
	}
}

// A Recorder whose disk is full from the start says so.
func TestFullDevice(t *testing.T) {
	if runtime.GOOS != "linux" {
		qemutest.Unsupported(t, "/dev/full is Linux's")
	}
	rec, err := record.Create("/dev/full", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := rec.Close(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "/dev/full") {
		t.Errorf("Close: %v", err)
	}
}

// Create makes a file that only its owner can read, also if there was another one.
// Holds secure.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r")
	if err := os.WriteFile(path, bytes.Repeat([]byte("old"), 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	rec, err := record.Create(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	rec.Tracer("").Connected(async.TraceConnected{Session: 1, Time: time.Now(), Address: "x\xff\"y"})
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := record.LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Entries) != 1 || file.Entries[0].Address != "x�\"y" || file.Entries[0].Line != 2 {
		t.Errorf("%+v", file.Entries)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// What a link leads to is not touched.
	if err := os.Symlink(path, filepath.Join(dir, "link")); err == nil {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := record.Create(filepath.Join(dir, "link"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := rec.Close(); err != nil {
			t.Error(err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("the file that the link names has changed (%v)", err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := record.Create(filepath.Join(dir, "folder"), nil); err == nil {
		t.Error("a folder: no error")
	}
	if _, err := record.Create(filepath.Join(dir, "no", "r"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that does not exist: %v", err)
	}
	if _, err := record.LoadFile(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that does not exist: %v", err)
	}
	if err := os.WriteFile(path, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := record.LoadFile(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("LoadFile: %v, want an error that names the file", err)
	}
}

// oneCommand executes one command, and waits for the events that come with it.
func oneCommand(cmd async.Command) story {
	return func(ctx context.Context, c *async.Client) (saw []string) {
		if err := c.Connect(ctx, "x"); err != nil {
			return []string{err.Error()}
		}
		reply, err := c.Do(ctx, cmd)
		return []string{fmt.Sprintf("%s %v", reply.Raw(), err)}
	}
}

// What is secret in the log is secret in a recording, however the command is written.
// Holds E16.
func TestSecretsAreMasked(t *testing.T) {
	for _, cmd := range []async.Command{
		{Name: "set_password", Args: map[string]any{"password": "hunter2"}},
		{Object: json.RawMessage("{\"arguments\": {\"list\": [{\"p\\u0061ssword\" : \"hunter2\"}]},\n \"execute\": \"set\\u005fpassword\"}")},
		{Name: "object-add", Args: async.Members{{Name: "props", Value: map[string]any{"data": "hunter2"}}}},
	} {
		steps := connected(qmptest.ExpectFunc("a secret", func(m qmptest.Message) error {
			if !bytes.Contains(m.Raw, []byte("hunter2")) {
				return errors.New("the server was not sent the secret")
			}
			return nil
		}), qmptest.Return(`{}`))
		file, _ := recorded(t, nil, oneCommand(cmd), steps...)
		if strings.Contains(file, "hunter2") || !strings.Contains(file, "***") || !load(t, file).Header.Masked {
			t.Errorf("masked:\n%s", file)
		}
		file, _ = recorded(t, &record.Options{Unmasked: true}, oneCommand(cmd), steps...)
		if !strings.Contains(file, "hunter2") || strings.Contains(file, "***") || load(t, file).Header.Masked {
			t.Errorf("unmasked:\n%s", file)
		}
	}
	// Replies: of a command that is known to return secrets, and one that is not known.
	file, _ := recorded(t, nil, oneCommand(async.Command{Name: "qom-get"}), connected(qmptest.Expect("qom-get"),
		qmptest.Send(`{"return": "hunter2", "id": 77}`), qmptest.Return(`"hunter2"`))...)
	if strings.Contains(file, "hunter2") || strings.Count(file, `{"return":"***"`) != 2 {
		t.Errorf("replies:\n%s", file)
	}
	// A reply that is cut off, or is not JSON.
	for _, end := range []string{`{"return": "hunter2`, `{"return": "hunter2" "x"}`} {
		file, _ := recorded(t, nil, oneCommand(async.Command{Name: "qom-get"}), connected(qmptest.Expect("qom-get"), qmptest.Send(end), qmptest.HangUp())...)
		if strings.Contains(file, "hunter2") || !strings.Contains(file, `"bytes":"{\"return\"","shortened":true`) {
			t.Errorf("a broken reply:\n%s", file)
		}
	}
}

// Two runs that differ in their ids, times and addresses give the same stable recording.
func TestStable(t *testing.T) {
	run := func(first, addr string, pause time.Duration) story {
		return func(ctx context.Context, c *async.Client) []string {
			if err := c.Connect(ctx, addr); err != nil {
				t.Error(err)
				return nil
			}
			time.Sleep(pause)
			for _, id := range []string{"", first, ""} {
				if _, err := c.Do(ctx, async.Command{Name: "x", ID: id}); err != nil {
					t.Error(err)
				}
			}
			return nil
		}
	}
	steps := connected(
		qmptest.Expect("x"), qmptest.Event("E", `{"timestamp":{"seconds":7,"microseconds":8}}`), qmptest.Return(`{"id":5}`),
		qmptest.Expect("x"), qmptest.Reply(`{"return":{},"id":null}`), qmptest.Return(`1`),
		qmptest.Expect("x"), qmptest.Reply(`{"return":{},"id":"of another"}`), qmptest.Return(`1`))
	opts := &record.Options{Stable: true}
	a, _ := recorded(t, opts, run("one", "/tmp/1", 0), steps...)
	b, _ := recorded(t, opts, run("another", "/tmp/2", time.Hour/2), steps...)
	if a != b {
		t.Errorf("the first:\n%s\nthe second:\n%s", a, b)
	}
	wantLines(t, lines(a),
		`{"session":1,"sent":{"execute":"x","id":2}}`,
		`{"session":1,"received":{"timestamp":{"seconds":0,"microseconds":0},"event":"E","data":{"timestamp":{"seconds":7,"microseconds":8}}}}`,
		`{"session":1,"received":{"return":{"id":5},"id":2}}`,
		`{"session":1,"sent":{"execute":"x","id":3}}`,
		`{"session":1,"received":{"return":"***","id":null}}`,
		`{"session":1,"received":{"return":1,"id":3}}`,
		`{"session":1,"sent":{"execute":"x","id":4}}`,
		`{"session":1,"received":{"return":"***","id":5}}`,
		`{"session":1,"received":{"return":1,"id":4}}`,
		`{"session":1,"ended":{"cause":"client"}}`)
	if rec := load(t, a); !rec.Header.Stable || !rec.Header.Time.IsZero() {
		t.Errorf("header: %+v", rec.Header)
	}
}

// Of a message that is too large, the recording has the name, the id and the length.
func TestMaxMessage(t *testing.T) {
	large := strings.Repeat("x", 1000)
	file, _ := recorded(t, &record.Options{MaxMessage: 300}, oneCommand(async.Command{Name: "c", Args: map[string]any{"a": large}}),
		connected(qmptest.Expect("c"), qmptest.Event("E", `{"a":"`+large+`"}`), qmptest.Return(`"`+large+`"`))...)
	wantLines(t, lines(file),
		`{"session":1,"sent":{"execute":"c","id":2},"omitted":1043}`,
		`{"session":1,"received":{"event":"E"},"omitted":1089}`,
		`{"session":1,"received":{"id":2},"omitted":1023}`,
		`{"session":1,"ended":{"cause":"client"}}`)
	if _, err := record.NewPlayer(load(t, file), nil); err == nil || !strings.Contains(err.Error(), "past line 7: a message of 1089 bytes was left out") {
		t.Errorf("NewPlayer: %v", err)
	}
	// A name that is itself too long is left out, too.
	file, _ = recorded(t, &record.Options{MaxMessage: 300}, oneCommand(async.Command{Name: large + large}),
		connected(qmptest.Expect(large+large), qmptest.ReturnError("C", ""))...)
	wantLines(t, lines(file)[:1], `{"session":1,"sent":{"id":2},"omitted":2021}`)
}

// A recording that has reached its limit ends with a mark, and its last line says how much
// is missing.
func TestMaxSize(t *testing.T) {
	file, _ := recorded(t, &record.Options{MaxSize: 600}, func(ctx context.Context, c *async.Client) []string {
		if err := c.Connect(ctx, "x"); err != nil {
			t.Error(err)
		}
		for range 10 {
			if _, err := c.Execute(ctx, "x", nil); err != nil {
				t.Error(err)
			}
		}
		return nil
	}, func() (steps []qmptest.Step) {
		for range 10 {
			steps = append(steps, qmptest.Expect("x"), qmptest.Return(`{}`))
		}
		return connected(steps...)
	}()...)
	rec := load(t, file)
	last := rec.Entries[len(rec.Entries)-1]
	if last.Kind != record.Missing || !strings.Contains(last.Gap.Reason, "record.Options.MaxSize, 600 bytes") || rec.Missing+len(rec.Entries)-1 != 1+3+20+1 || len(file) > 600+200 {
		t.Errorf("%d bytes, %d missing:\n%s", len(file), rec.Missing, file)
	}
}

// A message with more levels than a line of a recording can have is left out.
func TestDeepMessage(t *testing.T) {
	for depth, kept := range map[int]bool{9_998: true, 9_999: false} {
		file, _ := recorded(t, nil, oneCommand(async.Command{Name: "c"}), connected(qmptest.Expect("c"),
			qmptest.Return(strings.Repeat("[", depth)+strings.Repeat("]", depth)))...)
		if got := !strings.Contains(file, `"omitted":`); got != kept {
			t.Errorf("a message of %d levels: kept %t, want %t", depth+1, got, kept)
		}
		load(t, file)
	}
}

// Filter changes lines and leaves lines out. What is not a message ends the recording.
func TestFilter(t *testing.T) {
	opts := &record.Options{Stable: true, Filter: func(e record.Entry) (record.Entry, bool) {
		if e.Kind == record.Received && bytes.Contains(e.Message, []byte(`"event"`)) {
			return e, false
		}
		if e.Message != nil {
			e.Message = bytes.ReplaceAll(e.Message, []byte("/tmp/x1"), []byte("DIR"))
		}
		return e, true
	}}
	steps := connected(qmptest.Expect("c"), qmptest.Event("E", ""), qmptest.Return(`{}`))
	run := oneCommand(async.Command{Name: "c", Args: map[string]any{"filename": "/tmp/x1/disk"}})
	file, _ := recorded(t, opts, run, steps...)
	wantLines(t, lines(file),
		`{"session":1,"sent":{"execute":"c","arguments":{"filename":"DIR/disk"},"id":2}}`,
		`{"session":1,"received":{"return":{},"id":2}}`,
		`{"session":1,"ended":{"cause":"client"}}`)

	for want, bad := range map[string]func(*record.Entry){
		"not a JSON object": func(e *record.Entry) { e.Message = json.RawMessage(`[`) },
		"unknown kind":      func(e *record.Entry) { e.Kind = "x" },
		"without a Message": func(e *record.Entry) { e.Kind, e.Message = record.Received, nil },
		"without End":       func(e *record.Entry) { e.Kind = record.Ended },
		"without Gap":       func(e *record.Entry) { e.Kind = record.Missing },
	} {
		var buf bytes.Buffer
		rec := record.New(&buf, &record.Options{Filter: func(e record.Entry) (record.Entry, bool) {
			bad(&e)
			return e, true
		}})
		rec.Tracer("").Sent(async.TraceMessage{Session: 1, Time: time.Now(), Message: json.RawMessage(" ")})
		if err := rec.Close(); err == nil || !strings.Contains(err.Error(), "record.Options.Filter returned") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// One recorder serves many clients at once. The messages of each are in order.
func TestManyClients(t *testing.T) {
	t.Parallel()
	const clients, commands = 8, 100
	vm := qmptest.Start(t, &qmptest.Options{ManyClients: true, NoRecord: true})
	var buf bytes.Buffer
	rec := record.New(&buf, &record.Options{Stable: true})
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			c, err := async.Dial(t.Context(), vm.Addr(), &async.Options{Tracers: []*async.Tracer{rec.Tracer("vm")}})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for range commands {
				if _, err := c.Execute(t.Context(), "query-status", nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	file := load(t, buf.String())
	count := make(map[string]int)
	for _, e := range file.Entries {
		count[e.Client]++
	}
	for _, name := range []string{"vm", "vm-2", "vm-8"} {
		if count[name] != 1+3+2*commands+1 {
			t.Errorf("client %s: %d entries", name, count[name])
		}
		if _, err := record.NewPlayer(file, &record.PlayOptions{Client: name}); err != nil {
			t.Errorf("client %s: %v", name, err)
		}
	}
	for want, client := range map[string]string{"several clients": "", `no client "x"`: "x"} {
		if _, err := record.NewPlayer(file, &record.PlayOptions{Client: client}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("client %q: %v, want %q", client, err, want)
		}
	}
}

// A tracer that two clients have is an error that says so.
func TestTracerOfTwoClients(t *testing.T) {
	t.Parallel()
	vm := qmptest.Start(t, &qmptest.Options{ManyClients: true})
	rec := record.New(io.Discard, nil)
	opts := &async.Options{Tracers: []*async.Tracer{rec.Tracer("vm1")}}
	for range 2 {
		c, err := async.Dial(t.Context(), vm.Addr(), opts)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if err := rec.Close(); err == nil || !strings.Contains(err.Error(), `two clients have the tracer "vm1"`) {
		t.Errorf("Close: %v", err)
	}
}

// After Close nothing is recorded, and the connection goes on.
func TestAfterClose(t *testing.T) {
	t.Parallel()
	vm := qmptest.Start(t, nil)
	var buf bytes.Buffer
	rec := record.New(&buf, nil)
	c, err := async.Dial(t.Context(), vm.Addr(), &async.Options{Tracers: []*async.Tracer{rec.Tracer("")}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	size := buf.Len()
	if _, err := c.Execute(t.Context(), "query-status", nil); err != nil {
		t.Error(err)
	}
	if err := errors.Join(rec.Flush(t.Context()), rec.Close(), rec.Err()); err != nil || buf.Len() != size {
		t.Errorf("%v; %d bytes, then %d", err, size, buf.Len())
	}
	if n := len(load(t, buf.String()).Entries); n != 4 {
		t.Errorf("%d entries, want those of the handshake", n)
	}
}

// A message that was withdrawn is recorded as unsent, and is not played.
func TestUnsent(t *testing.T) {
	var buf bytes.Buffer
	rec := record.New(&buf, &record.Options{Stable: true, Unmasked: true})
	tr := rec.Tracer("")
	message := func(text string) async.TraceMessage {
		return async.TraceMessage{Session: 1, Time: time.Now(), Message: json.RawMessage(text)}
	}
	tr.Connected(async.TraceConnected{Session: 1, Time: time.Now()})
	tr.Sent(message(`{"execute":"a","id":1}`))
	tr.Sent(message(`{"execute":"never","id":2}`))
	tr.Unsent(message(`{"execute":"never","id":2}`))
	tr.Received(message(`{"return":"a","id":1}`))
	tr.Ended(async.TraceEnded{Session: 1, Time: time.Now()})
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := qmptest.Replay(t, nil, load(t, buf.String()))
		c := async.New(&async.Options{Dialer: p.Dial, SkipGreeting: true, SkipNegotiation: true})
		if err := c.Connect(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if v, err := c.Execute(t.Context(), "a", nil); err != nil || string(v) != `"a"` {
			t.Errorf("%s %v", v, err)
		}
		if err := c.Disconnect(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
