//go:build linux

package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// workers is how many goroutines share a client.
const workers = 8

// The causes with which contexts end here.
var (
	errHang = errors.New("nothing happened for longer than anything takes")
	errOver = errors.New("the round is over")
)

// A round is one connection of every client of a host, and what happens to it.
type round struct {
	*host
	t      *testing.T
	n      int
	fault  fault
	source source
	rand   *rand.Rand // of the test's goroutine
	sums   *tally

	ctx  context.Context // bounds everything: only a hang gets there
	over context.Context // ends when the workers are to stop
	end  context.CancelCauseFunc
	up   sync.WaitGroup // clients that are still connecting
}

// round runs round n and reports whether QEMU is there for another one.
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
			r.errorf("client %s is %v behind its disconnect", p.monitor, state)
		}
	}
	r.bury(dies)
	for _, p := range h.peers {
		r.audit(p)
	}
	sums.rounds++
	sums.ending(r.fault.name)
	for _, leak := range before.leaks(h) {
		sums.leaks++
		r.errorf("left behind: %s", leak)
	}
	return h.alive()
}

// errorf fails the test. Any goroutine of the round may call it.
func (r *round) errorf(format string, args ...any) {
	r.t.Helper()
	r.t.Errorf("round %d, %s: "+format, append([]any{r.n, r.fault.name}, args...)...)
}

// open prepares the clients, and starts a QEMU that dials when they listen.
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

// live is a client's life in this round. The goroutines from number on are its
// own.
func (r *round) live(p *peer, number int) {
	err := r.connect(r.ctx, p)
	r.up.Done()
	why, ok := whyNotConnected(err)
	r.sums.connection(why)
	if !ok {
		r.sums.lost(1)
		r.errorf("client %s got no connection, for no good reason: %v", p.monitor, err)
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

// ended notes what p's client says about the end of the connection. Only the
// test's goroutine calls it.
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

// bury waits for a QEMU that has to die, and sees that no other one has. One that
// dialled is of no use any more.
func (r *round) bury(dies bool) {
	switch {
	case dies:
	case r.dials:
		r.vm.Kill()
	case r.alive():
		return
	default:
		r.errorf("%v died of it", r.vm)
	}
	err := r.vm.Wait(r.t)
	if dies && r.fault.orderly && err != nil {
		r.errorf("%v ended with %v", r.vm, err)
	}
}

// audit compares what p's callers and listeners were told with what went over
// the wire.
func (r *round) audit(p *peer) {
	late, faults := p.books.settle(p.cause)
	r.sums.dropped(late)
	r.sums.lost(len(faults))
	for _, fault := range faults {
		r.errorf("client %s: %s", p.monitor, fault)
	}
	wire, took := p.books.wire()
	all, notices := drain(p.unread)
	rest, restNotices := drain(p.events)
	p.unread.Close()
	p.events.Close()
	if !slices.Equal(all, wire) || notices > 1 {
		r.sums.lost(1)
		r.errorf("client %s: a listener has the events %v and %d notices, want those of the wire, %v", p.monitor, all, notices, wire)
	}
	if took.events+len(rest) != len(wire) || took.notices+restNotices != notices {
		r.sums.lost(1)
		r.errorf("client %s: of %d events and %d notices the workers took %d and %d, and %d and %d are left",
			p.monitor, len(wire), notices, took.events, took.notices, len(rest), restNotices)
	}
}

// drain returns the names of the events that are queued, and the number of
// notices among them.
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

// join waits for goroutines all of whose waits are bounded.
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
