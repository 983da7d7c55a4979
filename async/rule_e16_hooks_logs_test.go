// Tests of rule E16 (hooks and logs).
// The code that they hold: log.go, receive.go and call.go.
package async_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A logbook keeps what is logged to it, everything down to debug.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logbook) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// records returns what was logged, with all attributes.
func (b *logbook) records(t testing.TB) (list []map[string]any) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range bytes.Lines(b.buf.Bytes()) {
		var r map[string]any
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		list = append(list, r)
	}
	return list
}

// lines returns what was logged as "LEVEL message".
func (b *logbook) lines(t testing.TB) (list []string) {
	t.Helper()
	for _, r := range b.records(t) {
		list = append(list, fmt.Sprintf("%v %v", r["level"], r["msg"]))
	}
	return list
}

// A tap is a pair of hooks that watch.
type tap struct {
	mu             sync.Mutex
	sent, received []string
}

func (w *tap) onSend(m json.RawMessage) json.RawMessage {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, string(m))
	return nil
}

func (w *tap) onReceive(m json.RawMessage) json.RawMessage {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.received = append(w.received, string(m))
	return nil
}

func TestE16HooksWatch(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		const (
			greeting = `{"QMP": {"version": {}, "capabilities": []}}`
			event    = `{"event": "E"}`
		)
		p := memory(t,
			qmptest.Reply(greeting), qmptest.Expect("qmp_capabilities"), qmptest.Reply(`{"return": {}, "id": $id}`),
			qmptest.Expect("set_password"), qmptest.Reply(event), qmptest.Reply(`{"return": 1, "id": $id}`))
		var w tap
		c := dial(t, p, &async.Options{OnSend: w.onSend, OnReceive: w.onReceive})
		_, err := c.Execute(t.Context(), "set_password", map[string]any{"password": "hunter2"})
		wantNil(t, "set_password", err)

		// All of them, handshake included, not masked, just as they are on the wire.
		wantReceived := []string{greeting, `{"return": {}, "id": 1}`, event, `{"return": 1, "id": 2}`}
		if !slices.Equal(w.received, wantReceived) {
			t.Errorf("OnReceive:\n saw %q\nwant %q", w.received, wantReceived)
		}
		var wire []string
		for _, m := range p.Received() {
			wire = append(wire, string(m.Raw))
		}
		if len(w.sent) != 2 || !slices.Equal(w.sent, wire) {
			t.Errorf("OnSend:\n saw %q\nwant %q, as the server got it", w.sent, wire)
		}
		if len(w.sent) == 2 && !strings.Contains(w.sent[1], "hunter2") {
			t.Errorf("OnSend: saw %q, want the password in it", w.sent[1])
		}
	})
}

func TestE16OnSendReplaces(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t,
			qmptest.Greet(), qmptest.ExpectRaw(`{"execute":"qmp_capabilities","arguments":{},"id":1,"x-seen":true}`), qmptest.Return(`{}`),
			qmptest.ExpectRaw(`{"execute":"other","arguments":{"text":"\u00e9"},"id":2}`), qmptest.Return(`"other"`),
			qmptest.Expect("same"), qmptest.Return(`"same"`))
		c := dial(t, p, &async.Options{OnSend: func(m json.RawMessage) json.RawMessage {
			switch {
			case bytes.Contains(m, []byte("qmp_capabilities")):
				return append(bytes.TrimSuffix(m, []byte("}")), `,"x-seen":true}`...)
			case bytes.Contains(m, []byte("mine")):
				return json.RawMessage("\n{\"execute\": \"other\", \"arguments\": {\"text\": \"é\"},\r\n \"id\": 2}\n")
			}
			return m // its own argument is a replacement like any other
		}})
		execute(t, c, "mine", `"other"`)
		execute(t, c, "same", `"same"`)
	})
}

func TestE16OnReceiveReplaces(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t,
			qmptest.Reply(`{"hello": 1}`), qmptest.Expect("qmp_capabilities"), qmptest.Reply(`{"no": "idea"}`),
			qmptest.Expect("x"), qmptest.Event("A", ""), qmptest.Return(`"server"`))
		c := dial(t, p, &async.Options{OnReceive: func(m json.RawMessage) json.RawMessage {
			switch {
			case bytes.Contains(m, []byte("hello")):
				return json.RawMessage("\r\n {\"QMP\": {\"version\": {\"qemu\": {\"major\": 9, \"minor\": 1, \"micro\": 2}}, \"capabilities\": []}} \n")
			case bytes.Contains(m, []byte("idea")):
				return json.RawMessage(`{"return": {}, "id": 1}`)
			case bytes.Contains(m, []byte("event")):
				return json.RawMessage(" {\"event\": \"B\", \"data\": {\"n\": 1}}\n")
			case bytes.Contains(m, []byte("server")):
				return bytes.Replace(m, []byte("server"), []byte("hook"), 1)
			}
			return m
		}})
		if v := c.Greeting().Version; v.Major != 9 || v.Minor != 1 || v.Micro != 2 {
			t.Errorf("greeting: got version %v, want that of the replacement, 9.1.2", v)
		}
		if raw := string(c.Greeting().Raw()); !strings.HasPrefix(raw, "{") || !strings.HasSuffix(raw, "}") {
			t.Errorf("greeting: got raw message %q, want an object without white space around it", raw)
		}
		l := c.NewListener(nil)
		execute(t, c, "x", `"hook"`)
		ev, ok, err := l.TryNext()
		if !ok || err != nil || ev.Name != "B" || string(ev.Data) != `{"n": 1}` || string(ev.Raw()) != `{"event": "B", "data": {"n": 1}}` {
			t.Errorf("event: got %+v (%s), %v, %v, want B with its data", ev, ev.Raw(), ok, err)
		}
	})
}

func TestE16BadReplacementOfWhatIsSent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, other string
		reason      async.Reason
	}{
		{"not JSON", `{"execute":`, async.Refused},
		{"nothing", ``, async.Refused},
		{"no object", `["x"]`, async.Refused},
		{"two", `{"execute":"a"}{"execute":"b"}`, async.Refused},
		{"repeated name", `{"execute":"x","execute":"y"}`, async.Refused},
		{"lone surrogate", `{"execute":"\ud800"}`, async.Refused},
		{"invalid UTF-8", "{\"execute\":\"\xff\"}", async.Refused},
		{"too deep", `{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, async.TooDeep},
		{"too large", `{"a":"` + strings.Repeat("x", 10_000) + `"}`, async.TooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, connected("oob", qmptest.Expect("after"), qmptest.Return(`{}`))...)
				c := dial(t, p, &async.Options{MaxMessage: 8000, OnSend: func(m json.RawMessage) json.RawMessage {
					if bytes.Contains(m, []byte("victim")) {
						return json.RawMessage(tt.other)
					}
					return nil
				}})
				for range 10 { // more often than the window is wide
					_, err := c.Execute(t.Context(), "victim", nil)
					e := wantAs[*async.MessageError](t, "victim", err)
					if e.Reason != tt.reason || e.Command != "victim" {
						t.Errorf("victim: got Reason %q and Command %q, want %q and victim (%v)", e.Reason, e.Command, tt.reason, err)
					}
					wantText(t, "victim", err, "victim: not sent")
				}
				execute(t, c, "after", "{}") // that call only
			})
		})
	}
}

func TestE16BadReplacementOfWhatIsReceived(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, other string }{
		{"not JSON", `{"return":`},
		{"nothing", ``},
		{"no object", `["x"]`},
		{"two", `{"return": 1}{"return": 2}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, connected("", qmptest.Expect("x"), qmptest.Return(`"victim"`))...)
				c := dial(t, p, &async.Options{OnReceive: func(m json.RawMessage) json.RawMessage {
					if bytes.Contains(m, []byte("victim")) {
						return json.RawMessage(tt.other)
					}
					return nil
				}})
				_, err := c.Execute(t.Context(), "x", nil)
				wantInterrupted(t, "x", err, true)
				for what, err := range map[string]error{"x": err, "Disconnect": c.Disconnect(t.Context())} {
					if e := wantAs[*async.MessageError](t, what, err); e.Reason != async.NotObject {
						t.Errorf("%s: got Reason %q, want %q", what, e.Reason, async.NotObject)
					}
					wantText(t, what, err, "Options.OnReceive")
				}
			})
		})
	}
	t.Run("greeting", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			p := memory(t, qmptest.Greet())
			c := newClient(t, &async.Options{Dialer: p.Dial, OnReceive: func(json.RawMessage) json.RawMessage { return json.RawMessage(`[]`) }})
			err := c.Connect(t.Context(), "")
			wantAs[*async.GreetingError](t, "Connect", err)
			wantAs[*async.MessageError](t, "Connect", err)
			wantState(t, c, async.Idle)
		})
	})
}

// What runs on the lower half may end the client, if not by itself.
func TestE16CloseFromHooksAndFilters(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"OnSend", "OnReceive", "filter"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				steps := connected("", qmptest.Expect("victim"), qmptest.Event("victim", ""), qmptest.Stall())
				if where == "OnSend" {
					steps = connected("", qmptest.Stall()) // the victim may not get that far
				}
				p := memory(t, steps...)
				var c *async.Client
				closed := make(chan error, 10)
				end := func(here string, m json.RawMessage) json.RawMessage {
					if here == where && bytes.Contains(m, []byte("victim")) {
						go func() { closed <- c.Close() }()
					}
					return nil
				}
				c = newClient(t, &async.Options{
					Dialer:    p.Dial,
					OnSend:    func(m json.RawMessage) json.RawMessage { return end("OnSend", m) },
					OnReceive: func(m json.RawMessage) json.RawMessage { return end("OnReceive", m) },
				})
				l := c.NewListener(&async.ListenerOptions{Filter: func(ev async.Event) bool {
					end("filter", ev.Raw())
					return true
				}})
				defer l.Close()
				connect(t, c)
				_, err := c.Execute(t.Context(), "victim", nil)
				wantAs[*async.ExecInterruptedError](t, "victim", err)
				wantIs(t, "victim", err, async.ErrClosed)
				wantNil(t, "Close", <-closed)
				wantState(t, c, async.Idle)
			})
		})
	}
}

// A panic in a hook or filter is not swallowed: it ends the program. This test
// is that program, too.
func TestE16PanicIsTheProgramsOwn(t *testing.T) {
	const variable = "QMP_TEST_E16_PANIC"
	if where := os.Getenv(variable); where != "" {
		p := memory(t, connected("", qmptest.Expect("x"), qmptest.Event("E", ""), qmptest.Return(`{}`))...)
		c := newClient(t, &async.Options{Dialer: p.Dial, OnReceive: func(m json.RawMessage) json.RawMessage {
			if where == "OnReceive" && bytes.Contains(m, []byte("event")) {
				panic("the program's own")
			}
			return nil
		}})
		c.NewListener(&async.ListenerOptions{Filter: func(async.Event) bool {
			if where == "filter" {
				panic("the program's own")
			}
			return true
		}})
		connect(t, c)
		c.Execute(t.Context(), "x", nil)
		return
	}
	t.Parallel()
	for _, where := range []string{"OnReceive", "filter"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestE16PanicIsTheProgramsOwn$")
			cmd.Env = append(os.Environ(), variable+"="+where)
			out, err := cmd.CombinedOutput()
			if _, failed := errors.AsType[*exec.ExitError](err); !failed || !bytes.Contains(out, []byte("panic: the program's own")) {
				t.Errorf("a program whose %s panics: got %v, want an exit by that panic; it said:\n%s", where, err, out)
			}
		})
	}
}

// A message at debug, an orderly end at info, a failure at error, once.
func TestE16LogLevels(t *testing.T) {
	t.Parallel()
	handshake := []string{"DEBUG qmp: received", "DEBUG qmp: sent", "DEBUG qmp: received", "DEBUG qmp: connected"}
	exchange := []string{"DEBUG qmp: sent", "DEBUG qmp: received"}
	hello := connected("")
	tests := []struct {
		name  string
		steps []qmptest.Step
		run   func(t *testing.T, c *async.Client)
		want  []string
	}{
		{
			name:  "disconnect",
			steps: connected("", qmptest.Expect("x"), qmptest.Event("E", ""), qmptest.Return(`{}`)),
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				execute(t, c, "x", "{}")
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
			},
			want: slices.Concat(handshake, exchange, []string{"DEBUG qmp: received", "INFO qmp: disconnected"}),
		}, {
			name:  "close",
			steps: hello,
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				wantNil(t, "Close", c.Close())
			},
			want: slices.Concat(handshake, []string{"INFO qmp: disconnected"}),
		}, {
			name:  "quit",
			steps: connected("", qmptest.Expect("quit"), qmptest.Return(`{}`), qmptest.HangUp()),
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				execute(t, c, "quit", "{}")
				synctest.Wait()
				wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
			},
			want: slices.Concat(handshake, exchange, []string{"INFO qmp: disconnected"}),
		}, {
			name:  "unasked end, several who are hit by it",
			steps: connected("", qmptest.Expect("x"), qmptest.Expect("x"), qmptest.HangUp()),
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				a, b := start(t.Context(), c, async.Command{Name: "x"}), start(t.Context(), c, async.Command{Name: "x"})
				<-a
				<-b
				wantIs(t, "Disconnect", c.Disconnect(t.Context()), io.EOF)
			},
			want: slices.Concat(handshake, []string{"DEBUG qmp: sent", "DEBUG qmp: sent", "ERROR qmp: connection ended"}),
		}, {
			name:  "broken protocol",
			steps: connected("", qmptest.Pause(time.Second), qmptest.Send("garbage")),
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				time.Sleep(time.Minute) // the bubble's clock
				wantAs[*async.MessageError](t, "Disconnect", c.Disconnect(t.Context()))
			},
			want: slices.Concat(handshake, []string{"ERROR qmp: connection ended"}),
		}, {
			name:  "message for nobody",
			steps: connected("", qmptest.Pause(time.Second), qmptest.Reply(`{"return": 1, "id": "who?"}`)),
			run: func(t *testing.T, c *async.Client) {
				connect(t, c)
				time.Sleep(time.Minute)
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
			},
			want: slices.Concat(handshake, []string{"DEBUG qmp: received", "WARN qmp: message dropped", "INFO qmp: disconnected"}),
		}, {
			name:  "failed connect",
			steps: []qmptest.Step{qmptest.HangUp()},
			run: func(t *testing.T, c *async.Client) {
				wantIs(t, "Connect", c.Connect(t.Context(), ""), io.EOF)
			},
			want: []string{"ERROR qmp: no connection"},
		}, {
			name:  "connect called off",
			steps: []qmptest.Step{qmptest.Stall()},
			run: func(t *testing.T, c *async.Client) {
				failed := do(func() error { return c.Connect(t.Context(), "") })
				synctest.Wait()
				wantNil(t, "Disconnect", c.Disconnect(t.Context()))
				wantIs(t, "Connect", <-failed, async.ErrClosed)
			},
			want: []string{"INFO qmp: no connection"},
		}, {
			name: "refused call",
			run: func(t *testing.T, c *async.Client) {
				_, err := c.Execute(t.Context(), "x", nil)
				wantAs[*async.StateError](t, "Execute", err)
			},
		},
	}
	for _, tt := range tests {
		for _, nickname := range []string{"", "vm1"} {
			t.Run(tt.name+"/"+nickname, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					var book logbook
					opts := &async.Options{Logger: book.logger(), Nickname: nickname}
					if tt.steps != nil {
						opts.Dialer = memory(t, tt.steps...).Dial
					}
					c := newClient(t, opts)
					tt.run(t, c)
					c.Close()
					if got := book.lines(t); !slices.Equal(got, tt.want) {
						t.Errorf("log:\n got %q\nwant %q", got, tt.want)
					}
					// One logger per connection, with its name.
					for _, r := range book.records(t) {
						if name, has := r["qmp"]; has != (nickname != "") || has && name != nickname {
							t.Errorf("log record %v: got attribute qmp=%v, want %q", r, name, nickname)
						}
					}
				})
			})
		}
	}
}

// A Disconnect that hangs up on a peer that does not read is a failure.
func TestE16LogOfAHardEnd(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var book logbook
		c := stuckWriter(t, &async.Options{Logger: book.logger()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantIs(t, "Disconnect", c.Disconnect(ctx), context.DeadlineExceeded)
		var got []string
		for _, line := range book.lines(t) {
			if !strings.HasPrefix(line, "DEBUG") {
				got = append(got, line)
			}
		}
		if want := []string{"ERROR qmp: connection ended"}; !slices.Equal(got, want) {
			t.Errorf("log above debug: got %q, want %q", got, want)
		}
	})
}

// secretCommands are the commands whose arguments hold secrets: here, hunter2.
// What else they hold is shown.
var secretCommands = []struct {
	name string
	args string
}{
	{"object-add", `{"qom-type":"secret","id":"shown","data":"hunter2"}`},
	{"object-add", `{"qom-type":"secret","id":"shown","props":{"data":"hunter2"}}`},
	{"object-add", `{"qom-type":"tls","id":"shown","list":[{"password":"hunter2"}]}`},
	{"object-add", `{"qom-type":"secret","id":"shown","data":{"deep":["hunter2"]}}`},
	{"object-add", `{"qom-type":"secret","id":"shown","d\u0061ta":"hunter2"}`},
	{"blockdev-add", `{"driver":"raw","node-name":"shown","file":{"driver":"https","url":"x","cookie":"hunter2"}}`},
	{"blockdev-reopen", `{"options":[{"driver":"https","node-name":"shown","cookie":"hunter2"}]}`},
	{"set_password", `{"protocol":"shown","password":"hunter2"}`},
	{"change-vnc-password", `{"password":"hunter2","x":"shown"}`},
	{"qom-set", `{"path":"shown","property":"p","value":"hunter2"}`},
	{"qom-set", `{"path":"shown","property":"p","value":{"a":["hunter2"]}}`},
	{"human-monitor-command", `{"command-line":"set_password vnc hunter2","x":"shown"}`},
	{"sev-inject-launch-secret", `{"packet-header":"shown","secret":"hunter2"}`},
	{"guest-set-user-password", `{"username":"shown","password":"hunter2","crypted":false}`},
	{"guest-exec", `{"path":"shown","env":["TOKEN=hunter2"],"input-data":"hunter2"}`},
	{"guest-file-write", `{"handle":1,"x":"shown","buf-b64":"hunter2"}`},
}

func TestE16SecretsAreMaskedInTheLog(t *testing.T) {
	t.Parallel()
	for _, tt := range secretCommands {
		for _, form := range []string{"args", "object", "oob", "hook"} {
			t.Run(tt.name+"/"+form, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					hidden := func(m qmptest.Message) error {
						if m.Name != tt.name || !bytes.Contains(m.Raw, []byte("hunter2")) {
							return fmt.Errorf("got %s, want %s with its secret", m.Raw, tt.name)
						}
						return nil
					}
					p := memory(t, connected("oob", qmptest.ExpectFunc(tt.name, hidden), qmptest.Return(`{}`))...)
					cmd := async.Command{Name: tt.name, Args: json.RawMessage(tt.args)}
					opts := &async.Options{}
					switch form {
					case "object":
						cmd = async.Command{Object: json.RawMessage(fmt.Sprintf(`{"arguments":%s,"execute":%q,"id":"mine"}`, tt.args, tt.name))}
					case "oob":
						cmd.OOB = true
					case "hook":
						cmd = async.Command{Name: "replace-me"}
						opts.OnSend = func(m json.RawMessage) json.RawMessage {
							if !bytes.Contains(m, []byte("replace-me")) {
								return nil
							}
							return json.RawMessage(fmt.Sprintf(`{"execute":%q,"arguments":%s,"id":2}`, tt.name, tt.args))
						}
					}
					var book logbook
					opts.Logger = book.logger()
					c := dial(t, p, opts)
					_, err := c.Do(t.Context(), cmd)
					wantNil(t, tt.name, err)
					var sent string
					for _, r := range book.records(t) {
						if m, _ := r["message"].(string); strings.Contains(m, tt.name) {
							sent = m
						}
					}
					if !strings.Contains(sent, "shown") || !strings.Contains(sent, "***") {
						t.Errorf("log of %s: got %q, want what is no secret, and *** for what is", tt.args, sent)
					}
					if strings.Contains(book.buf.String(), "hunter2") {
						t.Errorf("the log shows the secret:\n%s", book.buf.String())
					}
					if !json.Valid([]byte(sent)) {
						t.Errorf("log of %s: %q is not JSON any more", tt.args, sent)
					}
				})
			})
		}
	}
}

// So are those in replies, also in the late reply of a command that was given
// up, which is dropped.
// Holds secure.
func TestE16SecretsInRepliesAreMasked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ command, reply, shown string }{
		{"guest-file-read", `{"count": 7, "buf-b64": "hunter2", "eof": true}`, `"count":7`},
		{"guest-exec-status", `{"exited": true, "out-data": "hunter2", "err-data": "hunter2"}`, `"exited":true`},
		{"qom-get", `"hunter2"`, `"return":"***"`},
		{"qom-get", `{"data": ["hunter2"]}`, `"return":"***"`},
	} {
		for _, capability := range []string{"", "oob"} {
			for _, late := range []bool{false, true} {
				bubble(t, func(t *testing.T) {
					p := memory(t, connected(capability, qmptest.Expect(tt.command), qmptest.Pause(2*time.Second), qmptest.Return(tt.reply),
						qmptest.Expect("query-status"), qmptest.Return(`{"status": "shown"}`))...)
					var book logbook
					c := dial(t, p, &async.Options{Logger: book.logger()})
					limit := time.Minute
					if late {
						limit = time.Second
					}
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					defer cancel()
					value, err := c.Execute(ctx, tt.command, nil)
					if late {
						wantIs(t, tt.command, err, context.DeadlineExceeded)
					} else {
						wantValue(t, tt.command, value, err, tt.reply)
					}
					execute(t, c, "query-status", `{"status": "shown"}`)
					log := book.buf.String()
					if strings.Contains(log, "hunter2") || !strings.Contains(log, `\"status\": \"shown\"`) {
						t.Errorf("late %v: the log hides too much, or too little:\n%s", late, log)
					}
					// Of a command that is not known any more nothing is shown.
					if shown := strconv.Quote(tt.shown); !late && !strings.Contains(log, shown[1:len(shown)-1]) {
						t.Errorf("the log does not show %s:\n%s", shown, log)
					}
				})
			}
		}
	}
}

// However a command with a secret fails, neither its error nor the log tells.
func TestE16SecretsAreNotInErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range secretCommands {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				const mine = "mine"
				p := memory(t, connected("",
					qmptest.Expect(tt.name), qmptest.ReturnError("GenericError", "no"),
					qmptest.Expect(tt.name), qmptest.Reply(`{"id": $id}`),
					qmptest.Expect(tt.name), qmptest.Return(`{}`),
					qmptest.Expect(tt.name), // which is cancelled
					qmptest.Expect(tt.name), qmptest.HangUp())...)
				var book logbook
				bad := false
				c := dial(t, p, &async.Options{Logger: book.logger(), MaxMessage: 4096, OnSend: func(m json.RawMessage) json.RawMessage {
					if bad {
						return append(bytes.Clone(m), "hunter2"...)
					}
					return nil
				}})
				try := func(what string, ctx context.Context, cmd async.Command) {
					t.Helper()
					reply, err := c.Do(ctx, cmd)
					if err == nil {
						err = reply.Err()
					}
					if err == nil {
						var wrong []int
						err = reply.Decode(&wrong)
					}
					switch {
					case err == nil:
						t.Errorf("%s: got no error", what)
					case strings.Contains(fmt.Sprintf("%v|%+v|%q", err, err, err), "hunter2"):
						t.Errorf("%s: the error shows the secret: %v", what, err)
					}
				}
				good := async.Command{Name: tt.name, Args: json.RawMessage(tt.args)}
				broken := func(args string) async.Command {
					return async.Command{Name: tt.name, Args: json.RawMessage(args)}
				}
				try("error reply", t.Context(), good)
				try("malformed reply", t.Context(), good)
				try("reply of another type", t.Context(), good)
				try("cut off", t.Context(), broken(strings.TrimSuffix(tt.args, "}")))
				try("no end of the text", t.Context(), broken(tt.args[:strings.Index(tt.args, "hunter2")+7]))
				try("invalid UTF-8", t.Context(), broken(strings.ReplaceAll(tt.args, "hunter2", "hunter2\xff")))
				try("surrogate", t.Context(), broken(strings.ReplaceAll(tt.args, "hunter2", `hunter2\ud800`)))
				try("noncharacter", t.Context(), broken(strings.ReplaceAll(tt.args, "hunter2", `hunter2\ufffe`)))
				try("control character", t.Context(), broken(strings.ReplaceAll(tt.args, "hunter2", "hunter2\n")))
				try("no object", t.Context(), broken(`["hunter2"]`))
				try("two values", t.Context(), broken(tt.args+`"hunter2"`))
				try("Go value", t.Context(), async.Command{Name: tt.name, Args: map[string]any{"password": "hunter2", "data": func() {}}})
				try("Go text", t.Context(), async.Command{Name: tt.name, Args: map[string]string{"password": "hunter2\xff"}})
				try("text for an object", t.Context(), async.Command{Name: tt.name, Args: "hunter2"})
				try("too large", t.Context(), broken(strings.ReplaceAll(tt.args, "hunter2", strings.Repeat("hunter2", 1000))))
				try("too deep", t.Context(), broken(`{"password":`+strings.Repeat("[", 1000)+`"hunter2"`+strings.Repeat("]", 1000)+`}`))
				try("object without end", t.Context(), async.Command{Object: json.RawMessage(fmt.Sprintf(`{"execute":%q,"arguments":%s`, tt.name, tt.args))})
				try("object with a bad id", t.Context(), async.Command{Object: json.RawMessage(fmt.Sprintf(`{"execute":%q,"arguments":%s,"id":7}`, tt.name, tt.args))})
				bad = true
				try("hook", t.Context(), good)
				bad = false
				ended, cancel := context.WithCancel(t.Context())
				cancel()
				try("ended context", ended, good)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				cancelled := good
				cancelled.ID = mine
				try("cancelled", ctx, cancelled)
				try("interrupted", t.Context(), good)
				try("not connected", t.Context(), good)
				if err := c.Disconnect(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("Disconnect: got %v, want an end of file", err)
				}
				if strings.Contains(book.buf.String(), "hunter2") {
					t.Errorf("the log shows the secret:\n%s", book.buf.String())
				}
			})
		})
	}
}

// Without a Logger nothing is written, wherever it may go by default. (Not
// parallel: it puts its own in place of the standard loggers.)
func TestE16NothingIsLoggedByDefault(t *testing.T) {
	var book logbook
	defer slog.SetDefault(slog.Default())
	defer log.SetFlags(log.Flags())
	defer log.SetOutput(log.Writer())
	log.SetOutput(&book)
	slog.SetDefault(book.logger())

	p := memory(t, slices.Concat(
		[]qmptest.Step{qmptest.HangUp(), qmptest.Accept()},
		connected("", qmptest.Expect("x"), qmptest.Reply(`{"who": 1}`), qmptest.Return(`{}`), qmptest.HangUp()))...)
	c := newClient(t, &async.Options{Dialer: p.Dial, Nickname: "vm1"})
	wantIs(t, "Connect", c.Connect(t.Context(), ""), io.EOF)
	connect(t, c)
	execute(t, c, "x", "{}")
	c.Disconnect(t.Context())
	if got := book.buf.String(); got != "" {
		t.Errorf("a client without a Logger logged:\n%s", got)
	}
}

// What a reply returns is not shown where its command is not known: neither when
// it comes to the next client, in place of a greeting or of the reply to
// qmp_capabilities, nor when it breaks off.
// Holds secure.
func TestE16SecretsInBrokenReplies(t *testing.T) {
	t.Parallel()
	const secret = "aHVzaA=="
	reply := func(more string) qmptest.Step {
		return qmptest.Send(`{"return":{"count":4,"buf-b64":"` + secret + more)
	}
	negotiating := func(steps ...qmptest.Step) []qmptest.Step {
		return append([]qmptest.Step{qmptest.Greet(), qmptest.Expect("qmp_capabilities")}, steps...)
	}
	reading := func(steps ...qmptest.Step) []qmptest.Step {
		return connected("", append([]qmptest.Step{qmptest.Expect("guest-file-read")}, steps...)...)
	}
	for _, tt := range []struct {
		name  string
		steps []qmptest.Step
		fails bool
	}{
		{"in place of a greeting", []qmptest.Step{reply(`"},"id":7}`)}, true},
		{"of another, before that to qmp_capabilities", negotiating(reply(`"},"id":"theirs"}`)), false},
		{"of an earlier client, before that to qmp_capabilities", negotiating(reply(`"},"id":0}`), qmptest.Return(`{}`)), false},
		{"with an error that is none", negotiating(reply(`"},"error":1}`)), true},
		{"cut off in the negotiation", negotiating(reply(""), qmptest.HangUp()), true},
		{"cut off", reading(reply(""), qmptest.HangUp()), true},
		{"broken", reading(reply("\"}\x00")), true},
		{"malformed", reading(reply(`"},"error":1,"id":2}`)), true},
		{"malformed, without an id", reading(reply(`"},"error":1}`)), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				var book logbook
				p := memory(t, tt.steps...)
				c := newClient(t, &async.Options{Dialer: p.Dial, Logger: book.logger()})
				err := c.Connect(t.Context(), "")
				if err == nil && tt.fails {
					_, err = c.Execute(t.Context(), "guest-file-read", nil)
				}
				if (err != nil) != tt.fails {
					t.Errorf("got error %v", err)
				}
				end := c.Disconnect(t.Context())
				for what, text := range map[string]string{"the error": fmt.Sprint(err), "the end": fmt.Sprint(end), "the log": book.buf.String()} {
					if strings.Contains(text, secret) {
						t.Errorf("%s shows the secret: %s", what, text)
					}
				}
				if !strings.Contains(book.buf.String(), "return") {
					t.Errorf("the log does not show the reply at all: %s", book.buf.String())
				}
			})
		})
	}
}
