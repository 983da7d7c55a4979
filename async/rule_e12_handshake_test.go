// Tests of rule E12 (events around the handshake are kept).
// The code that they hold: greeting.go, handshake.go and receive.go.
package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// Events before the greeting, between qmp_capabilities and its reply, and right
// after that reply are in the queues of the listeners.
func TestE12EventsAroundTheHandshake(t *testing.T) {
	t.Parallel()
	event := func(name string) qmptest.Step { return qmptest.Event(name, `{"n": 1}`) }
	for _, split := range []int{0, 1, 7} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, qmptest.SplitEvery(split),
					event("A"), event("B"), qmptest.Greet("oob"), event("C"),
					qmptest.Expect("qmp_capabilities"), event("D"), event("E"), qmptest.Return(`{}`), event("F"), event("G"),
					qmptest.Expect("x"), event("H"), qmptest.Return(`{}`))
				c := newClient(t, &async.Options{Dialer: p.Dial})
				all, some := c.NewListener(nil), c.NewListener(nil, "A", "D", "G")
				odd := c.NewListener(&async.ListenerOptions{Filter: func(ev async.Event) bool { return strings.Contains("BE", ev.Name) }})
				connect(t, c)
				// The events up to the reply are there when Connect returns.
				early := drained(t, all)
				if len(early) < 5 {
					t.Errorf("when Connect returned: got events %v, want A to E at least", early)
				}
				execute(t, c, "x", "{}")
				wantNames(t, "all", append(early, drained(t, all)...), "A B C D E F G H")
				wantNames(t, "by name", drained(t, some), "A D G")
				wantNames(t, "by filter", drained(t, odd), "B E")
			})
		})
	}
}

// The events of a handshake that fails are in the queues of the listeners.
func TestE12EventsOfAFailedHandshake(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, qmptest.Event("A", ""), qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Event("B", ""), qmptest.HangUp())
		c := newClient(t, &async.Options{Dialer: p.Dial})
		l := c.NewListener(nil)
		wantIs(t, "Connect", c.Connect(t.Context(), ""), io.EOF)
		wantNames(t, "the listener", drained(t, l), "A B")
	})
}

// The events are in the queues, too, where the handshake is skipped in whole or
// in part.
func TestE12EventsWithoutHandshake(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]async.Options{
		"no greeting":    {SkipGreeting: true},
		"no negotiation": {SkipNegotiation: true},
		"neither":        {SkipGreeting: true, SkipNegotiation: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				steps := []qmptest.Step{qmptest.Event("A", "")}
				if !opts.SkipGreeting {
					steps = append(steps, qmptest.Greet())
				}
				if !opts.SkipNegotiation {
					steps = append(steps, qmptest.Expect("qmp_capabilities"), qmptest.Event("B", ""), qmptest.Return(`{}`))
				}
				p := memory(t, append(steps, qmptest.Expect("x"), qmptest.Event("C", ""), qmptest.Return(`{}`))...)
				opts.Dialer = p.Dial
				c := newClient(t, &opts)
				l := c.NewListener(nil)
				connect(t, c)
				execute(t, c, "x", "{}")
				want := "A B C"
				if opts.SkipNegotiation {
					want = "A C"
				}
				wantNames(t, "the listener", drained(t, l), want)
			})
		})
	}
}

// The context of the caller bounds the handshake, at every step. If no greeting
// comes, the error asks whether another client is connected.
func TestE12HandshakeIsBoundedByItsContext(t *testing.T) {
	t.Parallel()
	why := errors.New("the user canceled")
	greet := qmptest.Greet()
	tests := []struct {
		name     string
		steps    []qmptest.Step
		size     int // of the pipe
		greeting bool
	}{
		{name: "silence", steps: []qmptest.Step{qmptest.Stall()}, greeting: true},
		{name: "part of a greeting", steps: []qmptest.Step{qmptest.Send(`{"QMP": {"version"`), qmptest.Stall()}, greeting: true},
		{name: "white space", steps: []qmptest.Step{qmptest.Send("\r\n \t"), qmptest.Stall()}, greeting: true},
		{name: "events only", steps: []qmptest.Step{qmptest.Event("E", ""), qmptest.Event("E", ""), qmptest.Stall()}, greeting: true},
		{name: "no reply", steps: []qmptest.Step{greet, qmptest.Stall()}},
		{name: "events for a reply", steps: []qmptest.Step{greet, qmptest.Expect("qmp_capabilities"), qmptest.Event("E", ""), qmptest.Stall()}},
		{name: "part of a reply", steps: []qmptest.Step{greet, qmptest.Expect("qmp_capabilities"), qmptest.Send(`{"return"`), qmptest.Stall()}},
		{name: "another greeting for a reply", steps: []qmptest.Step{greet, qmptest.Expect("qmp_capabilities"), greet, qmptest.Stall()}},
		{name: "does not read", steps: []qmptest.Step{greet, qmptest.StopReading()}, size: 8},
	}
	for _, tt := range tests {
		for _, how := range []string{"deadline", "cancel"} {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					p := play(t, qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: tt.size}, tt.steps...)
					c := newClient(t, &async.Options{Dialer: p.Dial})
					begin := time.Now()
					ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, why)
					wantErr := context.DeadlineExceeded
					if how == "cancel" {
						var cancelCause context.CancelCauseFunc
						ctx, cancelCause = context.WithCancelCause(t.Context())
						wantErr = context.Canceled
						time.AfterFunc(3*time.Second, func() { cancelCause(why) })
					}
					defer cancel()
					err := c.Connect(ctx, "/run/vm1")
					if took := time.Since(begin); took != 3*time.Second {
						t.Errorf("Connect: took %v, want 3s", took)
					}
					wantIs(t, "Connect", err, wantErr, why)
					if e := wantAs[*async.ConnectError](t, "Connect", err); e.Stage != async.StageSession {
						t.Errorf("Connect: got stage %q, want %q", e.Stage, async.StageSession)
					}
					if tt.greeting {
						wantAs[*async.GreetingError](t, "Connect", err)
						wantText(t, "Connect", err, "/run/vm1", "no greeting", "is another client connected?")
					} else {
						wantAs[*async.NegotiationError](t, "Connect", err)
						wantText(t, "Connect", err, "/run/vm1", "negotiation")
						if strings.Contains(err.Error(), "another client") {
							t.Errorf("Connect: %v: asks for another client, though there was a greeting", err)
						}
					}
					wantState(t, c, async.Idle)
				})
			})
		}
	}
}

// The context bounds the handshake only. The connection lives on after it.
func TestE12ContextDoesNotBoundTheConnection(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("", qmptest.Expect("x"), qmptest.Return(`{}`))...)
		c := newClient(t, &async.Options{Dialer: p.Dial})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		wantNil(t, "Connect", c.Connect(ctx, ""))
		time.Sleep(time.Minute)
		cancel()
		synctest.Wait()
		wantState(t, c, async.Running)
		execute(t, c, "x", "{}")
	})
}

// The context of Accept bounds the handshake in the same way.
func TestE12AcceptIsBoundedByItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := newClient(t, &async.Options{OnReceive: func(json.RawMessage) json.RawMessage {
		cancel() // in the middle of the handshake
		return nil
	}})
	path := socketPath(t)
	wantNil(t, "Listen", c.Listen(t.Context(), path))
	play(t, qmptest.ScriptOptions{DialTo: path}, qmptest.Event("E", ""), qmptest.Stall())
	err := c.Accept(ctx)
	wantIs(t, "Accept", err, context.Canceled)
	wantAs[*async.GreetingError](t, "Accept", err)
	wantText(t, "Accept", err, "accept", path, "is another client connected?")
	wantState(t, c, async.Idle)
}

// QEMU serves one client at a time. A second one can connect, and waits.
func TestE12SecondClientWaits(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		s := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory})
		first, second := newClient(t, &async.Options{Dialer: s.Dial}), newClient(t, &async.Options{Dialer: s.Dial})
		connect(t, first)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantText(t, "Connect of a second client", second.Connect(ctx, ""), "is another client connected?", "one at a time")
		waiting := do(func() error { return second.Connect(t.Context(), "") })
		synctest.Wait()
		wantState(t, second, async.Connecting)
		wantNil(t, "Disconnect", first.Disconnect(t.Context()))
		wantNil(t, "Connect of a second client after the first", <-waiting)
		execute(t, second, "stop", "{}")
	})
}

// The error of a handshake that fails says all that is known. The client can
// connect again.
func TestE12FailedHandshakes(t *testing.T) {
	t.Parallel()
	greet, expect := qmptest.Greet("oob"), qmptest.Expect("qmp_capabilities")
	tests := []struct {
		name  string
		steps []qmptest.Step
		is    []error
		says  string
		as    func(error) bool
	}{
		{"hung up", []qmptest.Step{qmptest.HangUp()}, []error{io.EOF}, "EOF", nil},
		{"reset", []qmptest.Step{qmptest.Reset()}, []error{syscall.ECONNRESET}, "reset", nil},
		{"cut off", []qmptest.Step{qmptest.Send(`{"QMP"`), qmptest.HangUp()}, []error{io.ErrUnexpectedEOF}, "no greeting", isA[*async.GreetingError]},
		{"a text", []qmptest.Step{qmptest.Send("SSH-2.0-OpenSSH_9.2\r\n"), qmptest.Stall()}, nil, "SSH-2.0", isA[*async.GreetingError]},
		{"a reply", []qmptest.Step{qmptest.Reply(`{"return": {}}`), qmptest.Stall()}, nil, "no QMP member", isA[*async.GreetingError]},
		{"not an object", []qmptest.Step{qmptest.Reply(`{"QMP": 1}`), qmptest.Stall()}, nil, "not an object", isA[*async.GreetingError]},
		{"no version", []qmptest.Step{qmptest.Reply(`{"QMP": {"capabilities": []}}`), qmptest.Stall()}, nil, "version", isA[*async.GreetingError]},
		{"no capabilities", []qmptest.Step{qmptest.Reply(`{"QMP": {"version": {}}}`), qmptest.Stall()}, nil, "capabilities", isA[*async.GreetingError]},
		{"refused", []qmptest.Step{greet, expect, qmptest.ReturnError("GenericError", "no\nway"), qmptest.Stall()}, nil, "no way (GenericError)", isA[*async.NegotiationError]},
		{"refused without id", []qmptest.Step{greet, expect, qmptest.ReturnError("GenericError", "no way", qmptest.NoID()), qmptest.Stall()}, nil, "no way", isA[*async.NegotiationError]},
		{"neither", []qmptest.Step{greet, expect, qmptest.Reply(`{"id": $id}`), qmptest.Stall()}, nil, "malformed reply", isA[*async.NegotiationError]},
		{"garbage", []qmptest.Step{greet, expect, qmptest.Send(`{"return": }`), qmptest.Stall()}, nil, "not JSON", isA[*async.NegotiationError]},
		{"hung up before the reply", []qmptest.Step{greet, expect, qmptest.HangUp()}, []error{io.EOF}, "EOF", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				p := memory(t, slices.Concat(tt.steps, []qmptest.Step{qmptest.Accept()}, connected("oob", qmptest.Expect("x"), qmptest.Return(`{}`)))...)
				c := newClient(t, &async.Options{Dialer: p.Dial})
				begin := time.Now()
				err := c.Connect(t.Context(), "")
				if took := time.Since(begin); took != 0 {
					t.Errorf("Connect: took %v, want no time", took)
				}
				e := wantAs[*async.ConnectError](t, "Connect", err)
				if e.Stage != async.StageSession {
					t.Errorf("Connect: got stage %q, want %q", e.Stage, async.StageSession)
				}
				wantIs(t, "Connect", err, tt.is...)
				wantText(t, "Connect", err, tt.says)
				if tt.as != nil && !tt.as(err) {
					t.Errorf("Connect: got error %v (%T in it), want one of another type", err, e.Err)
				}
				wantState(t, c, async.Idle)
				connect(t, c)
				execute(t, c, "x", "{}")
			})
		})
	}
}

// The reply to an earlier client, or an error with an id that is not ours, does
// not answer qmp_capabilities.
func TestE12AnothersReplyIsNotTheNegotiations(t *testing.T) {
	t.Parallel()
	t.Run("of an earlier connection", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			p := memory(t, append(connected("", qmptest.Expect("x"), qmptest.Return(`{}`), qmptest.ExpectEOF(), qmptest.Accept()),
				qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Reply(`{"return":{},"id":2}`), qmptest.Stall())...)
			c := dial(t, p, nil)
			execute(t, c, "x", "{}")
			wantNil(t, "Disconnect", c.Disconnect(t.Context()))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := c.Connect(ctx, "")
			wantAs[*async.NegotiationError](t, "Connect", err)
			wantIs(t, "Connect", err, context.DeadlineExceeded)
		})
	})
	for _, id := range []string{`"theirs"`, "77", "[1]"} {
		t.Run("error with the id "+id, func(t *testing.T) {
			t.Parallel()
			p := memory(t, qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Reply(`{"error":{"class":"C","desc":"D"},"id":`+id+`}`), qmptest.Return(`{}`))
			c := newClient(t, &async.Options{Dialer: p.Dial})
			wantNil(t, "Connect", c.Connect(t.Context(), ""))
		})
	}
}

// A message with a QMP member is a greeting, whatever other members it has.
func TestE12GreetingThatClaimsToBeAnEvent(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, qmptest.Reply(`{"QMP":{"version":{},"capabilities":[]},"event":"E"}`), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`))
		c := newClient(t, &async.Options{Dialer: p.Dial})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantNil(t, "Connect", c.Connect(ctx, ""))
	})
}

// A greeting comes together with the end of the stream. The client answers it:
// the server may have shut down only its own direction.
func TestE12GreetingWithTheEnd(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		client, server := qmptest.Pipe()
		defer server.Close()
		asked := make(chan struct{})
		close(asked)
		c := newClient(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		err := c.Attach(ctx, &dataAndEnd{Conn: client, asked: asked, data: []byte(`{"QMP":{"version":{},"capabilities":[]}}`)})
		wantIs(t, "Attach", err, io.EOF)
		wantInstant(t, "Attach", begin)
		buf := make([]byte, 100)
		if n, _ := server.Read(buf); !strings.Contains(string(buf[:n]), "qmp_capabilities") {
			t.Errorf("the greeting was not answered: %q", buf[:n])
		}
	})
}

// A server shuts down its direction right after its greeting, and the client
// cannot answer. Connect does not hang.
func TestE12HalfClosedServerThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, qmptest.Greet(), qmptest.HalfClose(), qmptest.ExpectEOF())
		c := newClient(t, &async.Options{Dialer: p.Dial, OnSend: func(json.RawMessage) json.RawMessage { return json.RawMessage(`[]`) }})
		wantAs[*async.MessageError](t, "Connect", c.Connect(t.Context(), ""))
	})
}
