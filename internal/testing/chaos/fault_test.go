//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/goqmp/qmp/async"
)

// A fault is what ends a round.
type fault struct {
	name string
	// strike does it, and reports whether QEMU has to exit. It does not leave QEMU
	// stopped.
	strike  func(*round) (dies bool)
	orderly bool // if QEMU exits, its status is 0
	ours    bool // this side ends the connection
}

var faults = []fault{
	{name: "nothing", strike: func(*round) bool { return false }},

	{name: "disconnected", ours: true, strike: func(r *round) bool {
		r.disconnect(r.ctx, r.someone())
		return false
	}},
	{name: "disconnected with a short time limit", ours: true, strike: func(r *round) bool {
		ctx, cancel := r.hurry()
		defer cancel()
		r.disconnect(ctx, r.someone())
		return false
	}},
	{name: "disconnected while QEMU is stopped", ours: true, strike: func(r *round) bool {
		r.stopped(func() {
			ctx, cancel := r.hurry()
			defer cancel()
			r.disconnect(ctx, r.someone())
		})
		return false
	}},
	{name: "closed", ours: true, strike: func(r *round) bool {
		r.close(r.someone())
		return false
	}},
	{name: "closed while QEMU is stopped", ours: true, strike: func(r *round) bool {
		r.stopped(func() { r.close(r.someone()) })
		return false
	}},
	{name: "closed and disconnected concurrently", ours: true, strike: func(r *round) bool {
		p := r.someone()
		closed := make(chan error)
		go func() { closed <- p.Close() }()
		r.disconnect(r.ctx, p)
		r.ended(p, <-closed)
		return false
	}},

	// QEMU shuts down the socket of one of its own monitors.
	{name: "yanked", strike: func(r *round) bool {
		victim := r.rand.IntN(len(r.peers))
		r.tell(r.someone(), async.Command{Name: "yank", OOB: true, Args: instance(fmt.Sprintf("compat_monitor%d", victim))})
		return false
	}},

	{name: "told to quit", orderly: true, strike: func(r *round) bool {
		return r.quit(r.someone())
	}},
	{name: "told to quit while stopped", orderly: true, strike: func(r *round) (dies bool) {
		var wg sync.WaitGroup
		p := r.someone()
		r.stopped(func() {
			wg.Go(func() { dies = r.quit(p) })
			r.moment()
		})
		wg.Wait()
		return dies
	}},
	{name: "terminated", strike: func(r *round) bool {
		if err := syscall.Kill(r.vm.Pid, syscall.SIGTERM); err != nil {
			r.t.Fatal(err)
		}
		return true
	}},
	{name: "killed", strike: func(r *round) bool {
		r.vm.Kill()
		return true
	}},
	{name: "killed while stopped", strike: func(r *round) bool {
		r.vm.Freeze(r.t)
		r.moment()
		r.vm.Kill()
		return true
	}},
}

// fault returns what ends round n. All faults come in turn, each time in another
// order.
func (s source) fault(n int) fault {
	deck := rand.New(rand.NewPCG(s.seed, s.scenario<<48|uint64(n/len(faults)))).Perm(len(faults))
	return faults[deck[n%len(faults)]]
}

// inject lets the workers work for some time, may stop QEMU for short times, and then
// injects the round's fault. In some rounds it does not wait until the clients are
// connected. But a QEMU that starts waits for a client at each monitor. So in that
// round inject waits before this side ends a connection.
func (r *round) inject() (dies bool) {
	if early := r.rand.IntN(4) == 0; !early || r.fault.ours && !r.booted && !r.dials {
		r.join("the clients that connect", &r.up)
		r.booted = true
	}
	for range r.rand.IntN(3) {
		r.moment()
		r.stopped(r.moment)
	}
	r.moment()
	dies = r.fault.strike(r)
	r.moment() // other clients may still be connected
	return dies
}

// moment waits for a random time, mostly a short one.
func (r *round) moment() {
	const mean, most = 40 * time.Millisecond, 200 * time.Millisecond
	<-time.After(min(time.Duration(r.rand.ExpFloat64()*float64(mean)), most))
}

// stopped calls f while QEMU is stopped.
func (r *round) stopped(f func()) {
	r.vm.Freeze(r.t)
	f()
	r.vm.Thaw(r.t)
}

// someone returns one of the clients.
func (r *round) someone() *peer { return r.peers[r.rand.IntN(len(r.peers))] }

func (r *round) close(p *peer) { r.ended(p, p.Close()) }

// errHurry is the cause with which hurry's context ends.
var errHurry = errors.New("the short time limit has passed")

// hurry returns a context with a random time limit of less than 5 ms.
func (r *round) hurry() (context.Context, context.CancelFunc) {
	limit := time.Duration(r.rand.IntN(5000)) * time.Microsecond
	return context.WithTimeoutCause(r.ctx, limit, errHurry)
}

// tell executes a command at p's QEMU, whose result has to be {}.
func (r *round) tell(p *peer, cmd async.Command) fate {
	w := &worker{round: r, peer: p}
	token := p.ledger.open()
	cmd.ID = token
	return w.execute(r.ctx, token, cmd, `"return": {}`)
}

// quit tells QEMU to quit, and reports whether QEMU has answered that it does. The
// answer must not be lost. The client may not be connected yet.
func (r *round) quit(p *peer) bool {
	switch f := r.tell(p, async.Command{Name: "quit"}); f.what {
	case answered:
		return true
	case unconnected:
		return false
	default:
		r.errorf("quit was not answered: %v", f)
		return false
	}
}
