package jobs

import (
	"context"
	"iter"

	"github.com/goqmp/qmp/qapi"
)

// Wait follows the job until it is over. It returns nil if the job has succeeded.
// Otherwise the error is one of these:
//
//   - [*Error]: the job has failed, was canceled ([ErrCanceled]), or has ended and it
//     cannot be known how ([ErrGone]).
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
	found, err := waitFor(j.subject(ctx), func(s State) qapi.JobStatus { return s.Status }, states)
	if err != nil || found != "" {
		return found, err
	}
	if err := j.result(); err != nil {
		return "", err
	}
	return "", j.waitError(ctx, oneOf(states), ErrEnded)
}

func (j *Job) subject(ctx context.Context) subject[State] {
	return subject[State]{
		mu: &j.mu, history: &j.tracker.past, result: j.result,
		until: func(wanted string, done func() bool) error { return j.until(ctx, ctx, wanted, done) },
	}
}

// States returns an iterator over the states that the job has entered, from the first
// one that is known, and follows the job until it is over. Any number of loops may
// run; each gets all states. If the job cannot be followed any more, the last pair has
// an error: a [*WaitError], or one that matches [ErrGone]. A failure of the job is not
// such an error: after the loop, [Job.Wait] returns it immediately.
//
// A loop that does not read while the job enters more than 1,000 states misses the
// oldest of these.
func (j *Job) States(ctx context.Context) iter.Seq2[State, error] {
	return j.subject(ctx).all()
}
