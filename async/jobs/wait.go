package jobs

import (
	"context"
	"iter"
	"slices"

	"github.com/goqmp/qmp/qapi"
)

// Wait follows the job until it is over. It returns nil if the job has succeeded.
// Otherwise the error is one of these:
//
//   - [*Error]: the job has failed, or was canceled ([ErrCanceled]).
//   - [*GoneError]: the job has ended, and it cannot be known how.
//   - [*WaitError]: ctx or the connection has ended, or a command for the job failed.
//     The job may still go on.
//
// A job is over when it does not exist any more, or when it is concluded and the
// [Policy] leaves it so.
func (j *Job) Wait(ctx context.Context) error {
	if err := j.until(ctx, ctx, "its end", never); err != nil {
		return err
	}
	return j.result()
}

func never() bool { return false }

// WaitFor follows the job until it is in one of the given states, or has been in one
// since the call, and returns that state. If the job ends before, WaitFor returns the
// error of [Job.Wait], or [ErrEnded] in a [*WaitError] if the job has succeeded.
func (j *Job) WaitFor(ctx context.Context, states ...qapi.JobStatus) (qapi.JobStatus, error) {
	j.mu.Lock()
	next := max(j.tracker.count-1, 0) // the first state that counts is the present one
	j.mu.Unlock()
	var found qapi.JobStatus
	what := oneOf(states)
	err := j.until(ctx, ctx, what, func() bool {
		for ; next < j.tracker.count; next++ {
			if state := j.tracker.at(next); slices.Contains(states, state.Status) {
				found = state.Status
				return true
			}
		}
		return false
	})
	switch {
	case err != nil:
		return "", err
	case found != "":
		return found, nil
	}
	if err := j.result(); err != nil {
		return "", err
	}
	return "", &WaitError{Job: j.Info(), What: what, Err: ErrEnded}
}

// oneOf lists states for an error.
func oneOf(states []qapi.JobStatus) string {
	text := "the state "
	for i, state := range states {
		if i > 0 {
			text += " or "
		}
		text += string(state)
	}
	return text
}

// States returns an iterator over the states that the job has entered, from the first
// one that is known, and follows the job until it is over. Any number of loops may
// run; each gets all states. If the job cannot be followed any more, the last pair has
// an error: a [*WaitError], or a [*GoneError]. A failure of the job is not such an
// error: after the loop, [Job.Wait] returns it immediately.
//
// A loop that does not read while the job enters more than 1,000 states misses the
// oldest of these.
func (j *Job) States(ctx context.Context) iter.Seq2[State, error] {
	return func(yield func(State, error) bool) {
		for next := 0; ; next++ {
			var state State
			some := false
			err := j.until(ctx, ctx, "its next state", func() bool {
				if some = next < j.tracker.count; some {
					next = max(next, j.tracker.count-len(j.tracker.states))
					state = j.tracker.at(next)
				}
				return some
			})
			if err == nil && !some {
				if _, gone := j.result().(*GoneError); !gone {
					return
				}
				err = j.result()
			}
			if !yield(state, err) || err != nil {
				return
			}
		}
	}
}

// at returns the state that was the nth, counted from 0. It must not be older than those
// that the Tracker keeps.
func (t *Tracker) at(n int) State {
	return t.states[max(n-(t.count-len(t.states)), 0)]
}
