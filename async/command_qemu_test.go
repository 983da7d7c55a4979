//go:build unix

package async_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// The whole schema is some 200 KB, which clients with a fixed buffer choke on.
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
			t.Errorf("%s stands there twice", e.Name)
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
	// What the tests of out-of-band execution rely on.
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
	began := time.Now().Add(-time.Minute) // clocks need not agree to the microsecond
	for i := range 100 {
		mustReal(t, c, "stop", nil)
		wantNames(t, "behind stop", drained(t, all), "STOP")
		ev, ok, err := stops.TryNext()
		if !ok || err != nil || ev.Name != "STOP" {
			t.Fatalf("round %d: got %v %v %v behind stop, want the event", i, ev.Name, ok, err)
		}
		if ev.Timestamp.Before(began) || ev.Timestamp.After(began.Add(time.Hour)) {
			t.Fatalf("round %d: timestamp %v", i, ev.Timestamp)
		}
		mustReal(t, c, "cont", nil)
		wantNames(t, "behind cont", drained(t, all), "RESUME")
		if n := stops.Len(); n != 0 {
			t.Fatalf("round %d: %d events that were not asked for", i, n)
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

	// One that is in use is refused, until its command is answered.
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

// Integers survive the way there and back, whatever a float64 makes of them.
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

// While QEMU is busy with one command, out-of-band commands pass it, up to
// eight in-band commands are given to it, and the others wait on this side.
func TestE8OutOfBandOvertakes_QEMU(t *testing.T) {
	t.Parallel()
	opts := &async.Options{}
	w := watchWire(opts)
	vm, c := startReal(t, opts)
	ctx := qemutest.Context(t)
	oob := func(when string) {
		t.Helper()
		wantOOB(t, c, when)
	}

	b := newBlock(t, vm)
	slow := start(ctx, c, b.cmd)
	w.await(t, 1)
	oob("past a slow command")
	wantPending(t, "slow command", slow)

	// Seven more fit in the window; four of them are given up on.
	var kept []<-chan result
	abandonCtx, abandon := context.WithCancel(ctx)
	var abandoned []<-chan result
	for i := range 7 {
		callCtx := ctx
		if i%2 == 0 {
			callCtx = abandonCtx
		}
		done := start(callCtx, c, async.Command{Name: fmt.Sprintf("token-%d", i)})
		w.await(t, 3+i)
		if i%2 == 0 {
			abandoned = append(abandoned, done)
		} else {
			kept = append(kept, done)
		}
	}
	oob("past a full window")
	abandon()
	for _, done := range abandoned {
		r := await(t, "abandoned command", done)
		wantInterrupted(t, "abandoned command", r.err, true, context.Canceled)
	}
	oob("past a full window, half of it abandoned")

	// The ninth waits, within its context, and says for what.
	sent := len(w.commands())
	shortCtx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_, err := c.Execute(shortCtx, "ninth", nil)
	wantInterrupted(t, "ninth command", err, false, context.DeadlineExceeded)
	wantText(t, "ninth command", err, "pmemsave", "8 unanswered")
	if got := w.commands(); len(got) != sent {
		t.Errorf("sent %v meanwhile, want nothing", got[sent:])
	}
	tenth := start(ctx, c, async.Command{Name: "tenth"})
	oob("past one that waits here")
	wantPending(t, "tenth command", tenth)
	wantPending(t, "slow command", slow)

	b.release(t)
	r := await(t, "slow command", slow)
	wantValue(t, "slow command", r.value, r.err, "{}")
	for i, done := range kept {
		r := await(t, "waiting command", done)
		wantToken(t, r.err, fmt.Sprintf("token-%d", 2*i+1))
	}
	wantToken(t, await(t, "tenth command", tenth).err, "tenth")
	if slices.Contains(w.commands(), "ninth") {
		t.Error("the command that was given up on was sent")
	}
	wantAlive(t, c)
}

// Without the capability commands are pipelined as they come.
func TestE8NoOOBPipelines_QEMU(t *testing.T) {
	t.Parallel()
	opts := &async.Options{NoOOB: true}
	w := watchWire(opts)
	vm, c := startReal(t, opts)
	ctx := qemutest.Context(t)
	b := newBlock(t, vm)
	slow := start(ctx, c, b.cmd)
	w.await(t, 1)
	const n = 50
	var calls []<-chan result
	for i := range n {
		calls = append(calls, start(ctx, c, async.Command{Name: fmt.Sprintf("token-%d", i)}))
	}
	w.await(t, 1+n) // all are on their way while the first is unanswered
	wantPending(t, "slow command", slow)
	b.release(t)
	wantNil(t, "slow command", await(t, "slow command", slow).err)
	for i, done := range calls {
		wantToken(t, await(t, "pipelined command", done).err, fmt.Sprintf("token-%d", i))
	}
}

// A stopped QEMU answers nothing. Who gives up meanwhile disturbs nobody: the
// late replies are dropped, and the next call gets its own.
func TestE4LateRepliesAreDropped_QEMU(t *testing.T) {
	t.Parallel()
	for name, noOOB := range map[string]bool{"oob": false, "no oob": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := &async.Options{NoOOB: noOOB}
			w := watchWire(opts)
			vm, c := startReal(t, opts)
			vm.Freeze(t)
			ctx, cancel := context.WithCancelCause(qemutest.Context(t))
			var calls []<-chan result
			for i := range 5 {
				calls = append(calls, start(ctx, c, async.Command{Name: fmt.Sprintf("late-%d", i)}))
				w.await(t, i+1)
			}
			kept := start(qemutest.Context(t), c, async.Command{Name: "kept"})
			w.await(t, 6) // so the other five have been written
			cause := errors.New("a cause of the caller's own")
			cancel(cause)
			for _, done := range calls {
				wantInterrupted(t, "a command to a stopped QEMU", await(t, "a cancelled command", done).err, true, context.Canceled, cause)
			}
			wantPending(t, "a command to a stopped QEMU", kept)
			vm.Thaw(t)
			wantToken(t, await(t, "the one that was not cancelled", kept).err, "kept")
			wantAlive(t, c)
			msgs := w.replies()
			for i := range 5 {
				if want := fmt.Sprintf("late-%d ", i); !strings.Contains(msgs[2+i], want) {
					t.Errorf("message %d is %s, want the late reply %s", 2+i, msgs[2+i], want)
				}
			}
			wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		})
	}
}

// A message of which a part is on the wire is finished although its call has
// been given up, and the one behind it, of which nothing is, is withdrawn.
func TestE4PartlyWrittenIsFinished_QEMU(t *testing.T) {
	t.Parallel()
	opts := &async.Options{}
	vm := qemutest.Machine(t, "-qmp", onUnix)
	opts.Dialer = func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", vm.Path("qmp"))
		if err == nil {
			err = conn.(*net.UnixConn).SetWriteBuffer(4 << 10) // soon full
		}
		return conn, err
	}
	w := watchWire(opts)
	c := dialReal(t, "a socket with a small buffer", opts)
	vm.Freeze(t)

	long := strings.Repeat("x", 40<<10)
	ctx, cancel := context.WithCancel(qemutest.Context(t))
	partly := start(ctx, c, async.Command{Name: long})
	awaitUnread(t, c)
	behind := start(ctx, c, async.Command{Name: "withdrawn"})
	shortCtx, stop := context.WithTimeout(ctx, 20*time.Millisecond)
	defer stop()
	_, err := c.Execute(shortCtx, "withdrawn-too", nil)
	wantInterrupted(t, "a command behind the long one", err, false, context.DeadlineExceeded)
	cancel()
	wantInterrupted(t, "the long command", await(t, "the long command", partly).err, true, context.Canceled)
	wantInterrupted(t, "the next command", await(t, "the next command", behind).err, false, context.Canceled)
	vm.Thaw(t)
	wantAlive(t, c)
	if got := w.commands(); len(got) != 2 || got[0] != long {
		t.Errorf("%d commands were sent, want the long one and the last", len(got))
	}
	msgs := w.replies()
	if !strings.Contains(msgs[2], long) {
		t.Errorf("behind the handshake came %.100q, want the reply to the long command", msgs[2])
	}
}

// rewriter is a connection that puts other words on the wire, behind the back of
// the engine, which would refuse them.
type rewriter struct {
	net.Conn
	old, new []byte
}

func (r *rewriter) Write(b []byte) (int, error) {
	if _, err := r.Conn.Write(bytes.ReplaceAll(b, r.old, r.new)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// What QEMU's parser refuses is answered in order, without an id.
func TestE7WhatQEMUCannotParse_QEMU(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 1025) + "1" + strings.Repeat("}", 1025)
	for name, tt := range map[string]struct {
		text string // in place of the arguments {"x":1}
		desc string
		// QEMU's parser stumbles on through the rest of the message, and answers
		// that with more errors.
		more bool
	}{
		"lone surrogate": {`{"x":"\ud800"}`, "not a valid Unicode character", false},
		"noncharacter":   {`{"x":"\uffff"}`, "not a valid Unicode character", false},
		"invalid UTF-8":  {"{\"x\":\"\xff\"}", "stray", true},
		"not JSON":       {`{"x" 1}`, "JSON parse error", true},
		"repeated key":   {`{"x":1,"x":2}`, "duplicate key", false},
		"too deep":       {deep, "nesting depth limit exceeded", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vm := qemutest.Machine(t, "-qmp", onUnix)
			opts := &async.Options{Dialer: func(ctx context.Context) (net.Conn, error) {
				var d net.Dialer
				conn, err := d.DialContext(ctx, "unix", vm.Path("qmp"))
				if err != nil {
					return nil, err
				}
				return &rewriter{conn, []byte(`{"x":1}`), []byte(tt.text)}, nil
			}}
			bad := async.Command{Name: "query-name", Args: arguments{"x": 1}}

			// For Cmd of the old module it is the answer, and the connection goes
			// on, if QEMU says no more than that.
			c := dialReal(t, vm.Path("qmp"), opts)
			taking := bad
			taking.TakesErrorWithoutID = true
			reply, err := c.Do(qemutest.Context(t), taking)
			if err != nil {
				t.Fatal(err)
			}
			if e := wantAs[*async.ExecuteError](t, "the reply", reply.Err()); !strings.Contains(e.Desc, tt.desc) {
				t.Errorf("got %v, want %q in it", e, tt.desc)
			}
			if strings.Contains(string(reply.Raw()), `"id"`) {
				t.Errorf("reply %s has an id", reply.Raw())
			}
			if !tt.more {
				wantAlive(t, c)
			}
			c.Close()
			wantAliveBehind(t, vm.Path("qmp"), tt.more)

			// For others it is the end.
			c = dialReal(t, vm.Path("qmp"), opts)
			_, err = c.Do(qemutest.Context(t), bad)
			e := wantAs[*async.ServerParseError](t, "a command that does not take it", err)
			if !strings.Contains(e.Desc, tt.desc) {
				t.Errorf("got %v, want %q in it", e, tt.desc)
			}
			wantInterrupted(t, "a command that does not take it", err, true)
			wantState(t, c, async.Disconnecting)
			wantAs[*async.ServerParseError](t, "Disconnect", c.Disconnect(t.Context()))

			// QEMU itself has taken no harm.
			wantAliveBehind(t, vm.Path("qmp"), tt.more)
		})
	}
}

// wantAliveBehind checks that QEMU answers a new client. What its parser had to say
// of what the last one sent, if more, may come to that client, in place of its
// greeting or of an answer (seen). Behind an answer to a client of its own nothing
// of that is left.
func wantAliveBehind(t *testing.T, addr string, more bool) {
	t.Helper()
	for {
		c := newClient(t, nil)
		err := c.Connect(qemutest.Context(t), addr)
		if err == nil {
			_, err = c.Execute(qemutest.Context(t), "query-name", nil)
		}
		c.Close()
		if err == nil {
			return
		}
		var broken async.ProtocolError
		parser := strings.Contains(err.Error(), "JSON parse error") || strings.Contains(err.Error(), "QMP input must be a JSON object")
		if !more || !errors.As(err, &broken) || !parser {
			t.Fatal(err)
		}
		t.Logf("another's error: %v", err)
	}
}

// None of that is sent if the engine is asked nicely.
func TestE7RefusedBeforeSending_QEMU(t *testing.T) {
	t.Parallel()
	opts := &async.Options{}
	w := watchWire(opts)
	_, c := startReal(t, opts)
	nested := func(levels int) json.RawMessage {
		return json.RawMessage(strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels))
	}
	for name, args := range map[string]json.RawMessage{
		"lone surrogate": json.RawMessage(`{"x":"\ud800"}`),
		"noncharacter":   json.RawMessage(`{"x":"\uffff"}`),
		"invalid UTF-8":  json.RawMessage("{\"x\":\"\xff\"}"),
		"not JSON":       json.RawMessage(`{"x" 1}`),
		"repeated key":   json.RawMessage(`{"x":1,"x":2}`),
		"too deep":       nested(1000),
	} {
		_, err := c.Execute(qemutest.Context(t), "query-name", args)
		e := wantAs[*async.MessageError](t, name, err)
		if e.Command != "query-name" {
			t.Errorf("%s: names the command %q", name, e.Command)
		}
	}
	// As deep as the engine goes, QEMU goes too.
	_, err := c.Execute(qemutest.Context(t), "query-name", nested(999))
	if e := wantAs[*async.ExecuteError](t, "999 levels", err); !strings.Contains(e.Desc, "'a' is unexpected") {
		t.Errorf("got %v", e)
	}
	wantAlive(t, c)
	// A greeting, three replies: QEMU has seen nothing of the rest.
	if got := w.replies(); len(got) != 4 {
		t.Errorf("received %.200q", got)
	}
}

// Many callers on one connection, most of whom are patient. Whoever gets an
// answer gets his own; every command is accounted for.
func TestE4CancelledAtRandom_QEMU(t *testing.T) {
	t.Parallel()
	for name, noOOB := range map[string]bool{"oob": false, "no oob": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, c := startReal(t, &async.Options{NoOOB: noOOB})
			const callers, commands = 8, 500
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			var answered, withdrawn, late atomic.Int64
			whole := qemutest.Context(t)
			var wg sync.WaitGroup
			for caller := range callers {
				rnd := rand.New(rand.NewPCG(seed, uint64(caller)))
				wg.Go(func() {
					for i := range commands {
						ctx, cancel := whole, context.CancelFunc(func() {})
						if rnd.IntN(3) == 0 {
							ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(3000))*time.Microsecond)
						}
						token := fmt.Sprintf("t%d-%d", caller, i)
						var err error
						switch rnd.IntN(8) {
						case 0:
							err = printToken(ctx, c, 1<<24|uint32(caller)<<16|uint32(i))
						case 1:
							if !noOOB {
								token = "query-status"
								_, err = c.ExecuteOOB(ctx, token, nil) // an error of its own
								break
							}
							fallthrough
						default:
							_, err = c.Execute(ctx, token, nil)
						}
						cancel()
						var refused *async.ExecuteError
						var broken *async.ExecInterruptedError
						switch {
						case err == nil:
							answered.Add(1)
						case errors.As(err, &refused) && strings.Contains(refused.Desc, token):
							answered.Add(1)
						case errors.As(err, &broken) && ctx.Err() != nil && broken.Sent:
							late.Add(1)
						case errors.As(err, &broken) && ctx.Err() != nil:
							withdrawn.Add(1)
						default:
							t.Errorf("%s: %v", token, err)
						}
					}
				})
			}
			wg.Wait()
			t.Logf("%d answered, %d given up before and %d after they were sent", answered.Load(), withdrawn.Load(), late.Load())
			if sum := answered.Load() + withdrawn.Load() + late.Load(); sum != callers*commands {
				t.Errorf("%d commands accounted for, want %d", sum, callers*commands)
			}
			if answered.Load() < callers*commands/2 || withdrawn.Load()+late.Load() == 0 {
				t.Error("a run without enough of both answers and cancellations shows nothing")
			}
			// No place in the window was lost: eight fit in at once.
			var all []<-chan result
			for i := range 16 {
				all = append(all, start(qemutest.Context(t), c, async.Command{Name: fmt.Sprintf("after-%d", i)}))
			}
			for i, done := range all {
				wantToken(t, await(t, "a command behind all that", done).err, fmt.Sprintf("after-%d", i))
			}
			wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		})
	}
}

// printToken has QEMU say a number, and says what is wrong with the answer.
func printToken(ctx context.Context, c *async.Client, n uint32) error {
	got, err := async.Call[string](ctx, c, "human-monitor-command", arguments{"command-line": fmt.Sprintf("print %d", n)})
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%#x\r\n", n); got != want {
		return fmt.Errorf("printed %q, want %q", got, want)
	}
	return nil
}
