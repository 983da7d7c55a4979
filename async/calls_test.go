// Tests of a call's life, without a session and a connection: which calls are
// pending, which have a place at a gate, and which call gets a reply.
// The code that they hold: call.go, calls.go and gate.go.
package async

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/goqmp/qmp/internal/proto"
)

func testCalls(oob bool) *calls {
	k := newCalls(new(atomic.Uint64))
	if oob {
		k.enableOOB()
	}
	return k
}

func testCall(name string) *call {
	return newCall(command, &outgoing{Command: Command{Name: name}})
}

// started returns a call that has its id and is being written.
func started(t *testing.T, k *calls, name string) *call {
	t.Helper()
	c := testCall(name)
	if !k.oob {
		if err := k.start(c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	if w := k.enter(&k.window, c); w != nil {
		t.Fatalf("%s has to wait at the gate", name)
	}
	if err := k.start(c); err != nil {
		t.Fatal(err)
	}
	return c
}

func wantTable(t *testing.T, k *calls, pending, inside, waiting int) {
	t.Helper()
	if len(k.pending) != pending || len(k.window.inside) != inside || len(k.window.waiting) != waiting {
		t.Errorf("got %d pending, %d inside the window, %d waiting at it; want %d, %d, %d",
			len(k.pending), len(k.window.inside), len(k.window.waiting), pending, inside, waiting)
	}
}

func noop() {}

// Each way that a call can take, what the call ends with, and which call gets
// its late reply.
func TestCallsEveryWayOfACall(t *testing.T) {
	tests := []struct {
		name     string
		oob      bool
		way      func(k *calls, c *call)
		progress progress
		sent     bool
		pending  int
		inside   int  // how many are in the window, with oob
		wanted   bool // the caller gets the reply that comes then
	}{
		{name: "being written", progress: writing, way: func(k *calls, c *call) {}, pending: 1, inside: 1, wanted: true},
		{name: "sent", progress: sent, sent: true, pending: 1, inside: 1, wanted: true, way: func(k *calls, c *call) {
			k.decide(c, true, noop)
		}},
		{name: "recalled before its first byte", progress: unsent, way: func(k *calls, c *call) {
			k.recall(c, noop)
			k.decide(c, false, noop)
			k.giveUp(c)
		}},
		{name: "recalled too late", progress: sent, sent: true, way: func(k *calls, c *call) {
			k.recall(c, noop)
			k.decide(c, true, noop)
			k.giveUp(c)
		}},
		{name: "recalled too late, with oob", oob: true, progress: abandoned, sent: true, pending: 1, inside: 1, way: func(k *calls, c *call) {
			k.recall(c, noop)
			k.decide(c, true, noop)
			k.giveUp(c)
		}},
		{name: "could not be written", progress: unsent, way: func(k *calls, c *call) {
			k.decide(c, false, noop)
			k.drop(c)
		}},
		{name: "answered while it was written", progress: sent, sent: true, way: func(k *calls, c *call) {
			if got, wanted := k.answered(c.id); got != c || !wanted {
				panic("the reply does not reach it")
			}
			k.decide(c, true, noop)
		}},
	}
	for _, tt := range tests {
		for _, oob := range []bool{false, true} {
			if tt.oob && !oob || !oob && tt.progress == abandoned || oob && tt.name == "recalled too late" {
				continue
			}
			t.Run(fmt.Sprintf("%s oob=%v", tt.name, oob), func(t *testing.T) {
				k := testCalls(oob)
				c := started(t, k, "x")
				tt.way(k, c)
				inside := tt.inside
				if !oob {
					inside = 0
				}
				wantTable(t, k, tt.pending, inside, 0)
				if c.progress != tt.progress || k.wasSent(c) != tt.sent {
					t.Errorf("got progress %d, sent %v; want %d, %v", c.progress, k.wasSent(c), tt.progress, tt.sent)
				}
				got, wanted := k.answered(c.id)
				if (got == c) != (tt.pending == 1) || wanted != tt.wanted {
					t.Errorf("its reply: got call %v, wanted %v; want %v, %v", got, wanted, tt.pending == 1, tt.wanted)
				}
				wantTable(t, k, 0, 0, 0)
			})
		}
	}
}

// A call that gives up interrupts its own write, and no other write.
func TestCallsRecallInterruptsOnlyItsOwnWrite(t *testing.T) {
	k := testCalls(false)
	c := started(t, k, "x")
	var did []string
	note := func(what string) func() { return func() { did = append(did, what) } }
	k.recall(c, note("interrupt"))
	k.recall(c, note("again"))
	if !k.decide(c, false, note("restore")) {
		t.Error("the call was not withdrawn")
	}
	<-c.decided
	k.recall(c, note("late"))
	if want := []string{"interrupt", "restore"}; !slices.Equal(did, want) {
		t.Errorf("got %v, want %v", did, want)
	}
}

func TestCallsAnAnswerThatCameCounts(t *testing.T) {
	k := testCalls(true)
	c := started(t, k, "x")
	k.decide(c, true, noop)
	k.answered(c.id)
	c.end(answer{message: proto.Message{Raw: []byte("{}")}})
	if a, answered := k.giveUp(c); !answered || string(a.message.Raw) != "{}" {
		t.Errorf("got %v, %v", a, answered)
	}
	wantTable(t, k, 0, 0, 0)
}

// Eight calls are inside the window, and the others wait in order. The next one
// gets its place when the one before it has begun to be written.
func TestCallsTheWindow(t *testing.T) {
	k := testCalls(true)
	var inside []*call
	for i := range inBandWindow {
		inside = append(inside, started(t, k, fmt.Sprint(i)))
	}
	var waiters []*waiter
	for i := range 4 {
		w := k.enter(&k.window, testCall(fmt.Sprint("late ", i)))
		if w == nil {
			t.Fatal("a ninth command may pass")
		}
		waiters = append(waiters, w)
	}
	granted := func() (n int) {
		for _, w := range waiters {
			select {
			case <-w.granted:
				n++
			default:
			}
		}
		return n
	}
	wantTable(t, k, 8, 8, 4)
	k.answered(inside[0].id)
	k.answered(inside[1].id)
	if granted() != 1 {
		t.Errorf("%d may pass before the first has its turn, want 1", granted())
	}
	if err := k.start(waiters[0].call); err != nil {
		t.Fatal(err)
	}
	if granted() != 2 {
		t.Errorf("%d may pass when the first has its turn, want 2", granted())
	}
	// A call that gives up passes its place on, whether it has the place already or waits for it.
	if note := k.forget(&k.window, waiters[3]); note == "" {
		t.Error("it does not say what it waited for")
	}
	k.forget(&k.window, waiters[1])
	if granted() != 3 {
		t.Errorf("%d were let in when the second gave up, want 3", granted())
	}
	wantTable(t, k, 7, 8, 0)
}

func TestCallsErrorWithoutID(t *testing.T) {
	tests := []struct {
		name  string
		make  func(k *calls)
		known bool
		call  bool
	}{
		{"nothing is unanswered", func(k *calls) {}, false, false},
		{"one that takes it", func(k *calls) { takes(t, k) }, true, true},
		{"one that does not", func(k *calls) { started(t, k, "x") }, false, false},
		{"two", func(k *calls) { takes(t, k); takes(t, k) }, false, false},
		{"one that was given up", func(k *calls) { giveUp(k, takes(t, k)) }, true, false},
		{"two that were given up", func(k *calls) { giveUp(k, takes(t, k)); giveUp(k, takes(t, k)) }, false, false},
		{"one that was given up, and another", func(k *calls) { giveUp(k, takes(t, k)); takes(t, k) }, false, false},
		{"one that was given up, and answered late", func(k *calls) {
			c := takes(t, k)
			giveUp(k, c)
			k.answered(c.id)
			takes(t, k)
		}, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := testCalls(false)
			tt.make(k)
			if c, _, known := k.answeredWithoutID(); known != tt.known || (c != nil) != tt.call {
				t.Errorf("got call %v, known %v; want %v, %v", c != nil, known, tt.call, tt.known)
			}
		})
	}
}

func takes(t *testing.T, k *calls) *call {
	c := testCall("x")
	c.cmd.TakesErrorWithoutID = true
	if err := k.start(c); err != nil {
		t.Fatal(err)
	}
	return c
}

func giveUp(k *calls, c *call) {
	k.decide(c, true, noop)
	k.giveUp(c)
}

func TestCallsIDs(t *testing.T) {
	k := testCalls(false)
	own := func() *call {
		c := testCall("x")
		c.cmd.id = proto.TextualID("a")
		return c
	}
	first := own()
	if err := k.start(first); err != nil {
		t.Fatal(err)
	}
	second := own()
	if err, ok := k.start(second).(*InvalidIDError); !ok {
		t.Errorf("an id that is taken: got %v", err)
	}
	k.drop(second)
	wantTable(t, k, 1, 0, 0) // the first one is still pending
	k.answered(first.id)
	if err := k.start(own()); err != nil {
		t.Errorf("an id that is free again: got %v", err)
	}
	k.end()
	if err := k.start(own()); err != errEnded {
		t.Errorf("after the end: got %v", err)
	}
}
