package iotests

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/qapi"
)

// A Job is a job as query-jobs describes it.
type Job struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Status  string `json:"status"`           // such as "running"
	Current int64  `json:"current-progress"` // how far the job is; the unit is the job's own
	Total   int64  `json:"total-progress"`   // how far it has to get, which may change
	Error   string `json:"error"`            // why it failed; "" if it did not
}

// Jobs returns all jobs.
func (vm *VM) Jobs() []Job {
	vm.it.Helper()
	return CmdInto[[]Job](vm, "query-jobs", nil)
}

// Job returns the job with the given id, if it exists.
func (vm *VM) Job(id string) (job Job, exists bool) {
	vm.it.Helper()
	list := vm.Jobs()
	i := slices.IndexFunc(list, func(j Job) bool { return j.ID == id })
	if i < 0 {
		return Job{}, false
	}
	return list[i], true
}

// RunJobOptions configures [VM.RunJob]. A nil *RunJobOptions, like the zero value,
// suits a job that was started with the default auto-finalize and auto-dismiss, and
// has to succeed.
type RunJobOptions struct {
	// ManualFinalize says that the job was started with auto-finalize false. Then
	// RunJob executes job-finalize when the job is pending. Where jobs of one
	// transaction end together (completion-mode grouped), job-finalize for one of
	// them finalizes all: set ManualFinalize for one of them only.
	//
	// ManualDismiss says that the job was started with auto-dismiss false. Then
	// RunJob executes job-dismiss when the job is concluded.
	ManualFinalize, ManualDismiss bool

	// BeforeFinalize is called when the job is pending, before RunJob executes
	// job-finalize, or job-cancel because of Cancel. It is the last moment at which
	// the job can be canceled. It needs ManualFinalize.
	BeforeFinalize func()

	// BeforeComplete is called when the job is ready, before RunJob executes
	// job-complete.
	BeforeComplete func()

	// Cancel makes RunJob execute job-cancel when the job is pending, instead of
	// job-finalize. It needs ManualFinalize.
	Cancel bool

	// MayFail lets RunJob return if the job fails. Without it the test fails.
	MayFail bool

	// Progress is called repeatedly while the job runs, and once more at its end if
	// it succeeded. RunJob calls it in the goroutine of the test, and waits for it.
	Progress func(Job)

	// Interval is the time between two calls of Progress. Zero or less means
	// 100 ms.
	Interval time.Duration

	// Quiet logs nothing. Without it RunJob logs the commands that it executes, the
	// BLOCK_JOB events of the job, and its failure. The failure is logged only if
	// the job still exists when RunJob asks why it failed. A job that dismisses
	// itself may be gone by then; its last event says why it failed.
	Quiet bool

	// Filters filter what is logged, before [Test.Filters] do.
	Filters []Filter
}

// A JobResult says how a job ended.
type JobResult struct {
	Error    string   // why it failed; "" if it did not
	Canceled bool     // it was canceled
	States   []string // the states that RunJob has seen, in their order; earlier calls may have taken the first ones
	Events   []Dict   // the BLOCK_JOB events that RunJob has seen, in their order
	Last     Job      // what QEMU last said about it
}

// OK reports whether the job neither failed nor was canceled.
func (r *JobResult) OK() bool { return r.Error == "" && !r.Canceled }

// jobEvents returns patterns that match all events of one job, and no others.
func jobEvents(id string) []machine.EventMatch {
	var matches []machine.EventMatch
	for _, name := range jobs.EventNames() {
		member := "device" // the older events have the job's id in this member
		if name == "JOB_STATUS_CHANGE" || name == "BLOCK_JOB_PENDING" {
			member = "id"
		}
		matches = append(matches, machine.EventMatch{Name: name, Pattern: Dict{"data": Dict{member: id}}})
	}
	return matches
}

// RunJob waits until a job that was started before is gone, and executes the commands
// that the job needs on the way:
//
//   - job-complete when the job is ready,
//   - job-finalize when it is pending, if [RunJobOptions].ManualFinalize is set,
//   - job-dismiss when it is concluded, if [RunJobOptions].ManualDismiss is set.
//
// RunJob takes the events of this job and no others. So several jobs may run at the
// same time, with one call of RunJob after the other. RunJob waits as long as the job
// makes progress: the time limit, [Options].Timeout, begins again with each event, and
// when it has passed and the job has made progress since it began.
//
// If the job fails, the test fails, unless [RunJobOptions].MayFail is set.
func (vm *VM) RunJob(id string, opts *RunJobOptions) *JobResult {
	vm.it.Helper()
	if opts == nil {
		opts = &RunJobOptions{}
	}
	r := &jobRun{vm: vm, id: id, opts: opts, matches: jobEvents(id)}
	result := r.run()
	if result.Error != "" && !opts.MayFail {
		vm.fail("the job "+id+" failed: "+result.Error, "states", strings.Join(result.States, " "), "job", FormatJSON(result.Last))
	}
	return result
}

// A jobRun is one call of RunJob. All fields belong to the goroutine of the test.
type jobRun struct {
	vm       *VM
	id       string
	opts     *RunJobOptions
	matches  []machine.EventMatch // the job's events
	watch    *jobWatch            // its known has what the events and QEMU have said about the job
	last     Job                  // what QEMU last said about it
	events   []Dict               // the BLOCK_JOB events, in their order
	queue    []Dict               // events that drain has taken, and that run has not looked at yet
	canceled bool                 // RunJob has canceled the job
	asked    bool                 // next has asked QEMU once for the job's state, since earlier calls may have taken its events

	state    string // the state that the job entered last; "" at the beginning
	executed bool   // RunJob has executed a command in that state
	refusal  string // why QEMU refused that command; "" if it did not
	shown    bool   // Progress was called for a job that stays in that state
}

func (r *jobRun) run() *JobResult {
	r.vm.it.Helper()
	r.watch = r.vm.watchJob(r.id, "makes no progress")
	r.watch.takes = true
	r.last = r.watch.last
	defer r.watch.close()
	r.drain()
	for r.state != "null" {
		event := r.next()
		if event == nil {
			continue
		}
		r.watch.take(event)
		if event["event"] != "JOB_STATUS_CHANGE" {
			r.blockJob(event)
			continue
		}
		r.enter(Get[string](r.vm.it, event, "data/status"))
	}
	return r.result()
}

// result returns how the job has ended, as far as it is known.
func (r *jobRun) result() *JobResult {
	result := &JobResult{Canceled: r.canceled, States: r.watch.states(), Events: r.events, Last: r.last}
	if e, ok := errors.AsType[*jobs.Error](r.watch.known.Err()); ok {
		result.Canceled = result.Canceled || e.Job.Canceled
		result.Error = cmp.Or(e.Job.Error, "it was aborted, and was gone before QEMU could be asked why")
	}
	if result.Canceled {
		result.Error = ""
	}
	return result
}

// drain moves the job's events from the machine's queue to r.queue. It drops events
// that came before the last "created": they belong to an earlier job with the same id,
// and no call has taken them.
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

// next waits for the job's next event and returns it. It returns nil in two cases: it
// has entered the job's present state itself, because an earlier call has taken the
// event of that state; or the time limit has passed and the job has made progress.
func (r *jobRun) next() Dict {
	r.vm.it.Helper()
	ctx, cancel := r.vm.it.withTimeout()
	defer cancel()
	before := r.last.Current
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
			list := r.watch.ask(ctx, r.matches)
			r.asked = true
			// An event that has come by now was sent before the reply.
			if r.drain(); len(r.queue) > 0 {
				continue
			}
			job, exists := r.watch.note(list)
			if exists && job.Status != r.state {
				r.last = job
				r.enter(job.Status)
				return nil
			}
			if r.mustGoOn(job, exists) {
				continue
			}
		}
		r.wait(ctx, before)
		if ctx.Err() != nil && r.last.Current > before {
			return nil // the job makes progress, so the caller begins another wait
		}
	}
}

// atRest reports whether the job may be in a state that it leaves only by a command.
// No event may come then, so RunJob has to ask QEMU for the job.
func (r *jobRun) atRest() bool {
	return r.state == "paused" || r.state == "pending" || r.state == "concluded"
}

// mustGoOn fails the test if no event of the job can come any more: the job is gone, or
// waits for a command that RunJob was not told to execute. Before that, it calls a
// Progress function once for that state, which may execute the command. Then mustGoOn
// returns true, and the caller looks at the job again.
func (r *jobRun) mustGoOn(job Job, exists bool) bool {
	r.vm.it.Helper()
	w := r.watch
	given := r.executed && r.refusal == ""
	switch {
	case exists && (job.Status == "pending" || job.Status == "concluded") && given:
		return false // QEMU has accepted the command that ends this state
	case exists && r.opts.Progress != nil && !r.shown && (job.Status == "pending" || job.Status == "concluded" || job.Status == "paused"):
		r.shown = true
		r.last = job
		r.opts.Progress(job)
		return true
	case exists && job.Status == "pending" && r.refusal != "":
		w.fail("the job " + r.id + " is pending, and finalizing it failed: " + r.refusal)
	case exists && job.Status == "pending":
		w.fail("the job " + r.id + " is pending, and waits for job-finalize: it was started with auto-finalize false, or another job of its transaction was; set RunJobOptions.ManualFinalize")
	case exists && job.Status == "concluded" && r.refusal != "":
		w.fail("the job " + r.id + " is concluded, and dismissing it failed: " + r.refusal)
	case exists && job.Status == "concluded":
		w.fail("the job " + r.id + " is concluded, and waits for job-dismiss: it was started with auto-dismiss false, or its kind never dismisses itself; set RunJobOptions.ManualDismiss")
	}
	w.mustGoOn(job, exists)
	return false
}

// wait waits for the job's next event, or until it is time to call Progress. When ctx
// has ended, wait fails the test, unless the job's progress is greater than before.
func (r *jobRun) wait(ctx context.Context, before int64) {
	r.vm.it.Helper()
	interval := r.opts.Interval
	if interval <= 0 {
		interval = 100 * time.Millisecond
	}
	turn, end := ctx, context.CancelFunc(func() {}) // one turn lasts until Progress is called
	if r.opts.Progress != nil {
		turn, end = context.WithTimeout(ctx, interval)
	}
	_, err := r.watch.news.Next(turn)
	end()
	if err == nil {
		return
	}
	if errors.Is(err, context.DeadlineExceeded) && r.vm.it.Context().Err() == nil {
		r.reportProgress()
		if ctx.Err() == nil || r.last.Current > before {
			return
		}
	}
	r.watch.last = r.last
	if r.last.Status == "paused" {
		r.watch.what = "makes no progress, since it is paused (VM.ResumeJob resumes it)"
	}
	if r.refusal != "" {
		r.watch.what += ", after a command was refused (" + r.refusal + ")"
	}
	r.watch.gone(ctx, err, r.matches)
}

// reportProgress asks QEMU for the job and calls Progress.
func (r *jobRun) reportProgress() {
	r.vm.it.Helper()
	job, exists := r.vm.Job(r.id)
	if !exists {
		return
	}
	r.last = job
	if r.opts.Progress != nil {
		r.opts.Progress(job)
	}
}

// enter records that the job is in a state, and executes the command that it needs there.
func (r *jobRun) enter(status string) {
	r.vm.it.Helper()
	r.state, r.executed, r.refusal, r.shown = status, false, "", false
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
			r.canceled = true
			return
		}
		r.command("job-finalize")
	case "concluded":
		if r.opts.ManualDismiss {
			r.askForError()
			r.command("job-dismiss")
		}
	case "null":
		if r.opts.Progress != nil && r.result().OK() {
			r.opts.Progress(r.last)
		}
	}
}

// askForError asks QEMU why the job failed, and returns it. It returns "" if the job is
// gone: a job that dismisses itself says in its last event why it failed.
func (r *jobRun) askForError() string {
	r.vm.it.Helper()
	list := CmdInto[[]qapi.JobInfo](r.vm, "query-jobs", nil)
	r.watch.known.Query(list, -1) // the events that came before the reply are not taken yet
	i := slices.IndexFunc(list, func(info qapi.JobInfo) bool { return info.ID == r.id })
	if i < 0 {
		return ""
	}
	r.last = jobOf(list[i])
	return r.last.Error
}

// blockJob logs one of the older events, and records it.
func (r *jobRun) blockJob(event Dict) {
	if !r.opts.Quiet {
		r.vm.it.Log(event, append([]Filter{FilterQMPEvent}, r.opts.Filters...)...)
	}
	r.events = append(r.events, event)
	if event["event"] == "BLOCK_JOB_COMPLETED" {
		// The job may be gone by now, so this is how far it got.
		info := r.watch.known.Info()
		r.last.Type, r.last.Current, r.last.Total = string(info.Type), info.Current, info.Total
	}
}

// command executes a command for the job. If QEMU refuses it, as it refuses job-complete
// for a job that was canceled, the test goes on: the job's next states show the result.
func (r *jobRun) command(cmd string) {
	r.vm.it.Helper()
	args := Dict{"id": r.id}
	var reply Dict
	if r.opts.Quiet {
		reply = r.vm.QMP(cmd, args)
	} else {
		reply = r.vm.QMPLog(cmd, args, r.opts.Filters...)
	}
	r.executed, r.refusal = true, ""
	if why, err := Lookup(reply, "error/desc"); err == nil {
		r.refusal = cmd + ": " + fmt.Sprint(why)
	}
}
