// Tests of Call over a Caller that is not a Client, of ParseReply and
// ParseEvent, and of the map forms.
// The code that they hold: caller.go, reply.go and event.go.
package async_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// A player is a Caller that answers commands with replies that were received
// elsewhere.
type player map[string]string

func (p player) Do(ctx context.Context, cmd async.Command) (async.Reply, error) {
	if err := ctx.Err(); err != nil {
		return async.Reply{}, err
	}
	return async.ParseReply(cmd.Name, []byte(p[cmd.Name]))
}

func TestCallOverACaller(t *testing.T) {
	t.Parallel()
	type node struct {
		NodeName string
		Size     any
	}
	p := player{
		"good":    `{"return": {"node-name": "disk0", "size": 9007199254740993}, "id": 7}`,
		"refused": `{"error": {"class": "DeviceNotFound", "desc": "no"}, "id": 7}`,
		"bad":     `{"id": 7}`,
		"cut":     `{"return": {`,
	}
	if got, err := async.Call[node](t.Context(), p, "good", nil); err != nil || got != (node{"disk0", int64(1<<53 + 1)}) {
		t.Errorf("good: got %+v and error %v", got, err)
	}
	_, err := async.Call[node](t.Context(), p, "refused", nil)
	if e := wantAs[*async.ExecuteError](t, "refused", err); e.Command != "refused" || e.Class != "DeviceNotFound" {
		t.Errorf("refused: got %+v", e)
	}
	_, err = async.Call[node](t.Context(), p, "bad", nil)
	wantAs[*async.BadReplyError](t, "bad", err)
	_, err = async.Call[node](t.Context(), p, "cut", nil)
	wantAs[*async.MessageError](t, "cut", err)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = async.Call[node](canceled, p, "good", nil)
	wantIs(t, "canceled", err, context.Canceled)
}

// All functions that decode fill the same struct in the same way. An integer in
// an any is exact.
// Holds E10.
func TestOneRuleForDecoding(t *testing.T) {
	t.Parallel()
	type node struct {
		NodeName string
		ROFlag   bool
		Size     any
		Nested   struct{ BackingFile *string }
	}
	const object = `{"node-name":"disk0","new":[],"ro_flag":true,"size":9007199254740993,"nested":{"backing-file":"b"}}`
	name := "b"
	want := node{NodeName: "disk0", ROFlag: true, Size: int64(1<<53 + 1), Nested: struct{ BackingFile *string }{&name}}
	check := func(what string, got node, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v and error %v, want %+v", what, got, err, want)
		}
	}

	p := memory(t, connected("", qmptest.Expect("x"), qmptest.Return(object), qmptest.Expect("x"), qmptest.Return(object))...)
	c := dial(t, p, nil)
	got, err := async.Call[node](t.Context(), c, "x", nil)
	check("Call", got, err)
	reply, err := c.Do(t.Context(), async.Command{Name: "x"})
	wantNil(t, "Do", err)
	got = node{}
	check("Reply.Decode", got, reply.Decode(&got))

	ev, err := async.ParseEvent([]byte(`{"event":"E","data":` + object + `}`))
	wantNil(t, "ParseEvent", err)
	got = node{}
	err = ev.Decode(&got)
	check("Event.Decode", got, err)

	s := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory})
	s.Handle("x", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		var got node
		err := cmd.Decode(&got)
		check("a handler's Decode", got, err)
		return nil, nil
	})
	over := newClient(t, &async.Options{Dialer: s.Dial})
	wantNil(t, "Connect", over.Connect(t.Context(), "memory"))
	_, err = over.Execute(t.Context(), "x", json.RawMessage(object))
	wantNil(t, "x", err)
}

func TestReplyObject(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("",
		qmptest.Expect("x"), qmptest.Send(`{"id":2,"return":18446744073709551616,"more":[9007199254740993,1.0]}`),
		qmptest.Expect("y"), qmptest.Send(`{"id":"mine","error":{"class":"C","desc":"d"}}`),
		qmptest.Expect("z"), qmptest.Send(`{"id":3,"return":`+strings.Repeat("1", 4301)+`}`))...)
	c := dial(t, p, nil)
	tooBig, _ := new(big.Int).SetString("18446744073709551616", 10)
	for _, tt := range []struct {
		cmd  async.Command
		want map[string]any
	}{
		{async.Command{Name: "x"}, map[string]any{"return": tooBig, "more": []any{int64(1<<53 + 1), 1.0}}},
		{async.Command{Name: "y", ID: "mine"}, map[string]any{"id": "mine", "error": map[string]any{"class": "C", "desc": "d"}}},
	} {
		reply, err := c.Do(t.Context(), tt.cmd)
		wantNil(t, tt.cmd.Name, err)
		if got, err := reply.Object(); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %#v and error %v, want %#v", tt.cmd.Name, got, err, tt.want)
		}
	}
	reply, err := c.Do(t.Context(), async.Command{Name: "z"})
	wantNil(t, "z", err)
	_, err = reply.Object()
	if e := wantAs[*async.MessageError](t, "a number too long", err); e.Reason != async.BadNumber || e.Limit != 4300 {
		t.Errorf("a number too long: got %+v", e)
	}
	wantText(t, "a number too long", err, "z")
	var v any
	wantAs[*async.MessageError](t, "a number too long, decoded", reply.Decode(&v))
	var list struct{ A any }
	wantAs[*async.MessageError](t, "a number too long, in a struct", async.Event{Name: "E", Data: []byte(`{"a":` + strings.Repeat("1", 4301) + `}`)}.Decode(&list))

	if m, err := (async.Reply{}).Object(); m != nil || err != nil {
		t.Errorf("the zero Reply: got %v and error %v", m, err)
	}
}

func TestGreetingObject(t *testing.T) {
	t.Parallel()
	p := memory(t, connected("")...)
	g := dial(t, p, nil).Greeting()
	m, err := g.Object()
	if _, ok := m["QMP"].(map[string]any)["version"]; err != nil || !ok || !json.Valid(g.Raw()) {
		t.Errorf("got %v and error %v of %s", m, err, g.Raw())
	}
}

func TestParseReply(t *testing.T) {
	t.Parallel()
	raw := []byte(" \r\n{\"return\": [9007199254740993], \"id\": 4}\r\n")
	reply, err := async.ParseReply("x", raw)
	wantNil(t, "ParseReply", err)
	clear(raw) // ParseReply and ParseEvent have copied it
	if got, err := reply.Value(); err != nil || string(got) != "[9007199254740993]" {
		t.Errorf("Value: got %s and error %v", got, err)
	}
	if got := string(reply.Raw()); got != `{"return": [9007199254740993], "id": 4}` {
		t.Errorf("Raw: got %q", got)
	}
	want := map[string]any{"return": []any{int64(1<<53 + 1)}, "id": int64(4)}
	if m, err := reply.Object(); err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("Object: got %v and error %v, want %v, with the id, since its command is not known", m, err, want)
	}
	for _, tt := range []struct {
		raw    string
		reason async.Reason
	}{
		{``, async.NotJSON},
		{"\n", async.NotJSON},
		{`nonsense`, async.NotJSON},
		{`[{"return":{}}]`, async.NotObject},
		{`"x"`, async.NotObject},
		{`{"return":{}`, async.Truncated},
		{`{"return":{}}{"return":{}}`, async.NotJSON},
		{`{"return":{}} x`, async.NotJSON},
		{`{"return":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, async.TooDeep},
	} {
		_, err := async.ParseReply("x", []byte(tt.raw))
		if e := wantAs[*async.MessageError](t, tt.raw, err); e.Reason != tt.reason {
			t.Errorf("%.60s: got the reason %q (%v), want %q", tt.raw, e.Reason, err, tt.reason)
		}
	}
	size := 100 << 20 // more than Options.MaxMessage allows by default
	if raceEnabled {
		size = 1 << 20
	}
	large := `{"return":"` + strings.Repeat("x", size) + `"}`
	if reply, err := async.ParseReply("x", []byte(large)); err != nil || len(reply.Raw()) != len(large) {
		t.Errorf("%d bytes: got %d bytes and error %v", len(large), len(reply.Raw()), err)
	}
}

func TestParseEvent(t *testing.T) {
	t.Parallel()
	raw := []byte(`{"timestamp": {"seconds": 1700000000, "microseconds": 250000}, "event": "STOP", "data": {"n": 9007199254740993}}`)
	whole := string(raw)
	ev, err := async.ParseEvent(raw)
	wantNil(t, "ParseEvent", err)
	clear(raw) // ParseReply and ParseEvent have copied it
	if ev.Name != "STOP" || string(ev.Data) != `{"n": 9007199254740993}` || !ev.Timestamp.Equal(time.Unix(1700000000, 250e6)) || string(ev.Raw()) != whole {
		t.Errorf("got %+v of %s", ev, ev.Raw())
	}
	m, err := ev.Object()
	if n := m["data"].(map[string]any)["n"]; err != nil || n != int64(1<<53+1) || m["event"] != "STOP" || len(m) != 3 {
		t.Errorf("Object: got %v and error %v", m, err)
	}
	var data struct{ N string }
	wantText(t, "Decode of what does not fit", ev.Decode(&data), "qmp: event STOP: data does not fit a *struct")

	for raw, reason := range map[string]async.Reason{
		`{"return":{}}`:        async.NotEvent,
		`{}`:                   async.NotEvent,
		`{"event":"E"`:         async.Truncated,
		`{"event":"E"}[]`:      async.NotJSON,
		`{"data":{"event":1}}`: async.NotEvent,
	} {
		_, err := async.ParseEvent([]byte(raw))
		if e := wantAs[*async.MessageError](t, raw, err); e.Reason != reason {
			t.Errorf("%s: got the reason %q (%v), want %q", raw, e.Reason, err, reason)
		}
	}
	if m, err := (async.Event{Name: "E"}).Object(); m != nil || err != nil {
		t.Errorf("an event that was not received: got %v and error %v", m, err)
	}
}

// FuzzParse checks three things. ParseReply and ParseEvent take exactly one
// JSON object. They keep its bytes. Their map form has the same content as that
// JSON.
func FuzzParse(f *testing.F) {
	for _, raw := range []string{
		`{"return": {"a": [1, -2.5e3, null]}, "id": 1}`,
		` {"error": {"class": "C", "desc": "d"}, "id": "x"} `,
		`{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "E", "data": {"a": "\ud800"}}`,
		`{"event": 7, "event": "E", "return": []}`,
		`{"event": "E"}{"event": "F"}`, `[{}]`, `{"event":`, "{\"event\":\"\xff\"}", ``,
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		reply, replyErr := async.ParseReply("x", raw)
		ev, eventErr := async.ParseEvent(raw)
		if !bytes.Equal(raw, before) {
			t.Fatalf("%q was changed to %q", before, raw)
		}
		text := jsontext.Value(raw)
		isObject := text.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) && text.Kind() == '{'
		if (replyErr == nil) != isObject {
			t.Fatalf("%q: ParseReply gives error %v", raw, replyErr)
		}
		for _, err := range []error{replyErr, eventErr} {
			var e *async.MessageError
			if err != nil && !errors.As(err, &e) {
				t.Fatalf("%q: got error %v, want a MessageError", raw, err)
			}
		}
		if !isObject {
			if eventErr == nil {
				t.Fatalf("%q is taken for an event", raw)
			}
			return
		}
		if want := bytes.TrimSpace(raw); !bytes.Equal(reply.Raw(), want) {
			t.Fatalf("Raw is %q, want %q", reply.Raw(), want)
		}
		m, err := reply.Object()
		if err != nil {
			return // a number has more than 4,300 digits
		}
		if _, has := m["event"]; has != (eventErr == nil) {
			t.Fatalf("%q: ParseEvent gives error %v", raw, eventErr)
		}
		if eventErr == nil {
			if of, err := ev.Object(); err != nil || !reflect.DeepEqual(of, m) {
				t.Fatalf("%q is %v as an event (%v), and %v as a reply", raw, of, err, m)
			}
			if name, _ := m["event"].(string); ev.Name != name {
				t.Fatalf("%q has the name %q", raw, ev.Name)
			}
		}
		_, hasReturn := m["return"]
		_, hasError := m["error"]
		if (reply.Err() == nil) != (hasReturn && !hasError) {
			t.Fatalf("%q: Err is %v", raw, reply.Err())
		}
	})
}
