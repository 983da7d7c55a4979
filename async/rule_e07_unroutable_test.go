// Tests of rule E7 (a message that belongs to nobody disturbs nobody): what is dropped
// and logged, and which reply answers which command.
// The code that they hold: receive.go and calls.go.
package async_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A message that nobody waits for is dropped and logged. Nothing else happens.
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
		"neither reply nor event":             `{"hello":"world"}`,
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
			// What it returns may be a secret: its command is not known.
			logged := msg
			if !strings.Contains(msg, `"QMP"`) { // a greeting is logged as it is
				logged = strings.Replace(msg, `"return":1`, `"return":"***"`, 1)
			}
			if len(warnings) != 1 || warnings[0]["qmp"] != "vm7" || warnings[0]["message"] != logged {
				t.Errorf("warnings in the log: got %v, want one, of vm7, about %s", warnings, logged)
			}
			wantNothingPending(t, c)
		})
	}
}

// A caller's id is a string. It is sent as it is, and must not be the id of an
// unanswered command.
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

		reply, err := c.Do(t.Context(), async.Command{Name: "x", ID: "mine"}) // the id is free again
		wantNil(t, "the id again", err)
		if v, err := reply.Value(); err != nil || string(v) != "3" || !strings.Contains(string(reply.Raw()), `"mine"`) {
			t.Errorf("the id again: got %s, %v", reply.Raw(), err)
		}
		// A caller's "2" and the engine's 2 are different ids.
		textual := start(t.Context(), c, async.Command{Name: "x", ID: "2"})
		synctest.Wait()
		whole := start(t.Context(), c, async.Command{Object: async.Members{{"id", "é"}, {"execute", "x"}}})
		got = <-textual
		wantValue(t, "a number as a string", got.value, got.err, "4")
		got = <-whole
		wantValue(t, "an id in an object", got.value, got.err, "5")
		execute(t, c, "x", "6")
		wantNothingPending(t, c)
	})
}

// An id can be used again as soon as its command is answered, even before the
// caller has the reply. If that caller then gives up, the next command with the
// id still gets its reply.
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
				// The reply before it has been read, and its caller does not have it yet.
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

// A reply answers only its own command, in whatever order the replies come.
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

// Where a reply repeats a key, the last value counts.
func TestE7RepeatedKeysInAReply(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("", qmptest.Expect("x"), qmptest.Send(`{"id":99,"return":1,"return":2,"id":2}`))...)
	c := dial(t, p, nil)
	execute(t, c, "x", "2")
}

// A reply that is neither a success nor an error fails its own call only.
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
			t.Errorf("the error text has %d bytes, want less than 500", len(err.Error()))
		}
	}
	_, err := async.Call[int](t.Context(), c, "x", nil)
	wantText(t, "Call", err, "qmp: x: reply does not fit a *int")
	execute(t, c, "x", "{}")
}
