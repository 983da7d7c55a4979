//go:build unix

// Tests with a real QEMU: commands, their replies and the events that they cause (rules
// E3, E4, E7 and E9).
// The code that they hold: call.go, receive.go and reply.go.
package async_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// The whole schema has about 200 KB. Clients with a fixed buffer cannot read
// it.
func TestE9WholeSchema_QEMU(t *testing.T) {
	t.Parallel()
	_, c := startReal(t, nil)
	raw := callReal[json.RawMessage](t, c, "query-qmp-schema", nil)
	if len(raw) < 100<<10 {
		t.Errorf("a schema of %d bytes, want more than 100 KiB", len(raw))
	}
	type entry struct {
		Name     string `json:"name"`
		MetaType string `json:"meta-type"`
		ArgType  string `json:"arg-type"`
		RetType  string `json:"ret-type"`
		AllowOOB bool   `json:"allow-oob"`
	}
	schema := make(map[string]entry)
	for _, e := range callReal[[]entry](t, c, "query-qmp-schema", nil) {
		if e.Name == "" || e.MetaType == "" {
			t.Errorf("incomplete entry %+v", e)
		}
		if _, twice := schema[e.Name]; twice {
			t.Errorf("%s is in the schema twice", e.Name)
		}
		schema[e.Name] = e
	}
	commands := callReal[[]struct {
		Name string `json:"name"`
	}](t, c, "query-commands", nil)
	if len(commands) < 100 {
		t.Errorf("only %d commands", len(commands))
	}
	for _, cmd := range commands {
		e, ok := schema[cmd.Name]
		if !ok || e.MetaType != "command" {
			t.Errorf("command %s: schema has %+v", cmd.Name, e)
			continue
		}
		for _, ref := range []string{e.ArgType, e.RetType} {
			if _, ok := schema[ref]; !ok {
				t.Errorf("command %s: type %q is not in the schema", cmd.Name, ref)
			}
		}
	}
	// The tests of out-of-band execution rely on this.
	if !schema["migrate-pause"].AllowOOB || schema["query-status"].AllowOOB {
		t.Error("migrate-pause does not allow oob, or query-status does")
	}
}

func TestE4ErrorReply_QEMU(t *testing.T) {
	t.Parallel()
	_, c := startReal(t, nil)
	_, err := c.Execute(qemutest.Context(t), "device_del", arguments{"id": "no-such"})
	e := wantAs[*async.ExecuteError](t, "device_del", err)
	if e.Command != "device_del" || e.Class != "DeviceNotFound" || !strings.Contains(e.Desc, "no-such") {
		t.Errorf("got %+v", e)
	}
	reply, err := c.Do(qemutest.Context(t), async.Command{Name: "stop", Args: arguments{"now": true}})
	if err != nil {
		t.Fatalf("Do: %v, want an error reply as a reply", err)
	}
	if e := wantAs[*async.ExecuteError](t, "stop", reply.Err()); e.Class != "GenericError" || !strings.Contains(e.Desc, "'now'") {
		t.Errorf("got %+v", e)
	}
	_, err = c.ExecuteOOB(qemutest.Context(t), "query-status", nil)
	if e := wantAs[*async.ExecuteError](t, "query-status out of band", err); !strings.Contains(e.Desc, "does not support OOB") {
		t.Errorf("got %v", e)
	}
	wantAlive(t, c)
}

func TestE3EventsPrecedeTheReply_QEMU(t *testing.T) {
	t.Parallel()
	_, c := startReal(t, nil)
	all, stops := c.NewListener(nil), c.NewListener(nil, "STOP")
	defer all.Close()
	defer stops.Close()
	began := time.Now().Add(-time.Minute) // the clocks may differ a little
	for i := range 100 {
		mustReal(t, c, "stop", nil)
		wantNames(t, "after stop", drained(t, all), "STOP")
		ev, ok, err := stops.TryNext()
		if !ok || err != nil || ev.Name != "STOP" {
			t.Fatalf("round %d: got %v %v %v after stop, want the event", i, ev.Name, ok, err)
		}
		if ev.Timestamp.Before(began) || ev.Timestamp.After(began.Add(time.Hour)) {
			t.Fatalf("round %d: timestamp %v", i, ev.Timestamp)
		}
		mustReal(t, c, "cont", nil)
		wantNames(t, "after cont", drained(t, all), "RESUME")
		if n := stops.Len(); n != 0 {
			t.Fatalf("round %d: the listener for STOP got %d other events", i, n)
		}
	}
}

func TestE7CallersOwnID_QEMU(t *testing.T) {
	t.Parallel()
	opts := &async.Options{}
	w := watchWire(opts)
	vm, c := startReal(t, opts)
	for _, id := range []string{"mine", "1", `"quoted" \ back`, "null", "zoë ☃ 😀\x00\n", strings.Repeat("long", 1000)} {
		reply, err := c.Do(qemutest.Context(t), async.Command{Name: "query-name", ID: id})
		if err != nil {
			t.Errorf("%q: %v", id, err)
			continue
		}
		var got struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(reply.Raw(), &got); err != nil || got.ID != id {
			t.Errorf("reply %q has id %q, %v; want %q", reply.Raw(), got.ID, err, id)
		}
	}

	// An id in use is refused until its command is answered.
	b := newBlock(t, vm)
	b.cmd.ID = "busy"
	sent := len(w.commands())
	slow := start(qemutest.Context(t), c, b.cmd)
	w.await(t, sent+1)
	again := func() error {
		_, err := c.Do(qemutest.Context(t), async.Command{Name: "query-name", ID: "busy"})
		return err
	}
	if e := wantAs[*async.InvalidIDError](t, "an id in use", again()); e.ID != `"busy"` {
		t.Errorf("names the id %s", e.ID)
	}
	b.release(t)
	if r := await(t, "the slow command", slow); r.err != nil {
		t.Error(r.err)
	}
	wantNil(t, "the id again", again())
}

// QEMU returns the same integers that it was sent, also those that a float64
// cannot hold.
func TestE4ExactIntegers_QEMU(t *testing.T) {
	t.Parallel()
	_, c := startReal(t, nil, "-object", "iothread,id=t0")
	for _, n := range []int64{0, 1<<53 + 1, math.MaxInt64 - 1, math.MaxInt64} {
		prop := arguments{"path": "/objects/t0", "property": "poll-max-ns"}
		mustReal(t, c, "qom-set", arguments{"path": "/objects/t0", "property": "poll-max-ns", "value": n})
		if got := callReal[int64](t, c, "qom-get", prop); got != n {
			t.Errorf("got %d back, want %d", got, n)
		}
	}
	for _, n := range []uint64{1<<53 + 1, 1<<63 - 1, 1 << 63, math.MaxUint64} {
		mustReal(t, c, "migrate-set-parameters", arguments{"max-postcopy-bandwidth": n})
		got := callReal[struct {
			N uint64 `json:"max-postcopy-bandwidth"`
		}](t, c, "query-migrate-parameters", nil)
		if got.N != n {
			t.Errorf("got %d back, want %d", got.N, n)
		}
	}
}
