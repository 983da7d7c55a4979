// Tests of rule E7 (a message that belongs to nobody disturbs nobody).
// The code that they hold: receive.go and calls.go.
package async_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// What nobody waits for is dropped and logged, and nothing else happens.
func TestE7UnroutableIsDroppedAndLogged(t *testing.T) {
	t.Parallel()
	for name, msg := range map[string]string{
		"id of a command that was never sent": `{"return":1,"id":99}`,
		"id that was answered":                `{"return":1,"id":1}`,
		"error with an unknown id":            `{"error":{"class":"C","desc":"D"},"id":99}`,
		"string id":                           `{"return":1,"id":"2"}`,
		"empty string id":                     `{"return":1,"id":""}`,
		"negative id":                         `{"return":1,"id":-2}`,
		"fractional id":                       `{"return":1,"id":2.0}`,
		"id in another notation":              `{"return":1,"id":2e0}`,
		"huge id":                             `{"return":1,"id":18446744073709551618}`,
		"boolean id":                          `{"return":1,"id":true}`,
		"object id":                           `{"return":1,"id":{"a":2}}`,
		"array id":                            `{"return":1,"id":[2]}`,
		"null id":                             `{"return":1,"id":null}`,
		"success without id":                  `{"return":1}`,
		"second greeting":                     `{"QMP":{"version":{"qemu":{"major":1,"minor":1,"micro":1}},"capabilities":[]}}`,
		"greeting that claims to be a reply":  `{"QMP":{},"return":1,"id":2}`,
		"none of these":                       `{"hello":"world"}`,
		"an empty object":                     `{}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log logbook
			p := memory(t, connected("oob", qmptest.Expect("x"), qmptest.Send(msg), qmptest.Return(`"right"`))...)
			c := dial(t, p, &async.Options{Nickname: "vm7", Logger: log.logger()})
			l := c.NewListener(nil)
			execute(t, c, "x", `"right"`)
			wantState(t, c, async.Running)
			if ev, ok, err := l.TryNext(); ok || err != nil {
				t.Errorf("a listener got %q, %v", ev.Name, err)
			}
			var warnings []map[string]any
			for _, r := range log.records(t) {
				if r["level"] == "WARN" {
					warnings = append(warnings, r)
				}
			}
			// What it returns may be a secret: nobody knows whose it is.
			logged := msg
			if !strings.Contains(msg, `"QMP"`) { // that one names the command
				logged = strings.Replace(msg, `"return":1`, `"return":"***"`, 1)
			}
			if len(warnings) != 1 || warnings[0]["qmp"] != "vm7" || warnings[0]["message"] != logged {
				t.Errorf("warnings in the log: got %v, want one, of vm7, about %s", warnings, logged)
			}
			wantIdleBooks(t, c)
		})
	}
}

// An error without id answers the only unanswered command if that allows it and
// has no id of the caller's; else the connection ends, since nobody knows which
// command was lost.
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
		{"nobody waits", nil, false},
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
					wantIdleBooks(t, c)
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

// giveUp executes x for a second, in vain.
func giveUp(t *testing.T, c *async.Client, takes bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := c.Do(ctx, async.Command{Name: "x", TakesErrorWithoutID: takes})
	wantInterrupted(t, "x", err, true, context.DeadlineExceeded)
}

var lateError = qmptest.ReturnError("GenericError", "JSON parse error", qmptest.NoID())

// Where the caller of that command has gone, nobody gets it, and the connection
// goes on.
func TestE7LateErrorWithoutID(t *testing.T) {
	t.Parallel()
	for _, capability := range []string{"", "oob"} {
		bubble(t, func(t *testing.T) {
			p := memory(t, connected(capability, qmptest.Expect("x"), qmptest.Pause(2*time.Second), lateError,
				qmptest.Expect("next"), qmptest.Return(`{}`),
				qmptest.Expect("y"), lateError)...)
			c := dial(t, p, nil)
			giveUp(t, c, true)
			time.Sleep(2 * time.Second) // until the error has come: with another one pending nobody could tell
			execute(t, c, "next", `{}`)
			wantIdleBooks(t, c)
			// That one is done with.
			reply, err := c.Do(t.Context(), async.Command{Name: "y", TakesErrorWithoutID: true})
			wantNil(t, "y", err)
			wantAs[*async.ExecuteError](t, "y", reply.Err())
		})
	}
}

// While one that was given up may be meant, another one does not get it.
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

// Of several that were given up, or of one that does not take it, nobody knows
// which is meant.
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

// A late reply says that it is answered, and so does the reply to a later command;
// another message says nothing.
func TestE7LateReplySettlesWhatWasGivenUp(t *testing.T) {
	t.Parallel()
	late := func(id string) []qmptest.Step {
		return []qmptest.Step{qmptest.Pause(2 * time.Second), qmptest.Send(`{"return":{},"id":` + id + `}`)}
	}
	for _, tt := range []struct {
		name    string
		steps   []qmptest.Step // behind x, whose id is 2
		later   bool           // z is executed meanwhile
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

// Also where the error is malformed.
func TestE7MalformedErrorWithoutID(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("", qmptest.Expect("x"), qmptest.Send("{\"error\":\r\n7}"), qmptest.ExpectEOF())...)
	c := dial(t, p, nil)
	_, err := c.Execute(t.Context(), "x", nil)
	wantAs[*async.ServerParseError](t, "x", err)
	wantText(t, "x", err, `"error"`)
}

// In the handshake it is a NegotiationError.
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

// deep returns an object of that many levels.
func deep(levels int) json.RawMessage {
	return json.RawMessage(strings.Repeat(`{"a":`, levels-1) + `{}` + strings.Repeat(`}`, levels-1))
}

// Before sending, what QEMU cannot parse is refused: nothing is sent, and the
// connection goes on.
func TestE7RefusedBeforeSending(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	tests := []struct {
		name   string
		cmd    async.Command
		opts   async.Options
		reason async.Reason
		limit  int
		text   []string
	}{
		{name: "lone surrogate in raw JSON", cmd: async.Command{Name: "x", Args: json.RawMessage(`{"a":"\ud800"}`)}, reason: async.Refused, text: []string{"surrogate"}},
		{name: "lone low surrogate", cmd: async.Command{Name: "x", Args: json.RawMessage(`{"a":"\udc00\ud800"}`)}, reason: async.Refused, text: []string{"surrogate"}},
		{name: "invalid UTF-8 in raw JSON", cmd: async.Command{Name: "x", Args: json.RawMessage("{\"a\":\"\xff\"}")}, reason: async.Refused, text: []string{"UTF-8"}},
		{name: "invalid UTF-8 in a string", cmd: async.Command{Name: "x", Args: object{"a": "\xff"}}, reason: async.Refused, text: []string{"UTF-8"}},
		{name: "repeated key in raw JSON", cmd: async.Command{Name: "x", Args: json.RawMessage(`{"a":1,"a":2}`)}, reason: async.Refused, text: []string{"duplicate"}},
		{name: "repeated key in Members", cmd: async.Command{Name: "x", Args: async.Members{{"a", 1}, {"a", 2}}}, reason: async.Refused, text: []string{"duplicate"}},
		{name: "repeated key in a whole object", cmd: async.Command{Object: json.RawMessage(`{"execute":"x","execute":"y"}`)}, reason: async.Refused, text: []string{"duplicate"}},
		{name: "noncharacter", cmd: async.Command{Name: "x", Args: object{"a": "\ufffe"}}, reason: async.Refused},
		{name: "not JSON", cmd: async.Command{Name: "x", Args: json.RawMessage(`{`)}, reason: async.Refused},
		{name: "two values", cmd: async.Command{Name: "x", Args: json.RawMessage(`{}{}`)}, reason: async.Refused},
		{name: "an array", cmd: async.Command{Name: "x", Args: []int{1}}, reason: async.Refused, text: []string{"an array", "not to a JSON object"}},
		{name: "null", cmd: async.Command{Name: "x", Args: json.RawMessage(`null`)}, reason: async.Refused, text: []string{"null"}},
		{name: "a string", cmd: async.Command{Name: "x", Args: "text"}, reason: async.Refused, text: []string{"a string"}},
		{name: "not a number", cmd: async.Command{Name: "x", Args: object{"a": math.NaN()}}, reason: async.Refused},
		{name: "what has no JSON", cmd: async.Command{Name: "x", Args: object{"a": make(chan int)}}, reason: async.Refused},
		{name: "no object as a message", cmd: async.Command{Object: []int{}}, reason: async.Refused},
		{name: "1,001 levels", cmd: async.Command{Name: "x", Args: deep(1000)}, reason: async.TooDeep, limit: 1000, text: []string{"1000 levels"}},
		{name: "1,001 levels in a whole object", cmd: async.Command{Object: deep(1001)}, reason: async.TooDeep, limit: 1000, text: []string{"1000 levels"}},
		{
			name: "larger than the option", opts: async.Options{MaxMessage: 4096},
			cmd:    async.Command{Name: "x", Args: object{"a": strings.Repeat("x", 4096)}},
			reason: async.TooLarge, limit: 4096, text: []string{"4096 bytes", "Options.MaxMessage"},
		},
		{
			name: "a whole object larger than the option", opts: async.Options{MaxMessage: 4096},
			cmd:    async.Command{Object: object{"execute": "x", "a": strings.Repeat("x", 4096)}},
			reason: async.TooLarge, limit: 4096, text: []string{"4096 bytes", "Options.MaxMessage"},
		},
		{
			name: "larger only with what goes around it", opts: async.Options{MaxMessage: 4096},
			cmd:    async.Command{Name: "x", Args: object{"a": strings.Repeat("x", 4080)}},
			reason: async.TooLarge, limit: 4096, text: []string{"4096 bytes", "Options.MaxMessage"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := tt.opts
			p := memory(t, connected("oob", qmptest.Expect("next"), qmptest.Return(`{}`))...)
			c := dial(t, p, &opts)
			_, err := c.Do(t.Context(), tt.cmd)
			e := wantAs[*async.MessageError](t, "Do", err)
			label := tt.cmd.Name
			if label == "" {
				label = "message"
			}
			if tt.cmd.Object != nil && tt.reason == async.TooLarge {
				label = "x"
			}
			if e.Reason != tt.reason || e.Limit != tt.limit || e.Command != label {
				t.Errorf("got Reason %q, Limit %d, Command %q, want %q, %d, %q", e.Reason, e.Limit, e.Command, tt.reason, tt.limit, label)
			}
			wantAs[async.ProtocolError](t, "Do", err)
			wantText(t, "Do", err, append(tt.text, "qmp: "+label+": not sent: ")...)
			execute(t, c, "next", "{}")
			wantIdleBooks(t, c)
		})
	}
}

// Just within the bounds is sent.
func TestE7AllowedBeforeSending(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("",
		qmptest.ExpectJSON(`{"execute":"x","arguments":`+string(deep(999))+`}`), qmptest.Return(`{}`),
		qmptest.ExpectRaw(`{"execute":"x","arguments":{"a":"\ud83d\ude00\u00e9\u0000","b":"\u007f"},"id":3}`), qmptest.Return(`{}`),
		qmptest.ExpectFunc("the largest", func(m qmptest.Message) error {
			if len(m.Raw) != 4096 {
				return fmt.Errorf("got %d bytes, want 4096", len(m.Raw))
			}
			return nil
		}), qmptest.Return(`{}`))...)
	c := dial(t, p, &async.Options{MaxMessage: 4096 * 2})
	_, err := c.Execute(t.Context(), "x", deep(999))
	wantNil(t, "1,000 levels", err)
	_, err = c.Execute(t.Context(), "x", json.RawMessage(`{"a":"\ud83d\ude00é\u0000","b":"`+"\x7f"+`"}`))
	wantNil(t, "escapes", err)
	around := len(`{"execute":"x","arguments":{"a":""},"id":4}`)
	_, err = c.Execute(t.Context(), "x", map[string]any{"a": strings.Repeat("x", 4096-around)})
	wantNil(t, "the largest", err)
}

// An id of the caller's is a string, goes on the wire as it is, and must not
// belong to an unanswered command.
func TestE7CallersIDs(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("",
			qmptest.ExpectRaw(`{"execute":"x","id":"mine"}`), qmptest.Expect("y"), qmptest.Return(`2`), qmptest.Return(`1`, qmptest.Back(1)),
			qmptest.ExpectRaw(`{"execute":"x","id":"mine"}`), qmptest.Return(`3`),
			qmptest.ExpectRaw(`{"execute":"x","id":"2"}`), qmptest.ExpectRaw(`{"id":"\u00e9","execute":"x"}`),
			qmptest.Return(`5`), qmptest.Return(`4`, qmptest.Back(1)),
			qmptest.ExpectRaw(`{"execute":"x","id":3}`), qmptest.Return(`6`))...)
		c := dial(t, p, nil)
		first := start(t.Context(), c, async.Command{Name: "x", ID: "mine"})
		synctest.Wait()
		for _, cmd := range []async.Command{{Name: "y", ID: "mine"}, {Object: json.RawMessage(`{"execute":"y","id":"min\u0065"}`)}} {
			_, err := c.Do(t.Context(), cmd)
			if e := wantAs[*async.InvalidIDError](t, "an id that is taken", err); e.ID != `"mine"` {
				t.Errorf("an id that is taken: got ID %s", e.ID)
			}
			wantText(t, "an id that is taken", err, `invalid id "mine"`, "unanswered")
		}
		for _, id := range []string{"1", "null", "true", "[]", `{"a":1}`, "1.5"} {
			_, err := c.Do(t.Context(), async.Command{Object: json.RawMessage(`{"execute":"y","id":` + id + `}`)})
			if e := wantAs[*async.InvalidIDError](t, "id "+id, err); e.ID != id {
				t.Errorf("id %s: got ID %s", id, e.ID)
			}
			wantText(t, "id "+id, err, "must be a string")
		}
		execute(t, c, "y", "2")
		got := <-first
		wantValue(t, "the first", got.value, got.err, "1")

		reply, err := c.Do(t.Context(), async.Command{Name: "x", ID: "mine"}) // it is free again
		wantNil(t, "the id again", err)
		if v, err := reply.Value(); err != nil || string(v) != "3" || !strings.Contains(string(reply.Raw()), `"mine"`) {
			t.Errorf("the id again: got %s, %v", reply.Raw(), err)
		}
		// A caller's "2" and the engine's 2 do not meet.
		textual := start(t.Context(), c, async.Command{Name: "x", ID: "2"})
		synctest.Wait()
		whole := start(t.Context(), c, async.Command{Object: async.Members{{"id", "é"}, {"execute", "x"}}})
		got = <-textual
		wantValue(t, "a number as a string", got.value, got.err, "4")
		got = <-whole
		wantValue(t, "an id in an object", got.value, got.err, "5")
		execute(t, c, "x", "6")
		wantIdleBooks(t, c)
	})
}

// An id is free once its command is answered, even before the caller knows; that
// this caller then gives up takes nothing from the id's next owner.
func TestE7IDGoesToItsNextOwner(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := memory(t, connected("", qmptest.Expect("first"), qmptest.Send(`{"return":1,"id":"mine"}{"event":"E"}`),
			qmptest.Expect("second"), qmptest.Pause(time.Second), qmptest.Return(`2`))...)
		var second <-chan result
		ctx, cancel := context.WithCancel(t.Context())
		var c *async.Client
		c = dial(t, p, &async.Options{OnReceive: func(msg json.RawMessage) json.RawMessage {
			if strings.Contains(string(msg), "event") {
				// The reply in front of it has been seen, and not handed out yet.
				second = start(t.Context(), c, async.Command{Name: "second", ID: "mine"})
				synctest.Wait()
				cancel()
				synctest.Wait()
			}
			return nil
		}})
		_, err := c.Do(ctx, async.Command{Name: "first", ID: "mine"})
		wantInterrupted(t, "first", err, true, context.Canceled)
		got := <-second
		wantValue(t, "second", got.value, got.err, "2")
	})
}

// A reply answers its command alone, in whichever order replies come.
func TestE7RepliesFindTheirCallers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		const n = 20
		var steps []qmptest.Step
		for range n {
			steps = append(steps, qmptest.Expect("x"))
		}
		for i := range n {
			steps = append(steps, qmptest.Return(fmt.Sprint(n-1-i), qmptest.Back(i)))
		}
		c := dial(t, memory(t, connected("", steps...)...), nil)
		var calls []<-chan result
		for range n {
			calls = append(calls, start(context.Background(), c, async.Command{Name: "x"}))
			synctest.Wait()
		}
		for i, call := range calls {
			got := <-call
			wantValue(t, "x", got.value, got.err, fmt.Sprint(i))
		}
	})
}

// Of repeated keys in a reply the last one counts.
func TestE7RepeatedKeysInAReply(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("", qmptest.Expect("x"), qmptest.Send(`{"id":99,"return":1,"return":2,"id":2}`))...)
	c := dial(t, p, nil)
	execute(t, c, "x", "2")
}

// A reply that is neither success nor error concerns its call alone.
func TestE7BadReply(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1000)
	p := memory(t, connected("",
		qmptest.Expect("x"), qmptest.Reply(`{"id":$id,"huh":"`+long+`"}`),
		qmptest.Expect("x"), qmptest.Reply(`{"id":$id,"error":{"class":"C"}}`),
		qmptest.Expect("x"), qmptest.Reply(`{"id":$id,"error":"text","return":1}`),
		qmptest.Expect("x"), qmptest.Reply(`{"id":$id,"return":"text"}`),
		qmptest.Expect("x"), qmptest.Return(`{}`))...)
	c := dial(t, p, nil)
	for range 3 {
		_, err := c.Execute(t.Context(), "x", nil)
		e := wantAs[*async.BadReplyError](t, "x", err)
		if e.Command != "x" || e.Reply.Raw() == nil {
			t.Errorf("x: got %+v", *e)
		}
		wantAs[async.ProtocolError](t, "x", err)
		wantText(t, "x", err, "qmp: x: malformed reply: ")
		if len(err.Error()) > 500 {
			t.Errorf("the error takes %d bytes to say it", len(err.Error()))
		}
	}
	_, err := async.Call[int](t.Context(), c, "x", nil)
	wantText(t, "Call", err, "qmp: x: reply does not fit a *int")
	execute(t, c, "x", "{}")
}

// A command that was answered a moment before it was given up is not taken for
// one that may be answered yet.
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
				time.Sleep(time.Millisecond) // the caller comes first: in a bubble that is certain
			}
			return nil
		}})
		_, err := c.Do(ctx, async.Command{Name: "a", TakesErrorWithoutID: true})
		wantInterrupted(t, "a", err, true, context.Canceled)
		reply, err := c.Do(t.Context(), async.Command{Name: "b", TakesErrorWithoutID: true})
		wantNil(t, "b", err)
		wantText(t, "b", reply.Err(), "JSON parse error")
		wantIdleBooks(t, c)
	})
}

// Of several that were given up only the newest one's reply says that nothing is
// to come any more.
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

// A late error without an id is done with: the next one is the next command's.
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
