package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/qapi"
)

// Options configures a [Job]. A nil *Options, like the zero value, suits most jobs.
type Options struct {
	// Policy decides what is done with a job that waits for a command. Nil means
	// [Auto].
	Policy Policy
}

// A Job is a job of QEMU, whose events it receives until its Close. All methods may be
// called concurrently.
//
// A Job has no goroutine. It executes the commands that its [Policy] wants only while
// a call of Wait, WaitFor, States or Watch runs.
type Job struct {
	follower
	id     string
	policy Policy

	tracker Tracker // follower.mu guards it; only the holder of the turn changes it
	meter   meter   // follower.mu guards it

	// What was done in the job's present state. The holder of the turn owns it.
	here struct {
		count   int   // the state, as Tracker.Count
		asked   bool  // QEMU was asked for the job in that state
		refusal error // why QEMU refused the Policy's command in that state
	}

	// The states, as Tracker.Count, that the Policy has decided about and that it has
	// left as they are; 0 for none. follower.mu guards them.
	decidedAt, leftAt int
}

// Start starts a job and returns it. start executes the command that starts the job
// with that id: blockdev-backup, for example, or a transaction. Start makes the
// listener before it calls start, so it misses no event, even if the job ends
// immediately. opts may be nil.
//
// If start returns an error, Start returns it as it is. If start succeeds and has not
// started a job with that id, the error is a [*NotFoundError].
func Start(ctx context.Context, m Monitor, id string, start func(ctx context.Context) error, opts *Options) (*Job, error) {
	jobs, err := StartAll(ctx, m, []string{id}, start, opts)
	if err != nil {
		return nil, err
	}
	return jobs[0], nil
}

// StartAll is [Start] for a command that starts several jobs, such as a transaction. It
// returns the jobs in the order of their ids. If it returns an error, it returns no
// job, though some may have been started: [Attach] finds them.
//
// Jobs of a transaction in the completion mode "grouped" wait for each other before
// they are pending. QEMU finalizes all of them when one is finalized.
func StartAll(ctx context.Context, m Monitor, ids []string, start func(ctx context.Context) error, opts *Options) ([]*Job, error) {
	jobs := make([]*Job, len(ids))
	for i, id := range ids {
		jobs[i] = newJob(m, id, opts)
	}
	err := start(ctx)
	for _, j := range jobs {
		if err == nil {
			err = j.find(ctx, true)
		}
	}
	if err != nil {
		for _, j := range jobs {
			j.Close()
		}
		return nil, err
	}
	return jobs, nil
}

// find finds the job. justStarted says that a command has started it since j was made.
func (j *Job) find(ctx context.Context, justStarted bool) error {
	j.hear()
	j.mu.Lock()
	// Events before "created" are those of an earlier job with the same id.
	if states := j.tracker.past.states; justStarted && len(states) > 0 && states[0].Status == qapi.JobStatusCreated {
		j.tracker.bound = true
		j.meter.add(time.Now(), 0)
	}
	bound := j.tracker.bound
	j.mu.Unlock()
	for !bound {
		if err := j.ask(ctx); err != nil {
			return err
		}
		j.mu.Lock()
		bound = j.tracker.bound
		missing := j.tracker.past.count == 0
		j.mu.Unlock()
		if missing && !bound {
			return &NotFoundError{ID: j.id, NotStarted: justStarted}
		}
	}
	return nil
}

// Attach returns a job that was started before, by whomever. If there is no such job,
// the error is a [*NotFoundError]. Other errors are those of [qapi.QueryJobs]. opts may
// be nil.
func Attach(ctx context.Context, m Monitor, id string, opts *Options) (*Job, error) {
	j := newJob(m, id, opts)
	if err := j.find(ctx, false); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

func newJob(m Monitor, id string, opts *Options) *Job {
	j := &Job{id: id, policy: Auto, tracker: *NewTracker(id)}
	if opts != nil && opts.Policy != nil {
		j.policy = opts.Policy
	}
	mine := func(ev async.Event) bool { return eventOf(id, ev) != nil }
	j.follower = newFollower(m, j.heard, mine, eventNames...)
	return j
}

// List returns all jobs of a QEMU, in QEMU's order.
func List(ctx context.Context, c async.Caller) ([]Info, error) {
	jobs, err := qapi.QueryJobs(ctx, c)
	if err != nil {
		return nil, err
	}
	list := make([]Info, len(jobs))
	for i := range jobs {
		t := NewTracker(jobs[i].ID)
		t.Query(jobs, 0)
		list[i] = t.info
	}
	return list, nil
}

// Close ends the following of the job. It changes nothing about the job itself. Calls
// that wait return an error that matches [async.ErrClosed].
func (j *Job) Close() { j.news.Close() }

// ID returns the job's id.
func (j *Job) ID() string { return j.id }

// Info returns what is known of the job, without asking QEMU. It is as new as the last
// step of a call that followed the job, or the last call of [Job.Progress].
func (j *Job) Info() Info {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.tracker.info
}

// step makes one step in following the job. It has the turn.
func (j *Job) step(ctx, idle context.Context) error {
	if j.renewed() {
		j.take(async.Event{}, errRenewed)
	}
	if j.hear() {
		return nil
	}
	info, count := j.now()
	if j.here.count != count {
		j.here.count, j.here.asked, j.here.refusal = count, false, nil
	}
	switch {
	case !j.here.asked && (info.atRest() || j.tracker.gap):
		// If the job goes on by itself, it may have left that state already.
		err := j.ask(ctx)
		j.here.asked = err == nil && !j.tracker.gap
		return err
	case info.atRest() && !j.decided():
		return j.decide(ctx, info)
	}
	return j.wait(idle)
}

// now returns the job's present state.
func (j *Job) now() (Info, int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.tracker.info, j.tracker.past.count
}

// heard takes an event or a notice of the listener. mu is held.
func (j *Job) heard(ev async.Event, notice error) {
	if notice != nil {
		j.tracker.Gap()
		j.here.asked = false
	} else {
		j.tracker.Event(ev)
	}
	j.told()
}

// told notes that the Tracker has news. mu is held.
func (j *Job) told() {
	if j.tracker.gone && j.tracker.bound {
		j.news.Close() // no event can come any more
	}
	j.change()
}

// ask asks QEMU for the job. The caller has the turn.
func (j *Job) ask(ctx context.Context) error {
	j.mu.Lock()
	count := j.tracker.Count()
	j.mu.Unlock()
	list, err := qapi.QueryJobs(ctx, j.monitor)
	j.hear() // an event that QEMU sent before the reply has come by now
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tracker.Query(list, count)
	j.told()
	return nil
}

// learn asks QEMU for the job, and takes from the reply what cannot be outdated, for a
// caller that does not have the turn. found reports whether the job was in the reply.
func (j *Job) learn(ctx context.Context) (job qapi.JobInfo, found bool, err error) {
	list, err := qapi.QueryJobs(ctx, j.monitor)
	if err != nil {
		return qapi.JobInfo{}, false, err
	}
	i := slices.IndexFunc(list, func(job qapi.JobInfo) bool { return job.ID == j.id })
	if i < 0 {
		return qapi.JobInfo{}, false, nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tracker.take(&list[i], false)
	return list[i], true, nil
}

// decided reports whether the Policy has decided about the job's present state.
func (j *Job) decided() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.decidedAt == j.tracker.past.count
}

// decide executes the command that the Policy wants.
func (j *Job) decide(ctx context.Context, info Info) error {
	if refusal := j.here.refusal; refusal != nil {
		j.here.refusal = nil
		return refusal
	}
	verb, err := j.policy(ctx, info)
	if err != nil {
		return fmt.Errorf("the policy: %w", err)
	}
	if verb != "" {
		err = execute(ctx, j.monitor, verb, j.id)
	}
	var refused *async.ExecuteError
	switch {
	case errors.As(err, &refused):
		// The job may have left that state meanwhile, or have ended.
		j.here.refusal, j.here.asked = err, false
		return nil
	case err != nil:
		j.here.asked = false
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.decidedAt = j.here.count
	if verb == "" {
		j.leftAt = j.here.count
	}
	j.change()
	return nil
}

// over reports whether the job's result is known: the job does not exist any more, or
// the Policy has left it concluded. mu is held.
func (j *Job) over() bool {
	return j.tracker.gone || j.tracker.info.Status == qapi.JobStatusConcluded && j.leftAt == j.tracker.past.count
}

// until waits until done returns true or the job is over. what completes the sentence
// "waited for ...".
func (j *Job) until(ctx, idle context.Context, what string, done func() bool) error {
	err := j.await(ctx, idle, func() bool { return done() || j.over() }, j.step)
	if err == nil {
		return nil
	}
	return j.waitError(ctx, what, err)
}

// waitError returns the error of a call that waited for what and ended with err.
func (j *Job) waitError(ctx context.Context, what string, err error) error {
	info := j.Info()
	return newWaitError(ctx, "job "+info.name(), what, info.situation(), err)
}

// result returns the result of a job that is over.
func (j *Job) result() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.tracker.Err()
}
