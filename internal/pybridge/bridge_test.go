package pybridge_test

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/pybridge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type object = map[string]any

// begin starts a request and returns the number of the call. done is closed when it is
// over.
func begin(t *testing.T, b *pybridge.Bridge, request object) (number uint64, done chan struct{}) {
	t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	done = make(chan struct{})
	number = b.Number()
	b.Start(number, text, func() { close(done) })
	t.Cleanup(func() { <-done })
	return number, done
}

// call executes a request and returns the text of its result.
func call(t *testing.T, b *pybridge.Bridge, op string, number int, more object) string {
	t.Helper()
	request := object{"op": op, "object": number}
	for k, v := range more {
		request[k] = v
	}
	ticket, _ := begin(t, b, request)
	defer b.Forget(ticket)
	return string(b.Result(ticket))
}

// want requires a result.
func want(t *testing.T, got, result string) {
	t.Helper()
	if got != result {
		t.Errorf("result %s, want %s", got, result)
	}
}

// wantClass requires an error of a class, whose text has the words.
func wantClass(t *testing.T, got, class, words string) (error object) {
	t.Helper()
	var result struct{ Error object }
	if err := json.Unmarshal([]byte(got), &result); err != nil {
		t.Fatalf("%s: %v", got, err)
	}
	if result.Error["class"] != class || !strings.Contains(fmt.Sprint(result.Error["message"]), words) {
		t.Errorf("result %s, want class %s and the words %q", got, class, words)
	}
	return result.Error
}

// number returns the value of a result that is a number.
func number(t *testing.T, got string) int {
	t.Helper()
	var result struct{ Value int }
	if err := json.Unmarshal([]byte(got), &result); err != nil || result.Value == 0 {
		t.Fatalf("%s: %v", got, err)
	}
	return result.Value
}

// made returns a bridge with an object for a scripted server.
func made(t *testing.T, more object, steps ...qmptest.Step) *pybridge.Bridge {
	t.Helper()
	b := new(pybridge.Bridge)
	request := object{"path": qmptest.Script(t, steps...), "nickname": "vm1"}
	for k, v := range more {
		request[k] = v
	}
	want(t, call(t, b, "new", vm, request), null)
	t.Cleanup(func() {
		call(t, b, "release", vm, nil)
		if objects, calls := b.Len(); objects != 0 || calls != 0 {
			t.Errorf("%d objects and %d calls are left", objects, calls)
		}
	})
	return b
}

const (
	vm   = 1000 // the number of made's object
	null = `{"value":null}`
)

func handshake(steps ...qmptest.Step) []qmptest.Step {
	return append([]qmptest.Step{
		qmptest.Greet(), qmptest.Expect("qmp_capabilities"), qmptest.Return(`{}`),
	}, steps...)
}

// connected is made, and connects.
func connected(t *testing.T, steps ...qmptest.Step) *pybridge.Bridge {
	t.Helper()
	b := made(t, nil, handshake(steps...)...)
	if got := call(t, b, "connect", vm, object{"negotiate": true}); !strings.HasPrefix(got, `{"value":{"QMP":`) {
		t.Fatal(got)
	}
	return b
}

// run is an execute request for a command without arguments.
func run(name string, timeout any) object {
	return object{"message": object{"execute": name}, "timeout": timeout, "takesErrorWithoutID": true}
}

func TestReplyIsAsItCame(t *testing.T) {
	const reply = `{"return": {"b": 1.0, "a": 123456789012345678901234567890, "s": "\ud800"}, "id": "mine"}`
	b := connected(t, qmptest.ExpectJSON(`{"id":"mine","execute":"x"}`), qmptest.Send(reply))
	got := call(t, b, "execute", vm, object{"message": json.RawMessage(`{"id":"mine","execute":"x"}`)})
	want(t, got, `{"value":`+reply+`}`)
}

func TestErrorReplyIsAValue(t *testing.T) {
	b := connected(t, qmptest.Expect("x"), qmptest.ReturnError("GenericError", "no"))
	if got := call(t, b, "execute", vm, run("x", 5)); !strings.HasPrefix(got, `{"value":{`) || !strings.Contains(got, `"GenericError"`) {
		t.Error(got)
	}
}

func TestEvents(t *testing.T) {
	b := connected(t,
		qmptest.Expect("x"), qmptest.Event("A", ""), qmptest.Event("B", ""), qmptest.Event("C", ""), qmptest.Event("D", ""), qmptest.Return(`{}`),
		qmptest.Expect("y"), qmptest.Event("E", ""), qmptest.Return(`{}`))
	call(t, b, "execute", vm, run("x", nil))
	names := func(got string) string {
		var names []string
		for i := 0; ; {
			j := strings.Index(got[i:], `"event":`)
			if j < 0 {
				return strings.Join(names, " ")
			}
			i += j + len(`"event":`)
			names = append(names, strings.Trim(strings.TrimSpace(got[i:])[:3], `"`))
		}
	}
	for _, tt := range []struct {
		op   string
		more object
		want string
	}{
		{"event", object{"timeout": -0.5}, ""}, // the error for the time limit, and no event is lost
		{"try_event", nil, "A"},
		{"event", object{"timeout": 5}, "B"},
		{"events", nil, "C D"},
		{"events", nil, ""},
	} {
		if got := names(call(t, b, tt.op, vm, tt.more)); got != tt.want {
			t.Errorf("%s: events %q, want %q", tt.op, got, tt.want)
		}
	}
	want(t, call(t, b, "events", vm, nil), `{"value":[]}`)
	want(t, call(t, b, "try_event", vm, nil), null)
	wantClass(t, call(t, b, "event", vm, object{"timeout": 0.001}), "TimeoutError", "time limit")
	call(t, b, "execute", vm, run("y", nil))
	if got := number(t, call(t, b, "queued", vm, nil)); got != 1 {
		t.Errorf("%d events are queued", got)
	}
	want(t, call(t, b, "clear", vm, nil), null)
	want(t, call(t, b, "try_event", vm, nil), null)
	wantClass(t, call(t, b, "event", vm, object{"timeout": -1}), "TimeoutError", "time limit")
}

// A call that is canceled leaves the connection and the queue as they are.
func TestCancel(t *testing.T) {
	b := connected(t,
		qmptest.Expect("slow"), qmptest.Event("SLOW", ""),
		qmptest.Expect("quick"), qmptest.Return(`{"n": 1}`, qmptest.Back(1)), qmptest.Return(`{"n": 2}`))
	event, eventDone := begin(t, b, object{"op": "event", "object": vm})
	b.Cancel(event)
	<-eventDone
	wantClass(t, string(b.Result(event)), "QMPError", "no event came: context canceled")
	if b.Forget(event) == nil || b.Forget(event) != nil {
		t.Error("a call can be forgotten once")
	}

	// The script's time would be over if the next command had to wait for an answer.
	want(t, call(t, b, "try_event", vm, nil), null)
	if b.Result(event) != nil {
		t.Error("a call that is forgotten has a result")
	}
	b.Cancel(event) // does nothing

	request := run("slow", nil)
	request["op"], request["object"] = "execute", vm
	slow, slowDone := begin(t, b, request)
	wantEvent(t, b, "SLOW") // it has been sent
	b.Cancel(slow)
	<-slowDone
	failure := wantClass(t, string(b.Result(slow)), "ExecInterruptedError", "interrupted after it was sent")
	if failure["sent"] != true {
		t.Errorf("sent is %v", failure["sent"])
	}
	b.Forget(slow)
	if got := call(t, b, "execute", vm, run("quick", nil)); !strings.Contains(got, `"n": 2`) {
		t.Errorf("after a canceled command: %s", got)
	}
}

func wantEvent(t *testing.T, b *pybridge.Bridge, name string) {
	t.Helper()
	if got := call(t, b, "event", vm, nil); !strings.Contains(got, name) {
		t.Errorf("event %s, want %s", got, name)
	}
}

// A server that does not greet holds nothing up when the call is canceled.
func TestCancelConnect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	silent, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	b := new(pybridge.Bridge)
	want(t, call(t, b, "new", vm, object{"path": path}), null)
	ticket, done := begin(t, b, object{"op": "connect", "object": vm, "negotiate": true})
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b.Cancel(ticket)
	<-done
	wantClass(t, string(b.Result(ticket)), "ConnectError", "closed by this side")
	want(t, call(t, b, "runstate", vm, nil), `{"value":"IDLE"}`)
	call(t, b, "release", vm, nil)
}

func TestAccept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	b := new(pybridge.Bridge)
	want(t, call(t, b, "new", vm, object{"path": path, "server": true}), null)
	wantClass(t, call(t, b, "connect", vm, nil), "StateError", "CONNECTING")
	qmptest.ScriptDial(t, path, handshake()...)
	if got := call(t, b, "accept", vm, object{"timeout": 9}); !strings.HasPrefix(got, `{"value":{"QMP":`) {
		t.Error(got)
	}
	wantClass(t, call(t, b, "accept", vm, object{"timeout": 9}), "StateError", "accept")
	want(t, call(t, b, "release", vm, nil), null)
	wantClass(t, call(t, b, "release", vm, nil), "QMPError", "there is no object 1000")

	const again = 1001
	want(t, call(t, b, "new", again, object{"path": path, "server": true}), null)
	wantClass(t, call(t, b, "accept", again, object{"timeout": 0.01}), "TimeoutError", "time limit")
	want(t, call(t, b, "release", again, nil), null)
}

func TestTheServerHangsUp(t *testing.T) {
	b := connected(t, qmptest.Expect("x"), qmptest.HangUp())
	f := wantClass(t, call(t, b, "execute", vm, run("x", nil)), "ExecInterruptedError", "x")
	if cause, _ := f["cause"].(object); cause["class"] != "EOFError" {
		t.Errorf("cause %v", f["cause"])
	}
	f = wantClass(t, call(t, b, "execute", vm, run("x", nil)), "StateError", "x")
	if f["state"] != "DISCONNECTING" || f["required"] != "RUNNING" {
		t.Errorf("states %v and %v", f["state"], f["required"])
	}
	wantClass(t, call(t, b, "event", vm, nil), "ExecInterruptedError", "ended")
	wantClass(t, call(t, b, "close", vm, nil), "EOFError", "EOF")
	want(t, call(t, b, "close", vm, nil), null)
	wantClass(t, call(t, b, "event", vm, nil), "StateError", "IDLE")
}

// A number is for one object, and a caller that was interrupted gets none.
func TestNumbers(t *testing.T) {
	b := new(pybridge.Bridge)
	want(t, call(t, b, "new", vm, object{"path": "s"}), null)
	wantClass(t, call(t, b, "new", vm, object{"path": "s"}), "QMPError", "there is one already")
	call(t, b, "release", vm, nil)
	if one, two := b.Number(), b.Number(); one == two {
		t.Errorf("the number %d was returned twice", one)
	}
}

// The characters of a path stand for bytes, so that it need not be UTF-8.
func TestPathIsBytes(t *testing.T) {
	b := new(pybridge.Bridge)
	path := filepath.Join(t.TempDir(), "\u00ff\u00e9")
	want(t, call(t, b, "new", vm, object{"path": path}), null)
	f := wantClass(t, call(t, b, "connect", vm, nil), "ConnectError", "connect")
	if address := fmt.Sprint(f["path"]); !strings.HasSuffix(address, "/\ufffd\ufffd") {
		t.Errorf("address %q does not end in two bytes that are not UTF-8", address)
	}
	if cause, _ := f["cause"].(object); cause["class"] != "OSError" || cause["errno"] != 2.0 {
		t.Errorf("cause %v", f["cause"])
	}
	call(t, b, "release", vm, nil)
	wantClass(t, call(t, b, "new", 0, object{"path": "\u0100"}), "QMPError", "character")
}

func TestTCP(t *testing.T) {
	host, port, err := net.SplitHostPort(qmptest.ScriptTCP(t, handshake()...))
	if err != nil {
		t.Fatal(err)
	}
	b := new(pybridge.Bridge)
	want(t, call(t, b, "new", vm, object{"host": host, "port": json.Number(port)}), null)
	if got := call(t, b, "connect", vm, object{"negotiate": true}); !strings.HasPrefix(got, `{"value":{"QMP":`) {
		t.Error(got)
	}
	call(t, b, "release", vm, nil)
}

// What the object's state does not allow comes before what is wrong with a descriptor.
func TestDescriptorWithoutSession(t *testing.T) {
	b := new(pybridge.Bridge)
	const made = 1001
	want(t, call(t, b, "new", made, object{"path": "s"}), null)
	f := wantClass(t, call(t, b, "send_fd", made, object{"sendFD": 1 << 20}), "StateError", "send file descriptors")
	if f["state"] != "IDLE" || f["required"] != "RUNNING" {
		t.Errorf("states %v and %v", f["state"], f["required"])
	}
	call(t, b, "release", made, nil)
}

func TestBadRequests(t *testing.T) {
	b := new(pybridge.Bridge)
	want(t, call(t, b, "parse_address", 0, object{"text": "localhost:4444"}), `{"value":["localhost",4444]}`)
	want(t, call(t, b, "parse_address", 0, object{"text": "/run/s"}), `{"value":"/run/s"}`)
	wantClass(t, call(t, b, "parse_address", 0, object{"text": "a:b"}), "QMPBadPortError", "Bad port: 'b' in 'a:b'.")
	wantClass(t, call(t, b, "connect", 5, nil), "QMPError", "there is no object 5")
	wantClass(t, call(t, b, "new", 0, object{"path": filepath.Join(t.TempDir(), "no", "s"), "server": true}), "ConnectError", "listen")
	const made = 1001
	want(t, call(t, b, "new", made, object{"path": "s"}), null)
	wantClass(t, call(t, b, "dance", made, nil), "QMPError", "unknown op")
	call(t, b, "release", made, nil)

	done := make(chan struct{})
	b.Start(7, []byte("{"), func() { close(done) })
	<-done
	wantClass(t, string(b.Result(7)), "QMPError", "malformed request")
}
