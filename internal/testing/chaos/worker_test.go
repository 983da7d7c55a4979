//go:build linux

package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/goqmp/qmp/async"
)

// errImpatient is why a worker gives up.
var errImpatient = errors.New("out of patience")

// A worker is one of the goroutines that use a client.
type worker struct {
	*round
	peer *peer
	rand *rand.Rand
}

// run works until soon after the end of the round, so that something also comes
// behind that, or until it has learnt that there is no connection.
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

// impatient returns a context that in half of the cases ends at some moment, or
// has ended.
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

// call executes a command, and reports whether there was a connection to do it.
func (w *worker) call() (connected bool) {
	token := w.peer.books.open()
	cmd, replies := command(w.rand, token)
	ctx, cancel := w.impatient(w.ctx)
	defer cancel()
	return w.execute(ctx, token, cmd, replies...).what != unconnected
}

// execute executes a command and accounts for it.
func (w *worker) execute(ctx context.Context, token string, cmd async.Command, replies ...string) fate {
	got, err := w.peer.Do(ctx, cmd)
	f, ok := fateOf(ctx, got, err)
	if err == nil && !answers(got.Raw(), token, replies) {
		f, ok = fate{}, false
	}
	if !ok {
		w.errorf("client %s: %s (%s): unaccounted for: reply %.200s, error %v", w.peer.monitor, cmd.Name, token, got.Raw(), err)
	}
	w.sums.command(f, ok)
	w.peer.books.ended(token, f)
	return f
}

// await waits for an event, and reports whether there was a connection to wait
// on. The end of the round ends the wait, since there may not be another event.
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
		w.peer.books.gave(taken{events: 1})
	case gotNotice:
		w.peer.books.gave(taken{notices: 1})
	}
	return end != unconnected
}
