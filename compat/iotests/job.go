package iotests

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goqmp/qmp/compat/machine"
)

// A Job is what query-jobs tells of a job.
type Job struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Status  string `json:"status"`
	Current int64  `json:"current-progress"`
	Total   int64  `json:"total-progress"`
	Error   string `json:"error"` // of a job that has failed
}

// Jobs returns all jobs.
func (vm *VM) Jobs() []Job {
	vm.it.Helper()
	return CmdInto[[]Job](vm, "query-jobs", nil)
}

// Job returns the job of an id, if it exists.
func (vm *VM) Job(id string) (job Job, exists bool) {
	vm.it.Helper()
	jobs := vm.Jobs()
	i := slices.IndexFunc(jobs, func(j Job) bool { return j.ID == id })
	if i < 0 {
		return Job{}, false
	}
	return jobs[i], true
}

// RunJobOptions says how [VM.RunJob] runs a job. A nil *RunJobOptions, like the
// zero value, suits a job that was started without options of its own and has to
// succeed.
type RunJobOptions struct {
	// ManualFinalize and ManualDismiss say that the job was started with
	// auto-finalize, or auto-dismiss, false: then RunJob executes
	// job-finalize, or job-dismiss, in due time. Where jobs of one transaction
	// end together (completion-mode grouped), the job-finalize of one is that of
	// all: set it for one of them.
	ManualFinalize, ManualDismiss bool

	// BeforeFinalize is called when the job is pending, before job-finalize or
	// the job-cancel of Cancel: the last moment at which the job can be cancelled.
	// It needs ManualFinalize.
	BeforeFinalize func()

	// BeforeComplete is called when the job is ready, ahead of job-complete.
	BeforeComplete func()

	// Cancel cancels the job when it is pending in place of finalizing it. It
	// needs ManualFinalize.
	Cancel bool

	// MayFail makes a job's failure a result. Without it the test fails.
	MayFail bool

	// Progress is called with the job again and again while it runs, and once
	// at its end if it succeeded.
	Progress func(Job)

	// Interval is how often Progress is called. Zero means every 100 ms.
	Interval time.Duration

	// Quiet logs nothing. Otherwise the commands that RunJob executes, the
	// job's own BLOCK_JOB events and its failure are logged. The failure is
	// logged where the job can still be asked for it: one that dismisses itself
	// tells it in its last event.
	Quiet bool

	// Filters go over what is logged, before those of [Test.Filters].
	Filters []Filter
}

// A JobResult is what became of a job.
type JobResult struct {
	Error    string   // why it failed; "" if it did not
	Canceled bool     // it ended because somebody cancelled it
	States   []string // all that it went through, "created" and "null" included if they were seen
	Events   []Dict   // its BLOCK_JOB events, in order
	Last     Job      // as it was when last asked for
}

// OK reports whether the job did what it was to do.
func (r *JobResult) OK() bool { return r.Error == "" && !r.Canceled }

// The events of a job. JOB_STATUS_CHANGE tells all of its states, the others are
// older and tell more.
var blockJobEvents = []string{
	"BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED", "BLOCK_JOB_ERROR", "BLOCK_JOB_READY", "BLOCK_JOB_PENDING",
}

// jobEvents describes all events of one job.
func jobEvents(id string) []machine.EventMatch {
	matches := []machine.EventMatch{{Name: "JOB_STATUS_CHANGE", Pattern: Dict{"data": Dict{"id": id}}}}
	for _, name := range blockJobEvents {
		member := "device" // which holds the job's id all the same
		if name == "BLOCK_JOB_PENDING" {
			member = "id"
		}
		matches = append(matches, machine.EventMatch{Name: name, Pattern: Dict{"data": Dict{member: id}}})
	}
	return matches
}

// RunJob follows a job that has been started until it is gone, and does what has
// to be done on the way: job-complete when it is ready, job-finalize when it is
// pending, job-dismiss when it is concluded, the latter two if the options say
// that the job waits for them. It takes the job's events and no others, so jobs may
// run side by side, and be run one after the other. It waits for as long as the job
// gets on: the test's patience begins anew with each event and each byte.
//
// A job that fails, fails the test, unless the options allow it.
func (vm *VM) RunJob(id string, opts *RunJobOptions) *JobResult {
	vm.it.Helper()
	if opts == nil {
		opts = &RunJobOptions{}
	}
	r := &jobRun{vm: vm, id: id, opts: opts, matches: jobEvents(id), result: &JobResult{Last: Job{ID: id}}}
	r.run()
	if r.result.Error != "" && !opts.MayFail {
		vm.fail("the job "+id+" failed: "+r.result.Error, "states", strings.Join(r.result.States, " "), "job", FormatJSON(r.result.Last))
	}
	return r.result
}

// A jobRun is one call of RunJob.
type jobRun struct {
	vm      *VM
	id      string
	opts    *RunJobOptions
	matches []machine.EventMatch // the job's events
	watch   *jobWatch
	result  *JobResult
	queue   []Dict // events that are taken, but not yet looked at
	asked   bool   // the job was asked for after the events that were there: earlier calls may have taken some

	state    string // the last one that was entered; "" at the beginning
	answered bool   // a command was given in that state
	refusal  string // why QEMU refused it; "" if it did not
	shown    bool   // Progress has seen that the job is at rest in that state
}

func (r *jobRun) run() {
	r.vm.it.Helper()
	r.watch = r.vm.watchJob(r.id, "does not get on")
	r.watch.notes = true
	defer r.watch.close()
	r.drain()
	for r.state != "null" {
		event := r.next()
		if event == nil {
			continue
		}
		if event["event"] != "JOB_STATUS_CHANGE" {
			r.blockJob(event)
			continue
		}
		r.enter(Get[string](r.vm.it, event, "data/status"))
	}
}

// drain takes the events that are there, and queues those of this job: what comes
// before the last "created" is about an earlier one with the same id, whose events
// nobody has taken.
func (r *jobRun) drain() {
	for {
		event, ok := r.vm.takeEvent(r.matches...)
		if !ok {
			return
		}
		if status, err := Lookup(event, "data/status"); err == nil && status == "created" {
			r.queue = nil
		}
		r.queue = append(r.queue, event)
	}
}

// next returns the job's next event, and waits for one. It returns nil where it has
// done something about the job instead, because an earlier call has taken the event
// of the job's present state.
func (r *jobRun) next() Dict {
	r.vm.it.Helper()
	ctx, cancel := r.vm.it.patience()
	defer cancel()
	before := r.result.Last.Current
	for {
		if len(r.queue) == 0 {
			r.drain()
		}
		if len(r.queue) > 0 {
			event := r.queue[0]
			r.queue = r.queue[1:]
			return event
		}
		if !r.asked || r.atRest() {
			job, exists := r.watch.look(ctx, r.matches)
			r.asked = true
			// What has come meanwhile came before the answer.
			if r.drain(); len(r.queue) > 0 {
				continue
			}
			if exists && job.Status != r.state {
				r.result.Last = job
				r.enter(job.Status)
				return nil
			}
			if r.mustGoOn(job, exists) {
				continue
			}
		}
		r.wait(ctx, before)
		if ctx.Err() != nil && r.result.Last.Current > before {
			return nil // a job that gets on is waited for, however long it takes
		}
	}
}

// atRest reports whether the job may be in a state that it does not leave by itself,
// so that it has to be asked for.
func (r *jobRun) atRest() bool {
	return r.state == "paused" || r.state == "pending" || r.state == "concluded"
}

// mustGoOn fails the test if nothing is going to become of the job any more: it is
// gone, or waits for a command that RunJob was not told to give. A Progress function
// sees the state first: it may have given the command, and then mustGoOn returns
// true.
func (r *jobRun) mustGoOn(job Job, exists bool) bool {
	r.vm.it.Helper()
	w := r.watch
	given := r.answered && r.refusal == ""
	switch {
	case exists && (job.Status == "pending" || job.Status == "concluded") && given:
		return false // QEMU has accepted the command that ends this
	case exists && r.opts.Progress != nil && !r.shown && (job.Status == "pending" || job.Status == "concluded" || job.Status == "paused"):
		r.shown = true
		r.result.Last = job
		r.opts.Progress(job)
		return true
	case exists && job.Status == "pending" && r.refusal != "":
		w.fail("the job " + r.id + " is pending, and cannot be finalized: " + r.refusal)
	case exists && job.Status == "pending":
		w.fail("the job " + r.id + " is pending, and waits for job-finalize: it was started with auto-finalize false, or another job of its transaction was; set RunJobOptions.ManualFinalize")
	case exists && job.Status == "concluded" && r.refusal != "":
		w.fail("the job " + r.id + " is concluded, and cannot be dismissed: " + r.refusal)
	case exists && job.Status == "concluded":
		w.fail("the job " + r.id + " is concluded, and waits for job-dismiss: it was started with auto-dismiss false, or is of a kind that never dismisses itself; set RunJobOptions.ManualDismiss")
	}
	w.mustGoOn(job, exists)
	return false
}

// wait waits for the job's next event, or until Progress is to be called. When ctx
// is over it fails the test, unless the job has got further than before.
func (r *jobRun) wait(ctx context.Context, before int64) {
	r.vm.it.Helper()
	interval := r.opts.Interval
	if interval <= 0 {
		interval = 100 * time.Millisecond
	}
	turn, end := ctx, context.CancelFunc(func() {})
	if r.opts.Progress != nil {
		turn, end = context.WithTimeout(ctx, interval)
	}
	ev, err := r.watch.news.Next(turn)
	end()
	if err == nil {
		r.watch.hear(ev)
		return
	}
	if errors.Is(err, context.DeadlineExceeded) && r.vm.it.Context().Err() == nil {
		r.tell()
		if ctx.Err() == nil || r.result.Last.Current > before {
			return
		}
	}
	r.watch.last = r.result.Last
	if r.result.Last.Status == "paused" {
		r.watch.what = "does not get on, since it is paused (VM.ResumeJob lets it go on)"
	}
	if r.refusal != "" {
		r.watch.what += ", after a command was refused (" + r.refusal + ")"
	}
	r.watch.gone(ctx, err, r.matches)
}

// tell asks for the job and tells of its progress.
func (r *jobRun) tell() {
	r.vm.it.Helper()
	job, exists := r.vm.Job(r.id)
	if !exists {
		return
	}
	r.result.Last = job
	if r.opts.Progress != nil {
		r.opts.Progress(job)
	}
}

// enter notes a state, and does what is to be done in it.
func (r *jobRun) enter(status string) {
	r.vm.it.Helper()
	r.result.States = append(r.result.States, status)
	r.watch.states = r.result.States
	r.state, r.answered, r.refusal, r.shown = status, false, "", false
	switch status {
	case "aborting":
		if why := r.askForError(); why != "" && !r.opts.Quiet {
			r.vm.it.Log("Job failed: "+why, r.opts.Filters...)
		}
	case "ready":
		if f := r.opts.BeforeComplete; f != nil {
			f()
		}
		r.command("job-complete")
	case "pending":
		if !r.opts.ManualFinalize {
			return
		}
		if f := r.opts.BeforeFinalize; f != nil {
			f()
		}
		if r.opts.Cancel {
			r.command("job-cancel")
			r.result.Canceled = true
			return
		}
		r.command("job-finalize")
	case "concluded":
		if r.opts.ManualDismiss {
			r.askForError()
			r.command("job-dismiss")
		}
	case "null":
		if r.result.Error == "" && !r.result.Canceled && slices.Contains(r.result.States, "aborting") {
			r.result.Error = "it was aborted, and was gone before it could be asked why"
		}
		if r.result.OK() && r.opts.Progress != nil {
			r.opts.Progress(r.result.Last)
		}
	}
}

// askForError notes why the job failed, and returns it. A job that dismisses itself
// may be gone, and tells it in its last event.
func (r *jobRun) askForError() string {
	r.vm.it.Helper()
	job, exists := r.vm.Job(r.id)
	if !exists {
		return ""
	}
	r.result.Last = job
	if job.Error != "" && !r.result.Canceled && !r.opts.Cancel {
		r.result.Error = job.Error
	}
	return job.Error
}

// blockJob notes one of the older events.
func (r *jobRun) blockJob(event Dict) {
	if !r.opts.Quiet {
		r.vm.it.Log(event, append([]Filter{FilterQMPEvent}, r.opts.Filters...)...)
	}
	r.result.Events = append(r.result.Events, event)
	switch event["event"] {
	case "BLOCK_JOB_CANCELLED":
		r.result.Canceled, r.result.Error = true, ""
	case "BLOCK_JOB_COMPLETED":
		r.last(event)
		if why, err := Lookup(event, "data/error"); err == nil && r.result.Error == "" {
			r.result.Error = fmt.Sprint(why)
		}
	}
}

// last notes how far the job got, by its last event: it may be gone by now.
func (r *jobRun) last(event Dict) {
	job := &r.result.Last
	job.Type, _ = event["data"].(Dict)["type"].(string)
	job.Current, _ = event["data"].(Dict)["offset"].(int64)
	job.Total, _ = event["data"].(Dict)["len"].(int64)
}

// command executes a command for the job. That it is refused, such as job-complete
// after a cancel, shows in what becomes of the job.
func (r *jobRun) command(cmd string) {
	r.vm.it.Helper()
	args := Dict{"id": r.id}
	var reply Dict
	if r.opts.Quiet {
		reply = r.vm.QMP(cmd, args)
	} else {
		reply = r.vm.QMPLog(cmd, args, r.opts.Filters...)
	}
	r.answered, r.refusal = true, ""
	if why, err := Lookup(reply, "error/desc"); err == nil {
		r.refusal = cmd + ": " + fmt.Sprint(why)
	}
}
