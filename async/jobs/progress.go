package jobs

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/goqmp/qmp/qapi"
)

// Progress says how far a job is and how fast it goes.
type Progress struct {
	Status qapi.JobStatus

	// Current and Total are as in [Info]: bytes for most block jobs.
	Current, Total int64

	// Rate is how much Current grows in a second, on average over the last ten
	// measurements. It is 0 if that is not known: after one measurement, and while the
	// job is paused.
	Rate float64
}

// Fraction returns how much of the job is done, from 0 to 1. It is 0 if the total is
// not known.
func (p Progress) Fraction() float64 {
	if p.Total <= 0 || p.Current <= 0 {
		return 0
	}
	return min(float64(p.Current)/float64(p.Total), 1)
}

// ETA returns how long the job still takes if it goes on at the same rate. ok is false
// if that cannot be told: the total or the rate is not known, or the job makes no
// progress. ETA is 0 if the job has done all of its work. (A mirror that is ready still
// copies what the guest writes, so its total grows.)
func (p Progress) ETA() (left time.Duration, ok bool) {
	switch {
	case p.Total <= 0:
		return 0, false
	case p.Current >= p.Total:
		return 0, true
	}
	return timeFor(float64(p.Total)-float64(p.Current), p.Rate)
}

// Progress asks QEMU how far the job is. To get a rate, call it repeatedly, or use
// [Job.Watch]: the time between two calls is what the rate is measured over. If the job
// does not exist any more, Progress returns what was last known, and [ErrEnded].
//
// Progress does not follow the job: a call of [Job.Wait] or another one does that.
func (j *Job) Progress(ctx context.Context) (Progress, error) {
	job, found, err := j.learn(ctx)
	if err != nil {
		return Progress{}, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !found {
		return j.lastProgress(), ErrEnded
	}
	p := Progress{Status: job.Status, Current: job.CurrentProgress, Total: job.TotalProgress}
	switch job.Status {
	case qapi.JobStatusPaused, qapi.JobStatusStandby:
		j.meter = meter{} // the pause must not lower the rate after it
	default:
		p.Rate = j.meter.add(time.Now(), p.Current)
	}
	return p, nil
}

// lastProgress returns the progress that was last known. mu is held.
func (j *Job) lastProgress() Progress {
	info := &j.tracker.info
	return Progress{Status: info.Status, Current: info.Current, Total: info.Total}
}

// Watch follows the job until it is over, as [Job.Wait] does, and yields its progress:
// immediately, then once in each interval, and once at the end. The last pair has an
// error if the job cannot be followed any more. An interval of zero or less means one
// second. After the loop, [Job.Wait] returns the job's result immediately.
func (j *Job) Watch(ctx context.Context, interval time.Duration) iter.Seq2[Progress, error] {
	return watch(ctx, interval, watched[Progress]{
		ask: func() (p Progress, some bool, err error) {
			p, err = j.Progress(ctx)
			if errors.Is(err, ErrEnded) || isLoss(err) && ctx.Err() == nil {
				return p, false, nil // the call that follows the job finds out
			}
			if err != nil {
				err = j.waitError(ctx, "its progress", err)
			}
			return p, true, err
		},
		pass: func(idle context.Context) error { return j.await(ctx, idle, j.over, j.step) },
		last: func() Progress {
			j.mu.Lock()
			defer j.mu.Unlock()
			return j.lastProgress()
		},
		result:    j.result,
		waitError: func(err error) error { return j.waitError(ctx, "its end", err) },
	})
}

// watched is a job or a migration whose progress a loop yields.
type watched[P any] struct {
	ask       func() (p P, some bool, err error) // some is false if there is nothing to yield
	pass      func(idle context.Context) error   // follows it until idle ends, or until it is over
	last      func() P                           // the progress at the end
	result    func() error
	waitError func(err error) error
}

// watch returns the iterator of Watch.
func watch[P any](ctx context.Context, interval time.Duration, w watched[P]) iter.Seq2[P, error] {
	if interval <= 0 {
		interval = time.Second
	}
	return func(yield func(P, error) bool) {
		for {
			p, some, err := w.ask()
			if some && !yield(p, err) || err != nil {
				return
			}
			idle, cancel := context.WithTimeoutCause(ctx, interval, errInterval)
			err = w.pass(idle)
			cancel()
			switch {
			case err == nil:
				if err = w.result(); !errors.Is(err, ErrGone) {
					err = nil
				}
				yield(w.last(), err)
				return
			case ctx.Err() != nil || !errors.Is(err, errInterval):
				yield(p, w.waitError(err))
				return
			}
		}
	}
}

// errInterval ends the context of an interval.
var errInterval = errors.New("the interval is over")

// A meter measures how fast a job goes. The zero value has no measurements.
type meter struct {
	samples []sample // oldest first, at most mostSamples
}

type sample struct {
	at      time.Time // with a monotonic clock reading, so that it does not matter if somebody sets the clock
	current int64
}

const mostSamples = 10

// add adds a measurement and returns the rate for each second, or 0 if it is not known.
func (m *meter) add(at time.Time, current int64) float64 {
	if n := len(m.samples); n > 0 {
		switch last := m.samples[n-1]; {
		case current < last.current:
			m.samples = nil // the job has begun again
		case !at.After(last.at):
			m.samples = m.samples[:n-1]
		case n == mostSamples:
			m.samples = append(m.samples[:0], m.samples[1:]...)
		}
	}
	m.samples = append(m.samples, sample{at, current})
	first := m.samples[0]
	passed := at.Sub(first.at).Seconds()
	if passed <= 0 {
		return 0
	}
	return (float64(current) - float64(first.current)) / passed
}
