package qmptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// dial makes an in-memory connection that has negotiated.
func dial(t *testing.T, s *Server, negotiation exchange) *peer {
	t.Helper()
	conn, err := s.Dial(t.Context())
	p := newPeer(t, conn, err)
	if !s.opts.NoGreeting {
		p.line()
		p.send(negotiation.send)
		p.want(okReply)
	}
	return p
}

func TestServerNetworks(t *testing.T) {
	for _, network := range []string{"", Unix, TCP, TCP6} {
		t.Run("network "+network, func(t *testing.T) {
			s, err := NewServer(&Options{Network: network})
			if err != nil && network == TCP6 {
				qemutest.Lacks(t, "no IPv6: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			conn, err := dialAddr(t.Context(), s.Addr())
			p := newPeer(t, conn, err)
			p.want(`{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}`)
			if network == Unix {
				if info, err := os.Stat(filepath.Dir(s.Addr())); err != nil || info.Mode().Perm() != 0o700 {
					t.Errorf("directory of the socket: %v, %v", info, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			p.rest()
			if network == Unix {
				if _, err := os.Stat(filepath.Dir(s.Addr())); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("directory of the socket is still there: %v", err)
				}
			}
		})
	}
}

func TestServerMisuse(t *testing.T) {
	if _, err := NewServer(&Options{Network: "udp"}); err == nil {
		t.Error("no error for an unknown network")
	}
	tb := &fakeTB{}
	tb.run(func() { Start(tb, &Options{Network: "udp"}) })
	if got := tb.end(); !strings.HasPrefix(got, `qmptest: unknown network "udp"`) {
		t.Error(got)
	}
	s := Start(t, &Options{Network: Memory})
	for want, data := range map[string]any{
		"unsupported type": make(chan int),
		"is not an object": []int{1},
	} {
		if err := s.Emit("X", data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Emit: got error %v, want %s in it", err, want)
		}
	}
	if err := s.Emit("X", json.RawMessage(`{"a":1,"a":2}`)); err == nil {
		t.Error("Emit accepts an object with a repeated name")
	}
}

func TestServerGreetingOptions(t *testing.T) {
	for want, opts := range map[string]Options{
		`{"QMP": {"version": {"qemu": {"micro": 0, "minor": 1, "major": 9}, "package": "p\"q"}, "capabilities": []}}`:   {Version: Version{9, 1, 0, `p"q`}, NoOOB: true},
		`{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}`: {LineEnd: LF},
	} {
		opts.Network = Memory
		s := Start(t, &opts)
		conn, err := s.Dial(t.Context())
		p := newPeer(t, conn, err)
		line, err := p.r.ReadString('\n')
		if line != want+opts.LineEnd.String() || err != nil {
			t.Errorf("got %q, %v, want %q", line, err, want)
		}
		if opts.NoOOB {
			p.send(`{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}`)
			p.want(`{"error": {"class": "GenericError", "desc": "Capability oob is not available"}}`)
		}
	}
}

func TestServerWithoutGreeting(t *testing.T) {
	s := Start(t, &Options{Network: Memory, NoGreeting: true, LineEnd: NoLineEnd})
	s.Handle("guest-ping", func(context.Context, *Command) (any, error) { return nil, nil })
	conn, err := s.Dial(t.Context())
	p := newPeer(t, conn, err)
	p.send(`{"execute":"guest-ping"}{"execute":"qmp_capabilities"}{"execute":"quit"}`)
	want := okReply + `{"error": {"class": "CommandNotFound", "desc": "The command qmp_capabilities has not been found"}}`
	if got := p.rest(); !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

// As a guest agent the server starts again at a byte 0xFF.
func TestServerOfTheGuestAgent(t *testing.T) {
	s := Start(t, &Options{Network: Memory, NoGreeting: true, LineEnd: NoLineEnd})
	s.Handle("guest-shutdown", func(context.Context, *Command) (any, error) { return nil, nil })
	conn, err := s.Dial(t.Context())
	p := newPeer(t, conn, err)
	p.send(`{"execute":"guest-pi` + "\xff" + `{"execute":"guest-sync-delimited","arguments":{"id":7}}{"execute":"guest-sync","arguments":{"id":8}}{"execute":"guest-ping"}{"execute":"guest-info"}{"execute":"quit"}`)
	want := `{"error": {"class": "GenericError", "desc": "JSON parse error, stray '\uFFFD'"}}` + "\xff" + `{"return": 7}{"return": 8}{"return": {}}{"return": {"version": "7.2.22", "supported_commands": [` +
		`{"name": "guest-info", "enabled": true, "success-response": true}, {"name": "guest-ping", "enabled": true, "success-response": true}, ` +
		`{"name": "guest-shutdown", "enabled": true, "success-response": false}, ` +
		`{"name": "guest-sync", "enabled": true, "success-response": true}, {"name": "guest-sync-delimited", "enabled": true, "success-response": true}]}}`
	if got := p.rest(); !strings.HasPrefix(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// With Pretty the server prints what QEMU prints with -mon pretty=on.
func TestServerPretty(t *testing.T) {
	const commands = `{"execute":"qmp_capabilities","id":[]}{"execute":"query-name","id":{"a":[],"b":{},"c":[1,{"d":2}]}}{"execute":"nosuch"}{"execute":"stop"}{"execute":"quit"}`
	const want = "{\r\n    \"return\": {\r\n    },\r\n    \"id\": [\r\n    ]\r\n}\r\n" +
		"{\r\n    \"return\": {\r\n        \"name\": \"vm1\"\r\n    },\r\n    \"id\": {\r\n        \"a\": [\r\n        ],\r\n        \"b\": {\r\n        },\r\n        \"c\": [\r\n            1,\r\n            {\r\n                \"d\": 2\r\n            }\r\n        ]\r\n    }\r\n}\r\n" +
		"{\r\n    \"error\": {\r\n        \"class\": \"CommandNotFound\",\r\n        \"desc\": \"The command nosuch has not been found\"\r\n    }\r\n}\r\n"
	s := Start(t, &Options{Network: Memory, Name: "vm1", Pretty: true})
	conn, err := s.Dial(t.Context())
	p := newPeer(t, conn, err)
	p.send(commands)
	if got := p.rest(); !strings.Contains(got, "}\r\n"+want+"{\r\n    \"timestamp\": {\r\n        \"seconds\": ") {
		t.Errorf("got %q", got)
	}
}

func TestServerOneClientAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Start(t, &Options{Network: Memory})
		first := dial(t, s, negotiation)
		conn, err := s.Dial(t.Context())
		second := newPeer(t, conn, err)
		second.SetReadDeadline(time.Now().Add(time.Minute))
		second.want("!read pipe pipe->pipe: i/o timeout")
		second.SetReadDeadline(time.Time{})
		second.send(negotiation.send) // it may send before it is served
		first.Close()
		if got := second.line(); !strings.HasPrefix(got, `{"QMP"`) {
			t.Errorf("got %s", got)
		}
		second.want(okReply)

		conn, err = s.Dial(t.Context())
		third := newPeer(t, conn, err)
		s.Close()
		third.want(eof)
	})
}

func TestServerManyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Start(t, &Options{Network: Memory, ManyClients: true})
		a, b := dial(t, s, negotiation), dial(t, s, oobNegotiation)
		conn, err := s.Dial(t.Context())
		c := newPeer(t, conn, err)
		c.line()
		a.send(`{"execute":"stop","id":1}`)
		synctest.Wait()
		b.send(`{"execute":"quit","id":2}`)
		synctest.Wait()
		if got := timestamp.ReplaceAllString(a.rest(), "T"); got != stopEvent+"\r\n"+`{"return": {}, "id": 1}`+"\r\n"+`{"timestamp": T, "event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}`+"\r\n" {
			t.Errorf("a got %s", got)
		}
		if got := timestamp.ReplaceAllString(b.rest(), "T"); got != stopEvent+"\r\n"+`{"timestamp": T, "event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}`+"\r\n"+`{"return": {}, "id": 2}`+"\r\n" {
			t.Errorf("b got %s", got)
		}
		if got := c.rest(); got != "" { // it has not negotiated, so it gets no events
			t.Errorf("c got %s", got)
		}
		<-s.Done()
		if msgs := s.Received(); len(msgs) != 4 || msgs[2].Conn != 0 || msgs[3].Conn != 1 || msgs[3].Name != "quit" {
			t.Errorf("received %v", msgs)
		}
	})
}

func TestHandle(t *testing.T) {
	s := Start(t, &Options{Network: Memory})
	s.Handle("add", func(_ context.Context, cmd *Command) (any, error) {
		var args struct{ A, B int }
		if err := cmd.Decode(&args); err != nil {
			return nil, err
		}
		return args.A + args.B, nil
	})
	s.Handle("nested", func(_ context.Context, cmd *Command) (any, error) {
		var args struct{ List []struct{ AFlag *bool } }
		return nil, cmd.Decode(&args)
	})
	s.Handle("event", func(_ context.Context, cmd *Command) (any, error) {
		return nil, cmd.Server.Emit("FROM_HANDLER", map[string]any{"é": 1})
	})
	s.Handle("not-active", func(context.Context, *Command) (any, error) {
		return nil, fmt.Errorf("wrapped: %w", &Error{Class: "DeviceNotActive", Desc: "it sleeps"})
	})
	s.Handle("fail", func(context.Context, *Command) (any, error) { return nil, errors.New("on fire") })
	s.Handle("unencodable", func(context.Context, *Command) (any, error) { return make(chan int), nil })
	s.Handle("twice", func(context.Context, *Command) (any, error) { return json.RawMessage(`{"a":1,"a":2}`), nil })
	s.Handle("stop", func(context.Context, *Command) (any, error) { return "overridden", nil })
	s.Handle("quit", func(context.Context, *Command) (any, error) { return "never", nil })
	p := dial(t, s, negotiation)
	for _, e := range []exchange{
		{`{"execute":"add","arguments":{"a":2,"b":3},"id":1}`, []string{`{"return": 5, "id": 1}`}},
		{`{"execute":"add"}`, []string{`{"return": 0}`}},
		{`{"execute":"nested","arguments":{"list":[{"a-flag":true},{"a-flag":1}]}}`, []string{`{"error": {"class": "GenericError", "desc": "Invalid parameter type for 'list[1].a-flag', expected: boolean"}}`}},
		{`{"execute":"nested","arguments":{"list":{}}}`, []string{`{"error": {"class": "GenericError", "desc": "Invalid parameter type for 'list', expected: array"}}`}},
		{`{"execute":"add","arguments":{"a":"x"}}`, []string{`{"error": {"class": "GenericError", "desc": "Invalid parameter type for 'a', expected: integer"}}`}},
		{`{"execute":"event","id":2}`, []string{`{"timestamp": T, "event": "FROM_HANDLER", "data": {"\u00E9": 1}}`, `{"return": {}, "id": 2}`}},
		{`{"execute":"not-active","id":3}`, []string{`{"id": 3, "error": {"class": "DeviceNotActive", "desc": "it sleeps"}}`}},
		{`{"execute":"fail"}`, []string{`{"error": {"class": "GenericError", "desc": "on fire"}}`}},
		{`{"execute":"unencodable","id":4}`, []string{`{"id": 4, "error": {"class": "GenericError", "desc": "qmptest: the result of the handler: json: unsupported type: chan int"}}`}},
		{`{"execute":"stop"}`, []string{`{"return": "overridden"}`}},
		{`{"execute":"quit"}`, []string{`{"return": "never"}`}},
		{`{"execute":"query-name"}`, []string{`{"return": {}}`}},
	} {
		p.send(e.send)
		for _, want := range e.want {
			if got := timestamp.ReplaceAllString(p.line(), "T"); got != want {
				t.Errorf("%s\ngot  %s\nwant %s", e.send, got, want)
			}
		}
	}
	p.send(`{"execute":"twice"}`)
	if got := p.line(); !strings.HasPrefix(got, `{"error": {"class": "GenericError", "desc": "qmptest: the result of the handler: `) {
		t.Errorf("got %s", got)
	}
}

func TestHandlerContextEnds(t *testing.T) {
	for name, end := range map[string]func(*Server, *peer){
		"hang-up": func(_ *Server, p *peer) { p.Close() },
		"close":   func(s *Server, _ *peer) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := Start(t, &Options{Network: Memory})
				var ended context.Context
				var wg sync.WaitGroup
				wg.Add(1)
				s.Handle("wait", func(ctx context.Context, _ *Command) (any, error) {
					defer wg.Done()
					<-ctx.Done()
					ended = ctx
					return nil, nil
				})
				p := dial(t, s, negotiation)
				p.send(`{"execute":"wait"}{"execute":"stop"}`)
				synctest.Wait()
				end(s, p)
				wg.Wait()
				if ended.Err() == nil {
					t.Error("the context has not ended")
				}
				synctest.Wait()
				if status := s.status(); !status.Running {
					t.Error("the command in the queue has been executed")
				}
			})
		})
	}
}

func TestCloseNamesStuckHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := &fakeTB{}
		s := Start(tb, &Options{Network: Memory})
		token := make(chan struct{})
		s.Handle("stuck", func(context.Context, *Command) (any, error) {
			<-token
			return nil, nil
		})
		p := dial(t, s, negotiation)
		p.send(`{"execute":"stuck"}`)
		synctest.Wait()
		if got, want := tb.end(), "qmptest: a handler has not returned 10s after its context ended: stuck"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		close(token)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// When the machine ends, it waits for a client that does not read, but only for
// flushLimit. Sending an event never waits for a client.
func TestServerClientDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Start(t, &Options{Network: Memory, ManyClients: true, PipeSize: 1000})
		p, q := dial(t, s, negotiation), dial(t, s, negotiation)
		for range 100 {
			s.Emit("X", nil)
		}
		q.send(`{"execute":"quit"}`)
		start := time.Now()
		if got := strings.Count(q.rest(), "\n"); got != 102 {
			t.Errorf("the client that reads got %d lines", got)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the client that reads got the end after %v, want it immediately", d)
		}
		s.wg.Wait()
		if d := time.Since(start); d != flushLimit {
			t.Errorf("the server ended after %v, want %v", d, flushLimit)
		}
		if got := strings.Count(p.rest(), "\n"); got > 20 {
			t.Errorf("the client that does not read got %d lines", got)
		}
	})
}

func TestServerDialsOut(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s := Start(t, &Options{Network: Memory, Name: "vm1"})
	if err := s.DialOut(t.Context(), "tcp:"+ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	newPeer(t, conn, err).converse(dialogues["machine"])
	<-s.Done()
	if err := s.DialOut(t.Context(), ln.Addr().String()); err == nil {
		t.Error("DialOut of a machine that has ended: got no error")
	}
	if err := s.DialOut(t.Context(), filepath.Join(t.TempDir(), "s")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("DialOut to a socket that does not exist: got error %v, want os.ErrNotExist", err)
	}
}

func TestServerAwaitReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Start(t, &Options{Network: Memory})
		p := dial(t, s, negotiation)
		wg := sync.WaitGroup{}
		wg.Go(func() {
			msgs, err := s.AwaitReceived(t.Context(), func(m []Message) bool { return len(m) == 2 })
			if err != nil || msgs[1].Name != "stop" || msgs[1].OOB || !msgs[1].Time.Equal(time.Now()) {
				t.Errorf("%v, %v", msgs, err)
			}
		})
		synctest.Wait()
		p.send(` { "execute" : "stop" } `)
		wg.Wait()
		if got := string(s.Received()[1].Raw); got != `{ "execute" : "stop" }` {
			t.Errorf("raw %q", got)
		}
	})
}

func TestServerWithoutRecord(t *testing.T) {
	s := Start(t, &Options{Network: Memory, NoRecord: true})
	dial(t, s, negotiation)
	if msgs := s.Received(); len(msgs) != 0 {
		t.Errorf("received %v", msgs)
	}
}

func TestServerBounds(t *testing.T) {
	s := Start(t, &Options{Network: Memory, MaxMessage: 100})
	p := dial(t, s, negotiation)
	p.send(`{"execute":"` + strings.Repeat("x", 200) + `"}`)
	p.want(generic("", "JSON token size limit exceeded")[0])

	s = Start(t, &Options{Network: Memory})
	p = dial(t, s, negotiation)
	for _, levels := range []int{maxDepth, 20_000} {
		p.send(`{"execute":"` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + `"}`) // brackets in a string do not count
		p.line()
		p.send(`{"a":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + `}` + "\n")
		p.want(generic("", "JSON nesting depth limit exceeded")[0])
	}
}

func TestServerPaused(t *testing.T) {
	s := Start(t, &Options{Network: Memory, Paused: true})
	dialogue := []exchange{
		negotiation,
		{`{"execute":"query-status"}`, []string{`{"return": {"status": "prelaunch", "singlestep": false, "running": false}}`}},
		monitor("info status", `VM status: paused (prelaunch)\r\n`),
		{`{"execute":"stop"}`, []string{okReply}},
		{`{"execute":"cont"}`, []string{resumeEvent, okReply}},
		{`{"execute":"stop"}`, []string{stopEvent, okReply}},
		monitor("info status", `VM status: paused\r\n`),
	}
	conn, err := s.Dial(t.Context())
	newPeer(t, conn, err).converse(dialogue)
	startQEMU(t, "-S").converseAs(dialogue, ofAnyVersion)
}
