package record_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
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

// Each end that a script can make is recorded, and a client that gets the recording ends
// with the same errors.
func TestEachEndIsReplayed(t *testing.T) {
	greeting := `{"QMP":{"version":{},"capabilities":[]}}`
	cut := func(end qmptest.Step, before ...qmptest.Step) []qmptest.Step { return append(before, end) }
	for _, tt := range []struct {
		name  string
		cause record.Cause
		steps []qmptest.Step
	}{
		{"end of file before the greeting", record.EOF, cut(qmptest.HangUp(), qmptest.Accept())},
		{"reset before the greeting", record.Reset, cut(qmptest.Reset(), qmptest.Accept())},
		{"half a greeting", record.CutOff, cut(qmptest.HangUp(), qmptest.Send(`{"QMP": {"ver`))},
		{"another greeting", record.ByClient, cut(qmptest.ExpectEOF(), qmptest.Send(`{"hello": 1}`))},
		{"no greeting", record.ByClient, cut(qmptest.ExpectEOF(), qmptest.Accept())},
		{"an SSH server", record.NotJSON, cut(qmptest.ExpectEOF(), qmptest.Send("SSH-2.0-OpenSSH\r\n"))},
		{"negotiation refused", record.ByClient, cut(qmptest.ExpectEOF(), qmptest.Send(greeting), qmptest.Expect("qmp_capabilities"), qmptest.ReturnError("C", "no"))},
		{"negotiation unanswered", record.ByClient, cut(qmptest.ExpectEOF(), qmptest.Send(greeting), qmptest.Expect("qmp_capabilities"))},
		{"end of file", record.EOF, connected(qmptest.Expect("c"), qmptest.HangUp())},
		{"reset", record.Reset, connected(qmptest.Expect("c"), qmptest.Reset())},
		{"reset after quit", record.Reset, connected(qmptest.Expect("c"), qmptest.Return(`{}`), qmptest.Reset())},
		{"half a reply", record.CutOff, connected(qmptest.Expect("c"), qmptest.Send(`{"ret`), qmptest.HangUp())},
		{"a long half of a reply", record.CutOff, connected(qmptest.Expect("c"), qmptest.Send(`{"data": "`+strings.Repeat("x", 1000)), qmptest.HangUp())},
		{"half a reply and a reset", record.Reset, connected(qmptest.Expect("c"), qmptest.Send(`{"ret`), qmptest.Reset())},
		{"garbage", record.NotJSON, connected(qmptest.Expect("c"), qmptest.Send("{]"), qmptest.ExpectEOF())},
		{"the delimiter of the guest agent", record.NotJSON, connected(qmptest.Expect("c"), qmptest.Send("\xff{}"), qmptest.ExpectEOF())},
		{"garbage after much", record.NotJSON, connected(qmptest.Expect("c"), qmptest.Send(`{"data": "`+strings.Repeat("x", 1000)+`"]`), qmptest.ExpectEOF())},
		{"a list", record.NotObject, connected(qmptest.Expect("c"), qmptest.Send(`[1, 2]`), qmptest.ExpectEOF())},
		{"a literal", record.NotObject, connected(qmptest.Expect("c"), qmptest.Send("true\r\n"), qmptest.ExpectEOF())},
		{"too large", record.TooLarge, connected(qmptest.Expect("c"), qmptest.Send(`{"return": "`+strings.Repeat("x", 4000)+`"}`), qmptest.ExpectEOF())},
		{"too deep", record.TooDeep, connected(qmptest.Expect("c"), qmptest.Send(strings.Repeat(`{"a":`, 10_001)), qmptest.ExpectEOF())},
		{"an error without an id", record.ByClient, connected(qmptest.Expect("c"), qmptest.Send(`{"error": {"class": "C", "desc": "cannot parse"}}`), qmptest.ExpectEOF())},
		{"no reply", record.ByClient, connected(qmptest.Expect("c"), qmptest.ExpectEOF())},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limit := 3000
			if tt.cause == record.TooDeep {
				limit = 0
			}
			run := func(ctx context.Context, dial func(context.Context) (net.Conn, error), tracers ...*async.Tracer) (saw []string) {
				c := async.New(&async.Options{Dialer: dial, Tracers: tracers, MaxMessage: limit})
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				note := func(what string, err error) {
					var message *async.MessageError
					var reason string
					if errors.As(err, &message) {
						reason = fmt.Sprint(message.Reason)
						if message.Reason != async.NotJSON && message.Reason != async.NotObject || message.Limit != 0 {
							err = fmt.Errorf("%T", err) // the excerpt may be shorter
						}
					}
					if strings.Contains(fmt.Sprint(err), "not JSON") {
						err = fmt.Errorf("%T", err)
					}
					saw = append(saw, fmt.Sprintf("%s: %v, %s, EOF %t, reset %t, cut off %t, hung up %t, deadline %t", what, err, reason, errors.Is(err, io.EOF),
						errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF), async.HungUp(err), errors.Is(err, context.DeadlineExceeded)))
				}
				note("connect", c.Connect(ctx, "x"))
				l := c.NewListener(nil)
				_, err := c.Execute(ctx, "c", nil)
				note("c", err)
				_, err = l.Next(ctx)
				note("event", err)
				note("disconnect", c.Disconnect(context.Background()))
				return saw
			}
			var file string
			var saw []string
			synctest.Test(t, func(t *testing.T) {
				var buf strings.Builder
				rec := record.New(&buf, nil)
				p := qmptest.Play(t, &qmptest.ScriptOptions{Network: qmptest.Memory}, tt.steps...)
				saw = run(t.Context(), p.Dial, rec.Tracer(""))
				if err := rec.Close(); err != nil {
					t.Error(err)
				}
				file = buf.String()
			})
			parsed := load(t, file)
			if end := parsed.Entries[len(parsed.Entries)-1].End; end == nil || end.Cause != tt.cause {
				t.Errorf("the end is %+v, want %q", end, tt.cause)
			}
			synctest.Test(t, func(t *testing.T) {
				again := run(t.Context(), qmptest.Replay(t, nil, parsed).Dial)
				if a, b := strings.Join(saw, "\n"), strings.Join(again, "\n"); a != b {
					t.Errorf("recorded:\n%s\nreplayed:\n%s", a, b)
				}
			})
			if t.Failed() {
				t.Logf("the recording:\n%s", file)
			}
		})
	}
}

// recording returns a recording with the given lines after the handshake.
func recording(lines ...string) string {
	all := []string{
		`{"qmp-recording":1,"masked":true}`, `{"session":1,"connected":{}}`,
		`{"session":1,"received":{"QMP":{"version":{},"capabilities":[]}}}`,
		`{"session":1,"sent":{"execute":"qmp_capabilities","arguments":{},"id":1}}`, `{"session":1,"received":{"return":{},"id":1}}`,
	}
	return strings.Join(append(append(all, lines...), `{"complete":true}`), "\n") + "\n"
}

// serve plays a recording over a Pipe to a client, and returns the error of the Player.
func serve(t *testing.T, file string, opts *record.PlayOptions, run func(t *testing.T, c *async.Client)) error {
	t.Helper()
	var err error
	synctest.Test(t, func(t *testing.T) {
		p, newErr := record.NewPlayer(load(t, file), opts)
		if newErr != nil {
			t.Fatal(newErr)
		}
		near, far := qmptest.Pipe()
		done := make(chan error)
		go func() { done <- p.Serve(t.Context(), far) }()
		c := async.New(&async.Options{MaxMessage: 10_000})
		if err := c.Attach(t.Context(), near); err != nil {
			t.Fatal(err)
		}
		run(t, c)
		c.Close()
		err = <-done
	})
	return err
}

// A client that does something else is told what, where in the recording, and what the
// recording has.
func TestMismatch(t *testing.T) {
	const sent = `{"session":1,"sent":{"execute":"c","arguments":{"a":{"b":[1,"x",{"y":null}]},"password":"***"},"id":2}}`
	file := recording(sent, `{"session":1,"received":{"return":1,"id":2}}`, `{"session":1,"ended":{"cause":"client"}}`)
	args := func(text string) async.Command {
		return async.Command{Name: "c", Args: json.RawMessage(text)}
	}
	for _, tt := range []struct {
		name string
		cmd  async.Command
		want []string // parts of the error; none if there must be none
	}{
		{"the same", args(`{"a":{"b":[1,"x",{"y":null}]},"password":"hunter2"}`), nil},
		{"another order", args(`{"password":7,"a":{"b":[1,"\u0078",{"y":null}]}}`), nil},
		{"a masked object", args(`{"password":{"x":1},"a":{"b":[1,"x",{"y":null}]}}`), nil},
		{"another value", args(`{"a":{"b":[1,"x",{"y":0}]},"password":"hunter2"}`), []string{
			"line 6", "arguments.a.b[2].y is 0, not null", `recorded: {"execute":"c",`, `sent:     {"execute":"c","arguments":{"a":{"b":[1,"x",{"y":0}]},"password":"***"}`,
		}},
		{"another text", args(`{"a":{"b":[1,"z",{"y":null}]},"password":""}`), []string{`arguments.a.b[1] is "z", not "x"`}},
		{"another kind", args(`{"a":{"b":"x"},"password":""}`), []string{`arguments.a.b is "x", not [1,"x",{"y":null}]`}},
		{"more elements", args(`{"a":{"b":[1,"x",{"y":null},3]},"password":""}`), []string{`arguments.a.b has 4 elements, not 3`}},
		{"fewer elements", args(`{"a":{"b":[1,"x"]},"password":""}`), []string{`arguments.a.b has 2 elements, not 3`}},
		{"a missing member", args(`{"a":{"b":[1,"x",{}]},"password":""}`), []string{`arguments.a.b[2].y is missing`}},
		{"another member", args(`{"a":{"b":[1,"x",{"y":null,"w":1}]},"password":""}`), []string{`arguments.a.b[2].w is not in the recording`}},
		{"no arguments", async.Command{Name: "c"}, []string{`arguments is missing`}},
		{"another command", async.Command{Name: "d", Args: json.RawMessage(`{}`)}, []string{`execute is "d", not "c"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := serve(t, file, nil, func(t *testing.T, c *async.Client) {
				_, err := c.Do(t.Context(), tt.cmd)
				if (err == nil) != (tt.want == nil) {
					t.Errorf("c: %v", err)
				}
			})
			if len(tt.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var mismatch *record.MismatchError
			if !errors.As(err, &mismatch) || mismatch.Line != 6 || mismatch.Recorded == nil || mismatch.Sent == nil {
				t.Fatalf("%v, want a MismatchError of line 6", err)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v\nhas no %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v\nhas the secret", err)
			}
		})
	}
}

// What is not masked in a recording is compared, also if it looks masked.
func TestUnmaskedIsCompared(t *testing.T) {
	file := strings.Replace(recording(`{"session":1,"sent":{"execute":"c","arguments":{"a":"***"},"id":2}}`), `"masked":true`, `"masked":false`, 1)
	err := serve(t, file, nil, func(t *testing.T, c *async.Client) {
		if _, err := c.Execute(t.Context(), "c", map[string]any{"a": 1}); err == nil {
			t.Error("no error")
		}
	})
	if err == nil || !strings.Contains(err.Error(), `arguments.a is 1, not "***"`) {
		t.Error(err)
	}
}

// A client that ends too early, or goes on for too long.
func TestMoreOrLess(t *testing.T) {
	c2 := `{"session":1,"sent":{"execute":"c","id":2}}`
	r2 := `{"session":1,"received":{"return":1,"id":2}}`
	event := `{"t":3600,"session":1,"received":{"event":"E"}}`
	byClient := `{"t":3600,"session":1,"ended":{"cause":"client"}}`
	execute := func(t *testing.T, c *async.Client) { c.Execute(t.Context(), "c", nil) }
	twice := func(t *testing.T, c *async.Client) {
		execute(t, c)
		execute(t, c)
	}
	nothing := func(*testing.T, *async.Client) {}
	for _, tt := range []struct {
		name string
		file string
		run  func(*testing.T, *async.Client)
		want string // "" if there must be no error
	}{
		{"a command is missing", recording(c2, r2, byClient), nothing, "line 6: the client hung up\n  recorded: {\"execute\":\"c\""},
		{"only events and the end are left", recording(c2, r2, event, byClient), execute, ""},
		{"only events are left", recording(c2, r2, event), execute, ""},
		{"the server was to end it", recording(c2, r2, `{"t":3600,"session":1,"ended":{"cause":"eof"}}`), execute, ""},
		{"a command after the end", recording(c2, r2, byClient), twice, "the client sent another message, but in the recording the client ends the session\n  sent:     {\"execute\":\"c\""},
		{"a command after a recording without an end", recording(c2, r2), twice, "another message, but the recording ends here"},
		{"a recording without an end", recording(c2, r2), execute, ""},
		{"it hangs up during a delay, with a command to come", recording(event, c2), nothing, "line 7: the client hung up"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := serve(t, tt.file, nil, tt.run)
			if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// Concurrent callers send their commands in any order. Each gets its own reply, after the
// events that come with it.
func TestUnordered(t *testing.T) {
	file := recording(
		`{"session":1,"sent":{"execute":"a","id":2}}`,
		`{"session":1,"sent":{"execute":"b","id":3}}`,
		`{"session":1,"received":{"event":"EA"}}`,
		`{"session":1,"received":{"return":"a","id":2}}`,
		`{"session":1,"received":{"event":"EB1"}}`,
		`{"session":1,"received":{"event":"EB2"}}`,
		`{"session":1,"received":{"return":"b","id":3}}`,
		`{"t":0.5,"session":1,"received":{"event":"LAST"}}`,
		`{"t":0.5,"session":1,"sent":{"execute":"c","id":4}}`,
		`{"t":0.5,"session":1,"ended":{"cause":"client"}}`)
	run := func(order string) func(t *testing.T, c *async.Client) {
		return func(t *testing.T, c *async.Client) {
			l := c.NewListener(nil)
			var events []string
			for _, name := range strings.Split(order, "") {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				v, err := c.Execute(ctx, name, nil)
				cancel()
				if name == "c" && errors.Is(err, context.DeadlineExceeded) {
					continue // it is not answered
				}
				if string(v) != `"`+name+`"` {
					t.Errorf("%s: %s, %v", name, v, err)
				}
				for {
					ev, ok, _ := l.TryNext()
					if !ok {
						break
					}
					events = append(events, ev.Name)
				}
				events = append(events, name)
			}
			time.Sleep(time.Second)
			for {
				ev, ok, _ := l.TryNext()
				if !ok {
					break
				}
				events = append(events, ev.Name)
			}
			want := map[string]string{"abc": "EA a EB1 EB2 b LAST", "bac": "EB1 EB2 b EA a LAST", "cba": "EB1 EB2 b EA a LAST"}[order]
			if got := strings.Join(events, " "); got != want {
				t.Errorf("order %s: got %s, want %s", order, got, want)
			}
		}
	}
	for _, order := range []string{"bac", "cba"} {
		if err := serve(t, file, &record.PlayOptions{Unordered: true}, run(order)); err != nil {
			t.Errorf("order %s: %v", order, err)
		}
	}
	if err := serve(t, file, nil, func(t *testing.T, c *async.Client) { c.Execute(t.Context(), "b", nil) }); err == nil || !strings.Contains(err.Error(), `execute is "b", not "a" (it is the command of line 7; Unordered lets`) {
		t.Errorf("strict: %v", err)
	}
	if err := serve(t, file, &record.PlayOptions{Unordered: true}, func(t *testing.T, c *async.Client) { c.Execute(t.Context(), "d", nil) }); err == nil || !strings.Contains(err.Error(), `execute is "d", not "a"`) {
		t.Errorf("a command that is not there: %v", err)
	}
}

func TestIgnore(t *testing.T) {
	file := recording(`{"session":1,"sent":{"execute":"c","arguments":{"file":{"filename":"/tmp/1"},"n":1},"id":2}}`, `{"session":1,"received":{"return":1,"id":2}}`)
	err := serve(t, file, &record.PlayOptions{Ignore: []string{"filename"}}, func(t *testing.T, c *async.Client) {
		if _, err := c.Execute(t.Context(), "c", map[string]any{"n": 1, "file": map[string]any{"filename": "/tmp/2"}}); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestNoDelays(t *testing.T) {
	file := recording(`{"session":1,"sent":{"execute":"c","id":2}}`, `{"t":3600.5,"session":1,"received":{"return":1,"id":2}}`)
	for noDelays, want := range map[bool]time.Duration{false: 3600500 * time.Millisecond, true: 0} {
		err := serve(t, file, &record.PlayOptions{NoDelays: noDelays}, func(t *testing.T, c *async.Client) {
			began := time.Now()
			if _, err := c.Execute(t.Context(), "c", nil); err != nil || time.Since(began) != want {
				t.Errorf("NoDelays %t: after %v, %v", noDelays, time.Since(began), err)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// A message that is too large for the recording is recognized by its name.
func TestOmittedCommand(t *testing.T) {
	file := recording(`{"session":1,"sent":{"execute":"c","id":2},"omitted":5000}`, `{"session":1,"received":{"return":1,"id":2}}`)
	for name, want := range map[string]string{"c": "", "d": "it is another command"} {
		err := serve(t, file, nil, func(t *testing.T, c *async.Client) {
			c.Execute(t.Context(), name, map[string]any{"a": strings.Repeat("x", 5000)})
		})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// QEMU sends the reply to a command of an earlier client to the next one. A client must
// not take it for the reply to its own command.
func TestStrayReply(t *testing.T) {
	file := strings.Replace(recording(`{"session":1,"sent":{"execute":"c","id":2}}`, `{"session":1,"received":{"return":1,"id":2}}`),
		`{"session":1,"sent":{"execute":"qmp`, `{"session":1,"received":{"return":"stray","id":2}}`+"\n"+`{"session":1,"sent":{"execute":"qmp`, 1)
	if err := serve(t, file, nil, func(t *testing.T, c *async.Client) {
		if v, err := c.Execute(t.Context(), "c", nil); err != nil || string(v) != "1" {
			t.Errorf("%s, %v", v, err)
		}
	}); err != nil {
		t.Error(err)
	}
}

// A recording that was edited by hand, so that it cannot be played.
func TestUnplayable(t *testing.T) {
	for want, file := range map[string]string{
		"no connection": `{"qmp-recording":1,"masked":true}` + "\n" + `{"complete":true}` + "\n",
		`at line 7: a reply with the id 3, which no command before it has: {"return":1,"id":3}`: recording(
			`{"session":1,"sent":{"execute":"c","id":2}}`, `{"session":1,"received":{"return":1,"id":3}}`),
		"past line 6: 4 entries are missing: my reason": recording(`{"missing":{"entries":4,"reason":"my reason"}}`),
	} {
		if _, err := record.NewPlayer(load(t, file), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	// A Recording that a program has made has no lines.
	rec := &record.Recording{Entries: []record.Entry{{Session: 1, Kind: record.Connected}, {Session: 1, Kind: record.Received, Message: json.RawMessage("[")}}}
	if _, err := record.NewPlayer(rec, nil); err == nil || !strings.Contains(err.Error(), "recording: entry 1: a Message that is not a JSON object") {
		t.Error(err)
	}
	rec.Entries[1] = record.Entry{Session: 1, Kind: record.Connected}
	if _, err := record.NewPlayer(rec, nil); err == nil || !strings.Contains(err.Error(), "session 1 has already begun") {
		t.Error(err)
	}
}

// A context that ends while the Player waits: the error says for what.
func TestServeEndsWithItsContext(t *testing.T) {
	file := recording(`{"session":1,"sent":{"execute":"c","id":2}}`, `{"t":3600,"session":1,"received":{"return":1,"id":2}}`)
	for want, execute := range map[string]bool{
		`at line 6: waiting for the client to send {"execute":"c","id":2}: my reason`: false,
		"at line 7: waiting for the recorded delay to pass: my reason":                true,
	} {
		synctest.Test(t, func(t *testing.T) {
			p, err := record.NewPlayer(load(t, file), nil)
			if err != nil {
				t.Fatal(err)
			}
			near, far := qmptest.Pipe()
			ctx, cancel := context.WithCancelCause(t.Context())
			done := make(chan error)
			go func() { done <- p.Serve(ctx, far) }()
			c := async.New(nil)
			defer c.Close()
			if err := c.Attach(t.Context(), near); err != nil {
				t.Fatal(err)
			}
			if execute {
				go c.Execute(t.Context(), "c", nil)
			}
			synctest.Wait()
			cancel(errors.New("my reason"))
			if err := <-done; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
			if err := p.Serve(t.Context(), far); err == nil || !strings.Contains(err.Error(), "all 1 sessions") {
				t.Errorf("another session: %v", err)
			}
		})
	}
}

// Serve plays the sessions to clients of real sockets, one after another.
func TestServeOverSockets(t *testing.T) {
	t.Parallel()
	file, saw := recorded(t, nil, twoSessions, twoSessionsScript()...)
	parsed := load(t, file)
	for _, network := range []string{"unix", "tcp"} {
		addr := "127.0.0.1:0"
		if network == "unix" {
			dir, err := os.MkdirTemp("", "qmp")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			addr = filepath.Join(dir, "s")
		}
		ln, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- record.Serve(t.Context(), ln, parsed, &record.PlayOptions{NoDelays: true}) }()
		c := async.New(&async.Options{Dialer: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, ln.Addr().String())
		}})
		again := twoSessions(t.Context(), c)
		c.Close()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", network, err)
		}
		// Without the delays, the times differ, and a command is not given up in time. A
		// unix socket is not reset if all was read.
		if a, b := whats(saw), whats(again); a != b {
			t.Errorf("%s: recorded %s\nreplayed %s", network, a, b)
		}
	}
}

// whats returns what each line of a story is about.
func whats(saw []string) string {
	var all []string
	for _, line := range saw {
		what, _, _ := strings.Cut(line, " after ")
		all = append(all, strings.ReplaceAll(what, " ", ""))
	}
	return strings.Join(all, " ")
}

func TestServeFails(t *testing.T) {
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("my reason"))
	parsed := load(t, recording())
	if err := record.Serve(ctx, listen(), parsed, nil); err == nil || !strings.Contains(err.Error(), "connection 1 of 1: my reason") {
		t.Error(err)
	}
	ln := listen()
	ln.Close()
	if err := record.Serve(t.Context(), ln, parsed, nil); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if err := record.Serve(t.Context(), listen(), &record.Recording{}, nil); err == nil || !strings.Contains(err.Error(), "no connection") {
		t.Error(err)
	}
	// Garbage from the client.
	ln = listen()
	done := make(chan error)
	go func() { done <- record.Serve(t.Context(), ln, parsed, nil) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.0\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "at line 4: waiting for the client to send") || !strings.Contains(err.Error(), "not JSON") {
		t.Error(err)
	}
}

// Descriptors are counted.
func TestDescriptors(t *testing.T) {
	if runtime.GOOS == "windows" {
		qemutest.Unsupported(t, "Windows passes no descriptors")
	}
	file := recording(
		`{"session":1,"sent":null,"files":2}`,
		`{"session":1,"sent":{"execute":"getfd","id":2},"files":1}`, `{"session":1,"received":{"return":1,"id":2}}`,
		`{"session":1,"sent":{"execute":"getfd","id":3},"files":1}`, `{"session":1,"received":{"return":1,"id":3}}`)
	for _, second := range []int{1, 0, 2} {
		dir, err := os.MkdirTemp("", "qmp")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		ln, err := net.Listen("unix", filepath.Join(dir, "s"))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- record.Serve(t.Context(), ln, load(t, file), nil) }()
		c, err := async.Dial(t.Context(), ln.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SendFiles(t.Context(), os.Stdin, os.Stdin); err != nil {
			t.Error(err)
		}
		for i, n := range []int{1, second} {
			files := []*os.File{os.Stdin, os.Stdin}[:n]
			if _, err := c.Do(t.Context(), async.Command{Name: "getfd", Files: files}); (err != nil) != (i == 1 && second != 1) {
				t.Errorf("getfd with %d descriptors: %v", n, err)
			}
		}
		c.Close()
		want := fmt.Sprintf("line 9: %d descriptors came with it, not 1", second)
		if err := <-done; (err == nil) != (second == 1) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Whatever the recording is, and whatever a client sends, Serve returns when the client has
// hung up, and does not panic.
func FuzzServe(f *testing.F) {
	f.Add([]byte(recording(`{"session":1,"sent":{"execute":"c","id":2}}`, `{"t":9,"session":1,"received":{"return":1,"id":2}}`, `{"t":9,"session":1,"ended":{"cause":"not JSON","bytes":"{]"}}`)),
		[]byte(`{"execute":"qmp_capabilities","arguments":{},"id":7}{"execute":"c"}`), false)
	f.Add([]byte(recording(`{"session":1,"sent":{"execute":"a","id":2}}`, `{"session":1,"sent":{"execute":"b","id":3}}`, `{"session":1,"received":{"event":"E"}}`, `{"session":1,"received":{"return":1,"id":3}}`,
		`{"session":1,"ended":{"cause":"too large","limit":70000}}`)),
		[]byte("\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":1}}"+`{"execute":"qmp_capabilities","arguments":{}} {"execute":"b"} {"execute":"a"}`), true)
	f.Fuzz(func(t *testing.T, file, client []byte, unordered bool) {
		rec, _ := record.Load(strings.NewReader(string(file)))
		if rec == nil {
			return
		}
		for _, e := range rec.Entries {
			if e.End != nil && e.End.Limit > 1<<20 {
				return // it takes too long
			}
		}
		synctest.Test(t, func(t *testing.T) {
			p, err := record.NewPlayer(rec, &record.PlayOptions{Unordered: unordered})
			if err != nil {
				return
			}
			for range p.Sessions() {
				near, far := qmptest.PipeSize(1000)
				var wg sync.WaitGroup
				wg.Go(func() {
					io.Copy(io.Discard, near)
					near.Close()
				})
				wg.Go(func() { near.Write(client) })
				hangUp := time.AfterFunc(time.Hour, func() { near.Close() })
				_ = p.Serve(t.Context(), far)
				hangUp.Stop()
				near.Close()
				wg.Wait()
			}
		})
	})
}
