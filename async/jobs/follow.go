package jobs

import (
	"context"
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
const mostEvents = 1000

// A follower is what the calls share that follow one job. There is no goroutine: one of
// the calls that wait follows the job, and the others wait until it has seen something
// new, or until it returns. Then another one takes its turn.
type follower struct {
	monitor Monitor
	news    *async.EventListener
	heard   func(ev async.Event, notice error) // takes an event or a notice of the listener; called with mu held
	turn    chan struct{}                      // full while a call follows the job: that call reads news and executes commands

	mu      sync.Mutex    // guards changed, and what the owner says; never held across I/O
	changed chan struct{} // closed at the next change; nil if nobody waits for one
}

func newFollower(m Monitor, heard func(async.Event, error), filter func(async.Event) bool, names ...string) follower {
	return follower{
		monitor: m,
		news:    m.NewListener(&async.ListenerOptions{Filter: filter, Limit: mostEvents}, names...),
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

// wait waits for news and takes them.
func (f *follower) wait(ctx context.Context) error {
	ev, err := f.news.Next(ctx)
	switch err.(type) {
	case nil, *async.OverflowError, *async.ExecInterruptedError:
		f.take(ev, err)
		return nil
	}
	return err
}

func (f *follower) take(ev async.Event, notice error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard(ev, notice)
}
