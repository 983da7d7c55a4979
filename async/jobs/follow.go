package jobs

import (
	"context"
	"errors"
	"sync"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/contexts"
)

// A Monitor executes commands and has listeners for events. *async.Client is one.
// (A client of qmpsync has it as its Async, a machine as its Client.)
type Monitor interface {
	async.Caller
	NewListener(opts *async.ListenerOptions, names ...string) *async.EventListener
}

var _ Monitor = (*async.Client)(nil)

// mostEvents limits how many unread events a job keeps. They are few: a job has about
// ten, unless somebody pauses and resumes it again and again.
const mostEvents = 200

// A follower is what the calls share that follow one job. There is no goroutine: one of
// the calls that wait follows the job, and the others wait until it has seen something
// new, or until it returns. Then another one takes its turn.
type follower struct {
	monitor Monitor
	news    *async.EventListener
	heard   func(ev async.Event, notice error) // takes an event or a notice of the listener; called with mu held
	turn    chan struct{}                      // full while a call follows the job: that call reads news and executes commands

	changes chan struct{} // has a token if the listener has changed since the last wait
	session uint64        // the monitor's connection at the last step; the holder of turn owns it

	mu      sync.Mutex    // guards changed, and what the owner says; never held across I/O
	changed chan struct{} // closed at the next change; nil if nobody waits for one
}

func newFollower(m Monitor, heard func(async.Event, error), filter func(async.Event) bool, names ...string) follower {
	changes := make(chan struct{}, 1)
	notify := func() {
		select {
		case changes <- struct{}{}:
		default:
		}
	}
	return follower{
		monitor: m,
		session: sessionOf(m),
		news:    m.NewListener(&async.ListenerOptions{Filter: filter, Limit: mostEvents, Notify: notify}, names...),
		changes: changes,
		heard:   heard,
		turn:    make(chan struct{}, 1),
	}
}

// change wakes the calls that wait. mu is held.
func (f *follower) change() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// look calls done with mu held. If done returns false, look returns a channel that the
// next change closes.
func (f *follower) look(done func() bool) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if done() {
		return nil
	}
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// await returns nil when done returns true. done is called with mu held. Until then
// await follows the job with step, or waits while another call does so.
//
// ctx limits everything. idle limits only the wait for news, so that no command is given
// up when it ends. It ends with ctx, or before.
func (f *follower) await(ctx, idle context.Context, done func() bool, step func(ctx, idle context.Context) error) error {
	for {
		changed := f.look(done)
		if changed == nil {
			return nil
		}
		select {
		case f.turn <- struct{}{}:
		default:
			select {
			case f.turn <- struct{}{}:
			case <-changed:
				continue
			case <-idle.Done():
				return contexts.Err(idle)
			}
		}
		// Since the look, another call may have seen what this one waits for.
		var err error
		if f.look(done) != nil {
			err = step(ctx, idle)
			if ctx.Err() == nil && isLoss(err) {
				err = f.reconnected(idle, err)
			}
		}
		<-f.turn
		if err != nil {
			return err
		}
	}
}

// hear takes the news that have come. It reports whether there were any.
func (f *follower) hear() (some bool) {
	for {
		ev, ok, err := f.news.TryNext()
		if !ok && err == nil {
			return some
		}
		f.take(ev, err)
		some = true
	}
}

// wait waits until the listener has changed. It may return earlier.
//
// [async.EventListener.Next] would not do: a Disconnect and a Connect just before it
// leave no trace in the queue, and it would wait for an event that was sent between the
// two. The changes are noted from the beginning, so the next step sees the new session.
func (f *follower) wait(ctx context.Context) error {
	ev, err := f.news.Next(ended)
	switch err.(type) {
	case nil, *async.OverflowError, *async.ExecInterruptedError:
		f.take(ev, err)
		return nil
	case *async.EventWaitError: // nothing has come, and something may come
	default:
		return err
	}
	select {
	case <-f.changes:
		return nil
	case <-ctx.Done():
		return contexts.Err(ctx)
	}
}

// ended is a context that has ended.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (f *follower) take(ev async.Event, notice error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard(ev, notice)
}

// A reconnecting monitor is a client that may connect again.
type reconnecting interface {
	Session() uint64
	Runstate() async.Runstate
	WatchRunstate() *async.RunstateWatcher
}

var _ reconnecting = (*async.Client)(nil)

// errRenewed is the notice that a monitor has another connection than before.
var errRenewed = errors.New("another connection")

// sessionOf returns the number of a monitor's connection, or 0 if it does not tell.
func sessionOf(m Monitor) uint64 {
	if m, ok := m.(reconnecting); ok {
		return m.Session()
	}
	return 0
}

// renewed reports whether the monitor has another connection than at the last call.
func (f *follower) renewed() bool {
	last := f.session
	f.session = sessionOf(f.monitor)
	return last != 0 && f.session != last
}

// isLoss reports whether err is that of a call that found no connection, or whose
// connection has ended. The context of the call has not ended.
func isLoss(err error) bool {
	switch err.(type) {
	case *async.StateError, *async.ExecInterruptedError:
		return true
	}
	return false
}

// reconnected waits until the monitor has a connection again. A call has failed with
// err, because there was none. If the monitor does not connect again, reconnected
// returns err. If it gives up during the wait, reconnected returns nil: the next call
// gets an error that says why.
func (f *follower) reconnected(ctx context.Context, err error) error {
	m, ok := f.monitor.(reconnecting)
	if !ok {
		return err
	}
	var ended uint64 // the connection that has ended
	if e, ok := err.(*async.ExecInterruptedError); ok {
		ended = e.Session
	}
	w := m.WatchRunstate()
	defer w.Close()
	for first := true; ; first = false {
		switch state := m.Runstate(); {
		case state == async.Running && (ended == 0 || m.Session() != ended):
			return nil
		case state == async.Running, state == async.Connecting:
		case first:
			return err
		default:
			return nil
		}
		if _, err := w.Next(ctx); err != nil {
			return err
		}
	}
}
