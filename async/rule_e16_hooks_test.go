// Tests of rule E16 (hooks see every message): Options.OnSend, Options.OnReceive and
// the filters of listeners.
// The code that they hold: call.go, receive.go and listener.go.
package async_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A tap is a pair of hooks that keep what they see and change nothing.
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

		// The hooks see every message, the handshake included, as it is on the wire: not masked.
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
			return m // a hook may return its own argument
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
		{"not an object", `["x"]`, async.Refused},
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
				for range 10 { // more often than the window has places
					_, err := c.Execute(t.Context(), "victim", nil)
					e := wantAs[*async.MessageError](t, "victim", err)
					if e.Reason != tt.reason || e.Command != "victim" {
						t.Errorf("victim: got Reason %q and Command %q, want %q and victim (%v)", e.Reason, e.Command, tt.reason, err)
					}
					wantText(t, "victim", err, "victim: not sent")
				}
				execute(t, c, "after", "{}") // only that call failed
			})
		})
	}
}

func TestE16BadReplacementOfWhatIsReceived(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, other string }{
		{"not JSON", `{"return":`},
		{"nothing", ``},
		{"not an object", `["x"]`},
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

// A hook or a filter may start a goroutine that ends the client.
func TestE16CloseFromHooksAndFilters(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"OnSend", "OnReceive", "filter"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				steps := connected("", qmptest.Expect("victim"), qmptest.Event("victim", ""), qmptest.Stall())
				if where == "OnSend" {
					steps = connected("", qmptest.Stall()) // the connection may end before the victim is sent
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

// The engine does not recover a panic in a hook or a filter: the panic ends the
// program. This test runs itself as that program.
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
