package legacy_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/big"
	"net"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/anybytes"
	"github.com/goqmp/qmp/legacy"
)

// A server may send any bytes, in any pieces, while calls of every kind are pending.
// Nothing panics, every call ends when the stream ends, and no goroutine is left.
// What the calls return is what the server sent, in the types that the package
// promises.
func FuzzReplies(f *testing.F) {
	const hello = `{"QMP": {"version": {"qemu": {"major": 9, "minor": 0, "micro": 0}}, "capabilities": ["oob"]}}` + "\r\n" +
		`{"return": {}, "id": 1}` + "\r\n"
	f.Add([]byte(hello+`{"event": "STOP", "data": {"a": [1, -2.5e-3, null, true]}}`), []byte(nil), byte(0))
	f.Add([]byte(`{"return": {"a": 18446744073709551615}, "id": 1}{"return": 9223372036854775808, "id": "mine"}`), []byte{1}, byte(1))
	f.Add([]byte(`{"return": {"a": [1, 18446744073709551616, 1e400, -0, -0.0]}, "id": "whole"}{"event": "A"}{"return": [{}], "id": 2}`), []byte{3, 1, 40}, byte(1))
	f.Add([]byte(`{"error": {"class": "C", "desc": "D"}, "id": 2}{"error": {"class": "C"}, "id": 1}{"id": "mine"}`), []byte{7}, byte(3))
	f.Add([]byte(`{"error": {"class": "GenericError", "desc": "JSON parse error"}}`), []byte(nil), byte(1))
	f.Add([]byte(`{"event": "A", "return": 1, "id": 1}{"event": {"x": 1}, "error": 2, "id": "mine"}`), []byte(nil), byte(1))
	f.Add([]byte("{\"return\": \"\xff\\ud800\", \"id\": 1}{\"a\": 1, \"a\": 2, \"return\": {\"b\": 1, \"b\": []}, \"id\": \"mine\"}"), []byte{2}, byte(1))
	f.Add([]byte(`{"event": "N", "data": `+strings.Repeat("1", 4301)+`}{"return": `+strings.Repeat("1", 4301)+`, "id": 2}`), []byte{255}, byte(1))
	f.Add([]byte(`{"event": "N", "data": `+strings.Repeat("1", 4300)+`}{"return": `+strings.Repeat("1", 4300)+`, "id": 2}`), []byte{255}, byte(1))
	f.Add([]byte(`{"return": 1, "id": 1}`+"\n[]"), []byte(nil), byte(1))
	f.Fuzz(func(t *testing.T, data, split []byte, mode byte) {
		before := runtime.NumGoroutine()
		hear(t, data, split, mode)
		anybytes.NothingLeft(t, before)
	})
}

// hear runs one connection whose server sends data. The bits of mode: 1 means no
// handshake, so that all calls are pending before the first byte comes; 2 means that
// the stream ends with a reset.
func hear(t *testing.T, data, split []byte, mode byte) {
	bare := mode&1 != 0
	client, server := qmptest.Pipe()
	said := parseAll(data)
	sent := make(chan struct{}, 8)
	var opts legacy.Options
	opts.Sync.Async = async.Options{
		MaxMessage: 1 << 16,
		Dialer:     func(context.Context) (net.Conn, error) { return client, nil },
		OnSend: func(json.RawMessage) json.RawMessage {
			sent <- struct{}{}
			return nil
		},
	}
	q, err := legacy.New("fuzz", &opts)
	if err != nil {
		t.Fatal(err)
	}

	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(io.Discard, server) })
	say := func() { anybytes.Say(server, data, split, mode&2 != 0) }
	if !bare {
		wg.Go(say)
	}
	greeting, err := q.Connect(!bare)
	if err != nil {
		wantError[*async.ConnectError](t, err)
	} else {
		if !bare {
			said.want(t, "Connect", greeting)
		}
		calls := []func(){
			func() {
				reply, err := q.Cmd("x", nil)
				said.wantReply(t, "Cmd", reply, err, "")
			},
			func() {
				reply, err := q.Cmd("x", map[string]any{"a": 1}, "mine")
				said.wantReply(t, "Cmd with an id", reply, err, "mine")
			},
			func() {
				reply, err := q.CmdObj(map[string]any{"execute": "x", "id": "whole"})
				said.wantReply(t, "CmdObj", reply, err, "whole")
			},
			func() {
				value, err := q.Command("x", map[string]any{"a": 1})
				said.wantValue(t, value, err)
			},
		}
		for _, call := range calls {
			wg.Go(call)
			if bare {
				<-sent // the commands are sent in this order, so that each has its expected id
			}
		}
		wg.Go(func() {
			for {
				event, err := q.PullEvent(legacy.Forever)
				if said.wantEvents(t, "PullEvent", err, event) {
					return
				}
			}
		})
		wg.Go(func() {
			for {
				events, err := q.GetEvents(legacy.Forever)
				if said.wantEvents(t, "GetEvents", err, events...) {
					return
				}
			}
		})
		if bare {
			wg.Go(say)
		}
	}

	done := make(chan struct{})
	go func() {
		wg.Wait() // all goroutines end when the stream ends
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(anybytes.Patience):
		t.Fatalf("a call has not returned:\n%s", anybytes.Stacks())
	}
	q.Close()
	if state := q.Sync().Async().Runstate(); state != async.Idle {
		t.Errorf("after Close the object is %v", state)
	}
	events, err := q.GetEvents(legacy.NoWait)
	if err != nil {
		wantError[*async.MessageError](t, err)
	}
	for _, event := range events {
		said.want(t, "GetEvents after Close", event)
	}
	if event, err := q.PullEvent(legacy.NoWait); event != nil || err != nil {
		t.Errorf("an emptied queue: got %v and error %v", event, err)
	}
}

// statements are the messages that a server has sent, without ids.
type statements []map[string]any

// parseAll decodes data with encoding/json, up to the first value that is not an
// object.
func parseAll(data []byte) (said statements) {
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	for {
		var m map[string]any
		if err := dec.Decode(&m); err != nil || m == nil {
			return said
		}
		said = append(said, without(promised(m).(map[string]any), "id"))
	}
}

// promised turns v, which encoding/json has decoded with UseNumber, into the types
// that the package promises.
func promised(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = promised(v[name])
		}
	case []any:
		for i := range v {
			v[i] = promised(v[i])
		}
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			x, _ := v.Float64()
			return x
		}
		n, _ := new(big.Int).SetString(v.String(), 10)
		switch {
		case n.IsInt64():
			return n.Int64()
		case n.IsUint64():
			return n.Uint64()
		}
		return n
	}
	return v
}

// without returns a copy of m that does not have the member name.
func without(m map[string]any, name string) map[string]any {
	other := make(map[string]any, len(m))
	for k, v := range m {
		if k != name {
			other[k] = v
		}
	}
	return other
}

// want requires m to be a message that the server sent, and to encode to JSON again.
func (s statements) want(t *testing.T, what string, m map[string]any) {
	t.Helper()
	wantPromised(t, what, m)
	m = without(m, "id")
	for _, said := range s {
		if reflect.DeepEqual(m, said) {
			return
		}
	}
	t.Errorf("%s: got %#v, which the server did not send", what, m)
}

// wantReply is want for a whole reply. Its id must be the caller's; without one it
// must have none.
func (s statements) wantReply(t *testing.T, what string, reply map[string]any, err error, id string) {
	t.Helper()
	if err != nil {
		wantBrokenOff(t, what, err)
		return
	}
	s.want(t, what, reply)
	if got, has := reply["id"]; has != (id != "") || has && got != id {
		t.Errorf("%s: got the id %v in %v, want %q", what, got, reply, id)
	}
}

// wantValue requires value to be the value of a member return that the server sent.
func (s statements) wantValue(t *testing.T, value any, err error) {
	t.Helper()
	if _, refused := errors.AsType[*async.ExecuteError](err); refused {
		return
	}
	if _, malformed := errors.AsType[*async.BadReplyError](err); malformed {
		return
	}
	if err != nil {
		wantBrokenOff(t, "Command", err)
		return
	}
	wantPromised(t, "Command", value)
	for _, said := range s {
		if got, has := said["return"]; has && reflect.DeepEqual(value, got) {
			return
		}
	}
	t.Errorf("Command: got %#v, which the server did not send", value)
}

// wantEvents is want for events. It reports whether no more events will come.
func (s statements) wantEvents(t *testing.T, what string, err error, events ...map[string]any) (over bool) {
	t.Helper()
	if err != nil {
		wantBrokenOff(t, what, err)
		_, interrupted := errors.AsType[*async.ExecInterruptedError](err)
		_, idle := errors.AsType[*async.StateError](err)
		if interrupted || idle {
			return true
		}
		if len(events) == 1 && events[0] == nil {
			return false // PullEvent had an event with a number that is too long
		}
	}
	for _, event := range events {
		s.want(t, what, event)
		if _, has := event["event"]; !has {
			t.Errorf("%s: got %v, which is not an event", what, event)
		}
	}
	return false
}

// wantBrokenOff requires err to be one of the errors of a call whose connection
// ended, or whose reply or event cannot be converted.
func wantBrokenOff(t *testing.T, what string, err error) {
	t.Helper()
	_, interrupted := errors.AsType[*async.ExecInterruptedError](err)
	_, idle := errors.AsType[*async.StateError](err)
	number, unconverted := errors.AsType[*async.MessageError](err)
	if !interrupted && !idle && (!unconverted || number.Reason != async.BadNumber) {
		t.Errorf("%s: got error %v (%T)", what, err, err)
	}
}

// wantPromised requires v to hold only promised types, and each value to have the
// type that is promised for it. Unless there is an infinity in v, it must encode to
// JSON.
func wantPromised(t *testing.T, what string, v any) {
	t.Helper()
	finite := true
	var walk func(v any)
	walk = func(v any) {
		fine := true
		switch v := v.(type) {
		case nil, bool, int64:
		case string:
			fine = utf8.ValidString(v)
		case uint64:
			fine = v > math.MaxInt64
		case *big.Int:
			fine = !v.IsInt64() && !v.IsUint64()
		case float64:
			finite = finite && !math.IsInf(v, 0)
			fine = !math.IsNaN(v)
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for name, e := range v {
				fine = fine && utf8.ValidString(name)
				walk(e)
			}
		default:
			fine = false
		}
		if !fine {
			t.Errorf("%s: got the value %v of type %T in it", what, v, v)
		}
	}
	walk(v)
	if !finite {
		return
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Errorf("%s: %.200v does not encode: %v", what, v, err)
		return
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var back any
	if err := dec.Decode(&back); err != nil {
		t.Errorf("%s: %.200v encodes to %.200s: %v", what, v, text, err)
	}
}

// ParseAddress follows the old rule for every text, and New takes the result.
func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{"", ":", "a:1", ":4444", "h:65536", "h:+5", "h:007", "[::1]:4444", "[a]:1", "/tmp/vm:1", "@a", "unix:a:b", "\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := legacy.ParseAddress(text)
		host, port, _ := strings.Cut(text, ":")
		isTCP := strings.Count(text, ":") == 1
		if err != nil {
			bad := wantError[*legacy.BadPortError](t, err)
			if !isTCP || bad.Port != port || bad.Address != text {
				t.Errorf("%q: got %+v", text, bad)
			}
			return
		}
		want := legacy.Address{Path: text}
		if isTCP {
			// Only digits may be taken for a number.
			n, ok := new(big.Int).SetString(port, 10)
			if !ok || strings.Trim(port, "0123456789") != "" || n.BitLen() > 16 {
				t.Fatalf("%q: the port is %d", text, a.Port)
			}
			want = legacy.Address{Host: host, Port: int(n.Int64()), TCP: true}
		}
		if a != want {
			t.Errorf("%q: got %+v, want %+v", text, a, want)
		}

		parsed, err := async.ParseAddress(a.String())
		switch {
		case err != nil:
			wantError[*async.AddressError](t, err)
			usable := text != "" && text != "@" && !strings.ContainsRune(text, 0)
			if isTCP {
				usable = !strings.ContainsAny(host, "[]")
			}
			if usable {
				t.Errorf("%q is %+v, and %q is refused: %v", text, a, a.String(), err)
			}
		case isTCP:
			gotHost, gotPort, err := net.SplitHostPort(parsed.Name)
			if parsed.Network != "tcp" || err != nil || gotHost != strings.Trim(host, "[]") || gotPort != big.NewInt(int64(a.Port)).String() {
				t.Errorf("%q is %+v, and %q is %+v", text, a, a.String(), parsed)
			}
		case parsed != (async.Address{Network: "unix", Name: text}):
			t.Errorf("%q is %+v, and %q is %+v", text, a, a.String(), parsed)
		}
	})
}
