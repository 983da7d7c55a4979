package agent_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/qapi/qga"
)

// What an earlier client left in the line is not taken for a reply.
func TestResyncSkipsWhatIsLeft(t *testing.T) {
	for name, left := range map[string]string{
		"nothing":                 "",
		"a reply":                 `{"return": {}}` + "\n",
		"half a reply":            `{"return": {"count": 3, "buf-b64": "AAA`,
		"another's sync":          "\xff" + `{"return": 17}` + "\n",
		"half of another's sync":  "\xff" + `{"return": 1`,
		"delimiters":              "\xff\xff\xff",
		"an error of the parser":  `{"error": {"class": "GenericError", "desc": "JSON parse error, stray '\uFFFD'"}}` + "\n",
		"a large reply":           `{"return": "` + strings.Repeat("A", 100_000) + `"}` + "\n",
		"a large reply to a sync": "\xff" + `{"return": "` + strings.Repeat("A", 100_000),
		"not JSON":                "\x00garbage\n\n\r\n",
		"a delimiter and a reply": "\xff" + `{"return": {}}` + "\n",
		"a null":                  "\xff" + `{"return": null}` + "\n",
		"a second sync, a number": "\xff" + `{"return": 17.5}` + "\n\xff" + `17` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial := qmptest.ScriptMemory(t, synced(left+"$sync"), qmptest.Expect("guest-info"), qmptest.Return(info), qmptest.Expect("guest-ping"), qmptest.Return(`{}`))
				a, err := agent.Dial(t.Context(), "", over(dial))
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				if err := qga.GuestPing(t.Context(), a); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What comes after the reply is for the engine. An agent sends nothing there, but another
// server might.
func TestResyncKeepsWhatFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := qmptest.Pipe()
		defer server.Close()
		go func() {
			buf := make([]byte, 1000)
			n, _ := server.Read(buf)
			m := number.FindSubmatch(buf[:n])
			fmt.Fprintf(server, "\xff{\"return\": %s}\n{\"event\": \"EARLY\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}\n", m[1])
			if _, err := server.Read(buf); err == nil { // guest-info
				fmt.Fprintf(server, "{\"return\": %s, \"id\": 1}", info)
			}
		}()
		var got []string
		trace := &async.Tracer{Received: func(m async.TraceMessage) { got = append(got, string(m.Message[:10])) }}
		a, err := agent.Attach(within(t, time.Minute), client, &agent.Options{Engine: async.Options{Tracers: []*async.Tracer{trace}}})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if len(got) != 2 || got[0] != `{"event": ` {
			t.Errorf("the engine received %q", got)
		}
	})
}

// The guest boots for a minute. What is sent meanwhile stays in the line, and the agent
// answers all of it when it starts.
func TestDialWaitsForTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		boot := qmptest.Do("boot", func(p *qmptest.Peer) error {
			time.Sleep(time.Minute)
			all, _, err := heard(p)
			if err != nil {
				return err
			}
			asked := strings.Split(string(all), "\xff")
			if len(asked) < 8 || len(asked) > 12 {
				return fmt.Errorf("the client asked %d times in a minute", len(asked)-1)
			}
			for _, text := range asked[1:] {
				m := number.FindStringSubmatch(text)
				if err := p.Write([]byte("{\"error\": {}}\n\xff{\"return\": " + m[1] + "}\n")); err != nil {
					return err
				}
				time.Sleep(10 * time.Millisecond) // each reply is read alone
			}
			return nil
		})
		a, err := agent.Dial(within(t, 2*time.Minute), "", over(qmptest.ScriptMemory(t, boot, qmptest.Expect("guest-info"), qmptest.Return(info))))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 61*time.Second {
			t.Errorf("it took %v", took)
		}
		a.Close()
	})
}

// What was sent before the agent started is lost.
func TestDialAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := qmptest.Do("lost", func(p *qmptest.Peer) error {
			time.Sleep(30 * time.Second)
			_, _, err := heard(p)
			return err
		})
		a, err := agent.Dial(within(t, time.Minute), "", over(qmptest.ScriptMemory(t, append([]qmptest.Step{lost}, informed()...)...)))
		if err != nil {
			t.Fatal(err)
		}
		a.Close()
	})
}

// Dial fails when its context ends, and closes the connection.
func TestDialGivesUp(t *testing.T) {
	cause := errors.New("the guest is too slow")
	for name, steps := range map[string][]qmptest.Step{
		"silence":      {qmptest.Stall()},
		"half a reply": {synced("\xff{\"return\": "), qmptest.Stall()},
		"guest-info":   {synced("$sync"), qmptest.Stall()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Second, cause)
				defer cancel()
				begin := time.Now()
				_, err := agent.Dial(ctx, "", over(qmptest.ScriptMemory(t, steps...)))
				if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, cause) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begin); took != 100*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestDialFails(t *testing.T) {
	if _, err := agent.Dial(t.Context(), "http://vm", nil); err == nil || !strings.Contains(err.Error(), "address") {
		t.Errorf("not an address: %v", err)
	}
	if _, err := agent.Dial(t.Context(), "/nonexistent/qga", nil); err == nil {
		t.Error("no socket: no error")
	}
	refused := errors.New("refused")
	if _, err := agent.Dial(t.Context(), "", over(func(context.Context) (net.Conn, error) { return nil, refused })); !errors.Is(err, refused) {
		t.Errorf("the dialer fails: %v", err)
	}
	if _, err := agent.Dial(t.Context(), "", over(func(context.Context) (net.Conn, error) { return nil, nil })); err == nil {
		t.Error("the dialer returns nothing: no error")
	}
	synctest.Test(t, func(t *testing.T) {
		for name, steps := range map[string][]qmptest.Step{
			"hang-up":                       {qmptest.HangUp()},
			"hang-up before the reply":      {synced("\xff{"), qmptest.HangUp()},
			"hang-up before guest-info":     {synced("$sync"), qmptest.Expect("guest-info"), qmptest.HangUp()},
			"guest-info has something else": {synced("$sync"), qmptest.Expect("guest-info"), qmptest.Return(`[]`)},
			"guest-info fails":              {synced("$sync"), qmptest.Expect("guest-info"), qmptest.ReturnError("GenericError", "no")},
		} {
			if a, err := agent.Dial(t.Context(), "", over(qmptest.ScriptMemory(t, steps...))); err == nil {
				t.Errorf("%s: no error", name)
				a.Close()
			}
		}
	})
}

// The connection that was given to Attach is closed if Attach fails.
func TestAttachFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for name, ctx := range map[string]context.Context{"an ended context": ended, "a silent peer": within(t, time.Second)} {
			client, server := qmptest.Pipe()
			if _, err := agent.Attach(ctx, client, nil); !errors.Is(err, ctx.Err()) {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := io.ReadAll(server); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			server.Close()
		}
	})
}
