package async_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// dialogue is the server's side of a recorded session, cut into what it says at once, what
// it says to qmp_capabilities, and what it says to the command "x".
var dialogue = [3]string{
	`{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "EARLY"}` + "\r\n" +
		`{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}` + "\r\n",
	`{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "BETWEEN"}` + "\r\n" + `{"return": {}, "id": 1}` + "\r\n",
	`{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "LATE"}` + "\r\n" + `{"return": {"x": "}"}, "id": 2}` + "\r\n",
}

// cutAt is the recorded session up to byte k, and then steps.
func cutAt(k int, steps ...qmptest.Step) []qmptest.Step {
	asks := []string{"qmp_capabilities", "x"}
	var story []qmptest.Step
	for i, part := range dialogue {
		if i > 0 {
			story = append(story, qmptest.Expect(asks[i-1]))
		}
		if k < len(part) {
			return append(append(story, qmptest.Send(part[:k])), steps...)
		}
		story, k = append(story, qmptest.Send(part)), k-len(part)
	}
	return append(story, steps...)
}

// How far a client gets with the first k bytes of the recorded session.
type progress int

const (
	noGreeting    progress = iota // Connect fails: no greeting
	noReply                       // Connect fails: no answer to qmp_capabilities
	connectedOnly                 // Execute fails
	answered                      // all is well
)

// reached also says whether byte k lies inside a message.
func reached(k int) (p progress, inside bool) {
	for i, part := range dialogue {
		if k < len(part) {
			done := strings.Count(part[:k], "\n")
			line := strings.Split(part, "\r\n")[done]
			at := k - strings.LastIndex(part[:k], "\n") - 1
			inside = at > 0 && at < len(line)
			if done == 1 && at >= len(line) {
				return progress(i + 1), false // up to its last brace it is complete
			}
			return progress(i), inside
		}
		k -= len(part)
	}
	return answered, false
}

// A server that closes, resets, says nothing more, or shuts its direction only,
// at any byte of a session, while a call, a wait for events and a state watch
// are pending: each ends at once, or at its deadline, and says why.
func TestBadInputCutAtEachByte(t *testing.T) {
	t.Parallel()
	total := len(dialogue[0]) + len(dialogue[1]) + len(dialogue[2])
	const limit = 10 * time.Second
	for _, cut := range []struct {
		name  string
		steps []qmptest.Step
		wants func(p progress, inside bool) []error
	}{
		{"end of file", []qmptest.Step{qmptest.HangUp()}, endOfFile},
		{"half-close", []qmptest.Step{qmptest.HalfClose(), qmptest.Stall()}, endOfFile},
		{"reset", []qmptest.Step{qmptest.Reset()}, func(progress, bool) []error { return []error{syscall.ECONNRESET} }},
		{"stall", []qmptest.Step{qmptest.Stall()}, func(progress, bool) []error { return []error{context.DeadlineExceeded} }},
	} {
		t.Run(cut.name, func(t *testing.T) {
			t.Parallel()
			for k := range total + 1 {
				bubble(t, func(t *testing.T) {
					p, inside := reached(k)
					what := fmt.Sprintf("byte %d", k)
					c := newClient(t, &async.Options{Dialer: memory(t, cutAt(k, cut.steps...)...).Dial})
					w, l := c.WatchRunstate(), c.NewListener(nil)
					begin := time.Now()
					took := func(what string) {
						t.Helper()
						want := time.Duration(0)
						if cut.name == "stall" {
							want = limit
						}
						if got := time.Since(begin); got != want {
							t.Errorf("%s: took %v, want %v", what, got, want)
						}
						begin = time.Now()
					}
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					defer cancel()

					err := c.Connect(ctx, "")
					if p < connectedOnly {
						took(what + ", Connect")
						wantIs(t, what+", Connect", err, cut.wants(p, inside)...)
						wantAs[*async.ConnectError](t, what+", Connect", err)
						wantHandshakeError(t, what, err, p, inside || cut.name == "stall", cut.name == "reset")
						wantTransitions(t, w, "IDLE CONNECTING DISCONNECTING IDLE")
						_, err = l.Next(t.Context()) // what has come is there, and then it says that nothing comes
						if err == nil {
							_, err = l.Next(t.Context())
						}
						if err == nil {
							_, err = l.Next(t.Context())
						}
						wantAs[*async.StateError](t, what+", Next", err)
						return
					}
					if behind := k - len(dialogue[0]); err != nil && behind < len(dialogue[1]) {
						// Right behind the handshake the end may still count to it.
						wantIs(t, what+", Connect", err, cut.wants(p, inside)...)
						return
					}
					wantNil(t, what+", Connect", err)
					waiting := do(func() error {
						for _, err := range l.All(ctx) {
							if err != nil {
								return err
							}
						}
						return nil
					})
					v, err := c.Execute(ctx, "x", nil)
					if p == answered {
						wantValue(t, what, v, err, `{"x": "}"}`)
					} else {
						took(what + ", Execute")
						wantInterrupted(t, what+", Execute", err, true, cut.wants(p, inside)...)
					}
					wantIs(t, what+", the wait for events", <-waiting, cut.wants(p, inside)...)
					synctest.Wait()
					err = c.Disconnect(t.Context())
					if cut.name == "stall" {
						wantNil(t, what+", Disconnect", err)
					} else {
						wantIs(t, what+", Disconnect", err, cut.wants(p, inside)...)
					}
					wantTransitions(t, w, "IDLE CONNECTING RUNNING DISCONNECTING IDLE")
				})
			}
		})
	}
}

func endOfFile(_ progress, inside bool) []error {
	if inside {
		return []error{io.ErrUnexpectedEOF}
	}
	return []error{io.EOF}
}

// wantHandshakeError checks that an error of the handshake names its part: not
// where the stream has merely ended, or was reset.
func wantHandshakeError(t *testing.T, what string, err error, p progress, broken, reset bool) {
	t.Helper()
	_, greeting := errors.AsType[*async.GreetingError](err)
	_, negotiation := errors.AsType[*async.NegotiationError](err)
	if greeting != (broken && !reset && p == noGreeting) || negotiation != (broken && !reset && p == noReply) {
		t.Errorf("%s: got error %v (%T), want it to name the part of the handshake that was broken", what, err, err)
	}
}

// A server that greets garbage, each with its error.
func TestBadInputGreetings(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		sends, reason string
		received      string
	}{
		"not JSON":          {sends: "HTTP/1.1 400 Bad Request\r\n", reason: async.NotJSON},
		"nothing but CRLF":  {sends: "\r\n\r\n", reason: ""},
		"binary":            {sends: "\x16\x03\x01\x02\x00", reason: async.NotJSON},
		"an array":          {sends: "[]", reason: async.NotObject},
		"a number":          {sends: "1", reason: async.NotObject},
		"a literal":         {sends: "null\n", reason: async.NotObject},
		"a text":            {sends: `"QMP"`, reason: async.NotObject},
		"too large":         {sends: `{"QMP":"` + strings.Repeat("x", 5000), reason: async.TooLarge},
		"too deep":          {sends: strings.Repeat(`{"QMP":`, 10_001), reason: async.TooDeep},
		"a command":         {sends: `{"execute":"x"}`, received: `{"execute":"x"}`},
		"a long other text": {sends: `{"a":"` + strings.Repeat("x", 500) + `"}`, received: `{"a":"` + strings.Repeat("x", 154) + "..."},
		"a list as version": {sends: `{"QMP":{"version":[],"capabilities":[]}}`, received: `{"QMP":{"version":[],"capabilities":[]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				max := 0
				if tt.reason == async.TooLarge {
					max = 4096
				}
				c := newClient(t, &async.Options{MaxMessage: max, Dialer: memory(t, qmptest.Send(tt.sends), qmptest.Stall()).Dial})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := c.Connect(ctx, "")
				e := wantAs[*async.GreetingError](t, "Connect", err)
				if e.Received != tt.received {
					t.Errorf("got Received %q, want %q", e.Received, tt.received)
				}
				if tt.reason != "" {
					if m := wantAs[*async.MessageError](t, "Connect", err); m.Reason != tt.reason {
						t.Errorf("got Reason %q, want %q", m.Reason, tt.reason)
					}
				}
				if name == "nothing but CRLF" {
					wantIs(t, "Connect", err, context.DeadlineExceeded)
				}
				wantText(t, "Connect", err, "greeting")
				if len(err.Error()) > 600 {
					t.Errorf("the error takes %d bytes to say it", len(err.Error()))
				}
			})
		})
	}
}

// A server that never reads holds up whoever writes, until its context ends, and
// nobody else; what it says is still heard.
func TestBadInputServerThatNeverReads(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := qmptest.Play(t, &qmptest.ScriptOptions{Network: qmptest.Memory, PipeSize: 100}, connected("",
			qmptest.Pause(time.Second), qmptest.Event("E", ""), qmptest.StopReading())...)
		c := dial(t, p, nil)
		l := c.NewListener(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		writing := start(ctx, c, async.Command{Name: "x", Args: map[string]any{"x": strings.Repeat("x", 1000)}})
		waiting := start(ctx, c, async.Command{Name: "y"})
		if ev, err := l.Next(t.Context()); err != nil || ev.Name != "E" {
			t.Errorf("the listener: got %q and error %v, want E", ev.Name, err)
		}
		sent := 0
		for _, call := range []<-chan result{writing, waiting} {
			err := (<-call).err
			e := wantAs[*async.ExecInterruptedError](t, "the call", err)
			wantIs(t, "the call", err, context.DeadlineExceeded)
			if e.Sent {
				sent++
			}
		}
		if sent == 0 {
			t.Error("no call says that a part of it was sent")
		}
		begin := time.Now()
		ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		c.Disconnect(ctx)
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("Disconnect: took %v, want at most the 5s of its context", took)
		}
	})
}
