//go:build linux

package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// workers is how many goroutines share a client.
const workers = 8

// The causes with which the contexts of a round end.
var (
	errHang = errors.New("a call hangs")
	errOver = errors.New("the round is over")
)

// A round is one connection of every client of a host, and what happens to it.
type round struct {
	*host
	t      *testing.T
	n      int
	fault  fault
	source source
	rand   *rand.Rand // for the test's goroutine only
	sums   *tally

	ctx  context.Context         // the time limit of every call, which only a hang reaches
	over context.Context         // ends when the workers have to stop
	end  context.CancelCauseFunc // ends over
	up   sync.WaitGroup          // clients that are still connecting
}

// round runs round n, and reports whether QEMU is still running.
func (h *host) round(t *testing.T, n int, src source, sums *tally) bool {
	r := &round{host: h, t: t, n: n, fault: src.fault(n), source: src, rand: src.of(n, 0), sums: sums}
	before := look(t)

	ctx, cancel := context.WithTimeoutCause(context.Background(), qemutest.Patience, errHang)
	defer cancel()
	r.ctx = ctx
	r.over, r.end = context.WithCancelCause(ctx)
	defer r.end(nil)

	r.open()
	var clients sync.WaitGroup
	r.up.Add(len(h.peers))
	for i, p := range h.peers {
		clients.Go(func() { r.live(p, 1+i*(1+workers)) })
	}
	dies := r.inject()
	r.end(errOver)
	r.join("the workers", &clients)
	for _, p := range h.peers {
		r.disconnect(r.ctx, p)
		if state := p.Runstate(); state != async.Idle {
			r.errorf("client %s is %v after its disconnect", p.monitor, state)
		}
	}
	r.awaitExit(dies)
	for _, p := range h.peers {
		r.audit(p)
	}
	sums.rounds++
	sums.ending(r.fault.name)
	for _, leak := range before.leaks(h) {
		sums.leaks++
		r.errorf("left after the round: %s", leak)
	}
	return h.alive()
}

// errorf fails the test. Any goroutine of the round may call it.
func (r *round) errorf(format string, args ...any) {
	r.t.Helper()
	r.t.Errorf("round %d, %s: "+format, append([]any{r.n, r.fault.name}, args...)...)
}

// open prepares the clients. If QEMU connects to the clients, it starts QEMU when they
// listen.
func (r *round) open() {
	for _, p := range r.peers {
		p.events, p.unread, p.cause = p.NewListener(nil), p.NewListener(nil), inOrder
		if !r.dials {
			continue
		}
		if err := p.Listen(r.ctx, p.addr); err != nil {
			r.t.Fatal(err)
		}
	}
	if r.dials {
		r.boot(r.t)
	}
}

// live connects a client and runs its workers. number is that of its first goroutine,
// for the random numbers.
func (r *round) live(p *peer, number int) {
	err := r.connect(r.ctx, p)
	r.up.Done()
	why, ok := whyNotConnected(err)
	r.sums.connection(why)
	if !ok {
		r.sums.lost(1)
		r.errorf("client %s could not connect, and nothing explains the error: %v", p.monitor, err)
	}
	if err != nil {
		return
	}
	if err := p.shrink(); err != nil {
		r.errorf("client %s: %v", p.monitor, err)
	}
	var wg sync.WaitGroup
	for i := range workers {
		w := &worker{round: r, peer: p, rand: r.source.of(r.n, number+1+i)}
		wg.Go(w.run)
	}
	wg.Wait()
}

// disconnect ends p's connection.
func (r *round) disconnect(ctx context.Context, p *peer) {
	began := time.Now()
	err := p.Disconnect(ctx)
	r.sums.slowest = max(r.sums.slowest, time.Since(began))
	r.ended(p, err)
}

// ended records err, with which p's Disconnect or Close returned. Only the test's
// goroutine calls it.
func (r *round) ended(p *peer, err error) {
	why, ok := endOf(err)
	if !ok {
		r.sums.lost(1)
		r.errorf("client %s was disconnected with %v", p.monitor, err)
	}
	if why != inOrder {
		p.cause = why
	}
}

// awaitExit waits for the exit of a QEMU that has to exit, and requires that another
// one has not exited. A QEMU that connected to the clients cannot do so again, so
// awaitExit kills it.
func (r *round) awaitExit(dies bool) {
	switch {
	case dies:
	case r.dials:
		r.vm.Kill()
	case r.alive():
		return
	default:
		r.errorf("%v has exited, which this fault must not cause", r.vm)
	}
	err := r.vm.Wait(r.t)
	switch {
	case !dies || !r.fault.orderly || err == nil:
	case crashed(err) && r.mayCrash():
		r.t.Logf("%v crashed, as QEMU 5.2 and 10.0 sometimes do at quit with commands left: %v", r.vm, err)
	default:
		r.errorf("%v ended with %v", r.vm, err)
	}
}

// mayCrash reports whether QEMU is of a version that was seen to crash at quit. A client
// that has connected knows the version; without one, QEMU may be of any.
func (r *round) mayCrash() bool {
	for _, p := range r.peers {
		if g := p.Greeting(); g != nil {
			return crashesAtQuit(g.Version)
		}
	}
	return true
}

func crashesAtQuit(v async.Version) bool {
	return v.Major == 5 && v.Minor == 2 || v.Major == 10 && v.Minor == 0
}

// crashed reports whether a process ended with a signal that only its own fault can
// cause. The calls of its clients are accounted for all the same.
func crashed(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && (status.Signal() == syscall.SIGSEGV || status.Signal() == syscall.SIGABRT)
}

// audit compares what p's calls and listeners returned with the messages that were
// sent and received.
func (r *round) audit(p *peer) {
	late, faults := p.ledger.settle(p.cause)
	r.sums.dropped(late)
	r.sums.lost(len(faults))
	for _, fault := range faults {
		r.errorf("client %s: %s", p.monitor, fault)
	}
	wire, took := p.ledger.wire()
	all, notices := drain(p.unread)
	rest, restNotices := drain(p.events)
	p.unread.Close()
	p.events.Close()
	if !slices.Equal(all, wire) || notices > 1 {
		r.sums.lost(1)
		r.errorf("client %s: a listener has the events %v and %d notices, want the received events %v and at most one notice", p.monitor, all, notices, wire)
	}
	if took.events+len(rest) != len(wire) || took.notices+restNotices != notices {
		r.sums.lost(1)
		r.errorf("client %s: of %d events and %d notices the workers have read %d and %d, and %d and %d are left",
			p.monitor, len(wire), notices, took.events, took.notices, len(rest), restNotices)
	}
}

// drain reads everything that is in a listener's queue. It returns the names of the
// events, and the number of notices.
func drain(l *async.EventListener) (names []string, notices int) {
	for {
		switch ev, ok, err := l.TryNext(); {
		case err != nil:
			notices++
		case ok:
			names = append(names, ev.Name)
		default:
			return names, notices
		}
	}
}

// join waits for goroutines. All their waits have time limits, so join fails the test
// if they do not end.
func (r *round) join(what string, wg *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	late := time.NewTimer(2 * qemutest.Patience)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		stacks := make([]byte, 1<<20)
		r.sums.lost(1)
		r.t.Fatalf("round %d, %s: %s hang:\n%s", r.n, r.fault.name, what, stacks[:runtime.Stack(stacks, true)])
	}
}
