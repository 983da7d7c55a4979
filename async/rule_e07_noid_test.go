// Tests of rule E7 (a message that belongs to nobody disturbs nobody): errors without
// an id, and which command they answer.
// The code that they hold: receive.go and calls.go.
package async_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// An error without an id answers the only unanswered command, if that command
// allows it and has no id of the caller's. Otherwise the connection ends, since
// nobody can know which command failed.
func TestE7ErrorWithoutID(t *testing.T) {
	t.Parallel()
	takes := async.Command{Name: "x", TakesErrorWithoutID: true}
	for _, tt := range []struct {
		name     string
		pending  []async.Command
		answered bool
	}{
		{"the only one takes it", []async.Command{takes}, true},
		{"the only one takes it, out of band", []async.Command{{Name: "x", OOB: true, TakesErrorWithoutID: true}}, true},
		{"a whole object takes it", []async.Command{{Object: map[string]any{"execute": "x"}, TakesErrorWithoutID: true}}, true},
		{"the only one does not take it", []async.Command{{Name: "x"}}, false},
		{"two are pending", []async.Command{takes, takes}, false},
		{"no command is pending", nil, false},
		{"the caller's id", []async.Command{{Name: "x", ID: "mine", TakesErrorWithoutID: true}}, false},
		{"the caller's id in an object", []async.Command{{Object: map[string]any{"execute": "x", "id": "mine"}, TakesErrorWithoutID: true}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				var steps []qmptest.Step
				for range tt.pending {
					steps = append(steps, qmptest.ExpectFunc("x", func(qmptest.Message) error { return nil }))
				}
				steps = append(steps, qmptest.AwaitMark("answer"), qmptest.ReturnError("GenericError", "JSON parse error", qmptest.NoID()))
				if tt.answered {
					steps = append(steps, qmptest.Expect("next"), qmptest.Return(`{}`))
				} else {
					steps = append(steps, qmptest.ExpectEOF())
				}
				p := memory(t, connected("oob", steps...)...)
				c := dial(t, p, nil)
				var calls []<-chan result
				for _, cmd := range tt.pending {
					calls = append(calls, start(t.Context(), c, cmd))
				}
				synctest.Wait()
				p.Mark("answer")
				if tt.answered {
					e := wantAs[*async.ExecuteError](t, "the call", (<-calls[0]).err)
					if e.Class != "GenericError" || e.Desc != "JSON parse error" || e.Command != "x" {
						t.Errorf("the call: got %+v", *e)
					}
					execute(t, c, "next", "{}")
					wantNothingPending(t, c)
					return
				}
				for _, call := range calls {
					err := (<-call).err
					wantInterrupted(t, "the call", err, true)
					wantAs[*async.ServerParseError](t, "the call", err)
				}
				synctest.Wait()
				err := c.Disconnect(t.Context())
				e := wantAs[*async.ServerParseError](t, "Disconnect", err)
				if e.Class != "GenericError" || e.Desc != "JSON parse error" {
					t.Errorf("Disconnect: got %+v", *e)
				}
				wantAs[async.ProtocolError](t, "Disconnect", err)
				wantText(t, "Disconnect", err, "the server could not parse what it received: JSON parse error (GenericError)")
			})
		})
	}
}

// giveUp executes x, and gives up after a second without a reply.
func giveUp(t *testing.T, c *async.Client, takes bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := c.Do(ctx, async.Command{Name: "x", TakesErrorWithoutID: takes})
	wantInterrupted(t, "x", err, true, context.DeadlineExceeded)
}

var lateError = qmptest.ReturnError("GenericError", "JSON parse error", qmptest.NoID())

// The caller of the command that the error answers has given up. The error is
// dropped, and the connection goes on.
func TestE7LateErrorWithoutID(t *testing.T) {
	t.Parallel()
	for _, capability := range []string{"", "oob"} {
		bubble(t, func(t *testing.T) {
			p := memory(t, connected(capability, qmptest.Expect("x"), qmptest.Pause(2*time.Second), lateError,
				qmptest.Expect("next"), qmptest.Return(`{}`),
				qmptest.Expect("y"), lateError)...)
			c := dial(t, p, nil)
			giveUp(t, c, true)
			time.Sleep(2 * time.Second) // until the error has come: with another command pending it would end the connection
			execute(t, c, "next", `{}`)
			wantNothingPending(t, c)
			// The late error has been used up: the next one answers y.
			reply, err := c.Do(t.Context(), async.Command{Name: "y", TakesErrorWithoutID: true})
			wantNil(t, "y", err)
			wantAs[*async.ExecuteError](t, "y", reply.Err())
		})
	}
}

// The error may answer a command that was given up. So no other command gets
// it, and the connection ends.
func TestE7LateErrorWithoutIDIsNotAnothers(t *testing.T) {
	t.Parallel()
	for _, capability := range []string{"", "oob"} {
		for _, takes := range []bool{false, true} {
			bubble(t, func(t *testing.T) {
				p := memory(t, connected(capability, qmptest.Expect("x"), qmptest.Expect("y"), lateError, qmptest.ExpectEOF())...)
				c := dial(t, p, nil)
				giveUp(t, c, takes)
				_, err := c.Do(t.Context(), async.Command{Name: "y", TakesErrorWithoutID: true})
				wantInterrupted(t, "y", err, true)
				wantAs[*async.ServerParseError](t, "y", err)
			})
		}
	}
}

// Several commands were given up, or one that does not take such an error.
// Nobody can know which of them the error answers, and the connection ends.
func TestE7LateErrorWithoutIDOfSeveral(t *testing.T) {
	t.Parallel()
	for _, capability := range []string{"", "oob"} {
		for _, takes := range [][]bool{{true, true}, {false}} {
			bubble(t, func(t *testing.T) {
				var steps []qmptest.Step
				for range takes {
					steps = append(steps, qmptest.Expect("x"))
				}
				p := memory(t, connected(capability, append(steps, qmptest.Pause(2*time.Second), lateError, qmptest.ExpectEOF())...)...)
				c := dial(t, p, nil)
				for _, takes := range takes {
					giveUp(t, c, takes)
				}
				time.Sleep(2 * time.Second)
				wantAs[*async.ServerParseError](t, "Disconnect", c.Disconnect(t.Context()))
			})
		}
	}
}

// A late reply shows that the command which was given up has been answered. So
// does the reply to a later command. No other message shows that.
func TestE7LateReplySettlesWhatWasGivenUp(t *testing.T) {
	t.Parallel()
	late := func(id string) []qmptest.Step {
		return []qmptest.Step{qmptest.Pause(2 * time.Second), qmptest.Send(`{"return":{},"id":` + id + `}`)}
	}
	for _, tt := range []struct {
		name    string
		steps   []qmptest.Step // after x, whose id is 2
		later   bool           // z is executed before y
		settled bool
	}{
		{"its own", late("2"), false, true},
		{"a later one's", []qmptest.Step{qmptest.Expect("z"), qmptest.Return(`{}`)}, true, true},
		{"an earlier one's", late("1"), false, false},
		{"an id that was never used", late("99"), false, false},
		{"a text", late(`"2"`), false, false},
	} {
		bubble(t, func(t *testing.T) {
			steps := append(append([]qmptest.Step{qmptest.Expect("x")}, tt.steps...), qmptest.Expect("y"), lateError)
			if !tt.settled {
				steps = append(steps, qmptest.ExpectEOF())
			}
			c := dial(t, memory(t, connected("", steps...)...), nil)
			giveUp(t, c, true)
			if tt.later {
				execute(t, c, "z", `{}`)
			}
			time.Sleep(2 * time.Second)
			reply, err := c.Do(t.Context(), async.Command{Name: "y", TakesErrorWithoutID: true})
			if tt.settled {
				wantNil(t, tt.name, err)
				wantAs[*async.ExecuteError](t, tt.name, reply.Err())
			} else {
				wantAs[*async.ServerParseError](t, tt.name, err)
			}
		})
	}
}

// An error without an id that is malformed ends the connection, too.
func TestE7MalformedErrorWithoutID(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("", qmptest.Expect("x"), qmptest.Send("{\"error\":\r\n7}"), qmptest.ExpectEOF())...)
	c := dial(t, p, nil)
	_, err := c.Execute(t.Context(), "x", nil)
	wantAs[*async.ServerParseError](t, "x", err)
	wantText(t, "x", err, `"error"`)
}

// During the handshake an error without an id is a NegotiationError.
func TestE7ErrorWithoutIDInTheHandshake(t *testing.T) {
	t.Parallel()
	for _, id := range []qmptest.Target{qmptest.NoID(), qmptest.Back(0)} {
		p := memory(t, qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.ReturnError("CommandNotFound", "no\nsuch thing", id), qmptest.ExpectEOF())
		c := newClient(t, &async.Options{Dialer: p.Dial})
		err := c.Connect(t.Context(), "")
		e := wantAs[*async.NegotiationError](t, "Connect", err)
		if e.Class != "CommandNotFound" || e.Desc != "no\nsuch thing" {
			t.Errorf("Connect: got %+v", *e)
		}
		wantAs[async.ProtocolError](t, "Connect", err)
		wantText(t, "Connect", err, "capabilities negotiation refused: no such thing (CommandNotFound)")
	}
}

// A command is answered just before its caller gives up. The engine does not
// expect another answer to it.
func TestE7AnsweredBeforeItWasGivenUp(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("",
			qmptest.Expect("a"), qmptest.Send(`{"return":{},"id":2}{"event":"E"}`),
			qmptest.Expect("b"), qmptest.ReturnError("GenericError", "JSON parse error", qmptest.NoID()))...)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := dial(t, p, &async.Options{OnReceive: func(m json.RawMessage) json.RawMessage {
			if strings.Contains(string(m), `"E"`) {
				cancel()
				time.Sleep(time.Millisecond) // in a bubble, the caller is certain to run before this ends
			}
			return nil
		}})
		_, err := c.Do(ctx, async.Command{Name: "a", TakesErrorWithoutID: true})
		wantInterrupted(t, "a", err, true, context.Canceled)
		reply, err := c.Do(t.Context(), async.Command{Name: "b", TakesErrorWithoutID: true})
		wantNil(t, "b", err)
		wantText(t, "b", reply.Err(), "JSON parse error")
		wantNothingPending(t, c)
	})
}

// OnReceive may use the memory of what it returned again.
func TestE2HookUsesItsMemoryAgain(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("", qmptest.Expect("x"), qmptest.Send(`{"event":"A"}{"event":"B"}{"event":"C"}{"return":{},"id":2}`), qmptest.ExpectEOF())...)
	var buf []byte
	c := newClient(t, &async.Options{Dialer: p.Dial, OnReceive: func(m json.RawMessage) json.RawMessage {
		buf = append(buf[:0], m...)
		return buf
	}})
	l := c.NewListener(nil)
	connect(t, c)
	execute(t, c, "x", "{}")
	events, err := l.Drain()
	wantNil(t, "Drain", err)
	var names []string
	for _, ev := range events {
		names = append(names, ev.Name+string(ev.Raw()))
	}
	if got, want := strings.Join(names, " "), `A{"event":"A"} B{"event":"B"} C{"event":"C"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Several commands were given up. Only the reply to the newest one shows that
// no answer is still to come.
func TestE7LateReplyToAnEarlierOneSettlesNothing(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("", qmptest.Expect("x"), qmptest.Expect("x"), qmptest.Pause(2*time.Second), qmptest.Send(`{"return":{},"id":2}`),
			qmptest.Expect("y"), lateError, qmptest.ExpectEOF())...)
		c := dial(t, p, nil)
		giveUp(t, c, true)
		giveUp(t, c, true)
		time.Sleep(3 * time.Second)
		_, err := c.Do(t.Context(), async.Command{Name: "y", TakesErrorWithoutID: true})
		wantAs[*async.ServerParseError](t, "y", err)
	})
}

// A late error without an id answers the command that was given up. The next
// such error answers the next command.
func TestE7LateErrorIsDoneWith(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("", qmptest.Expect("x"), qmptest.Pause(2*time.Second), lateError, qmptest.Expect("y"), lateError)...)
		c := dial(t, p, nil)
		giveUp(t, c, true)
		time.Sleep(2 * time.Second)
		reply, err := c.Do(t.Context(), async.Command{Name: "y", TakesErrorWithoutID: true})
		wantNil(t, "y", err)
		wantAs[*async.ExecuteError](t, "y", reply.Err())
	})
}
