//go:build unix

// Tests of rule E8 with a real QEMU: out-of-band commands, and how many commands are
// unanswered at a time.
// The code that they hold: gate.go.
package async_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// QEMU is busy with one command. Out-of-band commands pass it, up to eight
// in-band commands are sent, and the others wait on this side.
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

	// Seven more have a place in the window. The callers of four of them give up.
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

	// The ninth waits until its context ends, and its error says what it waited for.
	sent := len(w.commands())
	shortCtx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_, err := c.Execute(shortCtx, "ninth", nil)
	wantInterrupted(t, "ninth command", err, false, context.DeadlineExceeded)
	wantText(t, "ninth command", err, "pmemsave", "8 unanswered")
	if got := w.commands(); len(got) != sent {
		t.Errorf("sent %v while the window was full, want nothing", got[sent:])
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
		t.Error("the command whose caller gave up was sent")
	}
	wantAlive(t, c)
}

// Without the capability, commands are sent immediately, and do not wait for
// replies.
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
	w.await(t, 1+n) // all are sent while the first is unanswered
	wantPending(t, "slow command", slow)
	b.release(t)
	wantNil(t, "slow command", await(t, "slow command", slow).err)
	for i, done := range calls {
		wantToken(t, await(t, "pipelined command", done).err, fmt.Sprintf("token-%d", i))
	}
}
