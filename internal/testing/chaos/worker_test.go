//go:build linux

package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/goqmp/qmp/async"
)

// errImpatient is the cause with which a worker cancels a call.
var errImpatient = errors.New("canceled at a random moment")

// A worker is one of the goroutines that use a client.
type worker struct {
	*round
	peer *peer
	rand *rand.Rand
}

// run makes calls until the round is over, and then up to three more, so that some
// calls come after the end. It also ends after three calls that say that there is no
// connection.
func (w *worker) run() {
	more := w.rand.IntN(4)
	for misses := 0; misses < 3; {
		if w.over.Err() != nil {
			if more == 0 {
				return
			}
			more--
		}
		connected := true
		if w.rand.IntN(6) == 0 {
			connected = w.await()
		} else {
			connected = w.call()
		}
		if !connected {
			misses++
		}
	}
}

// impatient returns a context. In half of the cases it ends within 3 ms, or has ended
// already.
func (w *worker) impatient(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := func() { cancel(nil) }
	switch w.rand.IntN(8) {
	case 0:
		cancel(errImpatient)
	case 1, 2, 3:
		limit := time.Duration(w.rand.IntN(3000)) * time.Microsecond
		limited, cancel := context.WithTimeoutCause(ctx, limit, errImpatient)
		return limited, func() { cancel(); stop() }
	}
	return ctx, stop
}

// call executes a random command, and reports whether the client was connected.
func (w *worker) call() (connected bool) {
	token := w.peer.ledger.open()
	cmd, replies := command(w.rand, token)
	ctx, cancel := w.impatient(w.ctx)
	defer cancel()
	return w.execute(ctx, token, cmd, replies...).what != unconnected
}

// execute executes a command, and records and returns its result.
func (w *worker) execute(ctx context.Context, token string, cmd async.Command, replies ...string) fate {
	got, err := w.peer.Do(ctx, cmd)
	f, ok := fateOf(ctx, got, err)
	if err == nil && !answers(got.Raw(), token, replies) {
		f, ok = fate{}, false
	}
	if !ok {
		w.errorf("client %s: %s (%s): nothing explains the reply %.200s or the error %v", w.peer.monitor, cmd.Name, token, got.Raw(), err)
	}
	w.sums.command(f, ok)
	w.peer.ledger.ended(token, f)
	return f
}

// await waits for an event, and reports whether the client was connected. The end of
// the round ends the wait, because there may be no more events.
func (w *worker) await() (connected bool) {
	ctx, cancel := w.impatient(w.over)
	defer cancel()
	_, err := w.peer.events.Next(ctx)
	end, ok := waitOf(ctx, err)
	if !ok {
		w.sums.lost(1)
		w.errorf("client %s: a wait for events ended with %v", w.peer.monitor, err)
	}
	w.sums.wait(end)
	switch end {
	case gotEvent:
		w.peer.ledger.gave(taken{events: 1})
	case gotNotice:
		w.peer.ledger.gave(taken{notices: 1})
	}
	return end != unconnected
}
