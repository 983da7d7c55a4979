package iotests

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/machine"
)

// A jobWatch is one call that waits for something of a job. It hears the job's
// events without taking them from the machine's queue. After each, and at the
// beginning, it asks QEMU for the job: so it notices that the job is over, or at rest
// in a state that it does not leave by itself, where the event that was waited for
// cannot come any more.
type jobWatch struct {
	vm   *VM
	id   string
	what string               // what is waited for, for failures
	news *async.EventListener // the job's events

	states []string // those that the call has seen
	notes  bool     // the call notes them itself
	last   Job      // the job as it was when last asked for
}

// watchJob begins to watch a job. what says what is waited for, as in "does not get
// to be ready". The watch is to be closed.
func (vm *VM) watchJob(id, what string) *jobWatch {
	mine := func(ev async.Event) bool {
		var data struct{ ID, Device string }
		return ev.Decode(&data) == nil && (data.ID == id || data.Device == id)
	}
	news := vm.Machine.Client().NewListener(&async.ListenerOptions{Filter: mine}, slices.Concat(blockJobEvents, []string{"JOB_STATUS_CHANGE"})...)
	return &jobWatch{vm: vm, id: id, what: what, news: news, last: Job{ID: id}}
}

func (w *jobWatch) close() { w.news.Close() }

// await takes the oldest event that one of matches describes, and waits for one.
// judge gets the job as it is when no such event is there: it returns true to give
// up without an event, and fails the test if none can come.
func (w *jobWatch) await(judge func(job Job, exists bool) bool, matches ...machine.EventMatch) (event Dict, ok bool) {
	w.vm.it.Helper()
	ctx, cancel := w.vm.it.patience()
	defer cancel()
	for {
		if event, ok := w.vm.takeEvent(matches...); ok {
			return event, true
		}
		job, exists := w.look(ctx, matches)
		// What has come meanwhile came before the answer.
		if event, ok := w.vm.takeEvent(matches...); ok {
			return event, true
		}
		if judge(job, exists) {
			return nil, false
		}
		w.wait(ctx, matches)
	}
}

// look asks for the job. A VM that does not answer fails the test.
func (w *jobWatch) look(ctx context.Context, matches []machine.EventMatch) (job Job, exists bool) {
	w.vm.it.Helper()
	value, err := w.vm.Machine.Command(ctx, "query-jobs", nil)
	if err != nil {
		w.gone(ctx, err, matches)
	}
	for _, job := range Get[[]Job](w.vm.it, Dict{"return": value}, "return") {
		if job.ID == w.id {
			w.last = job
			return job, true
		}
	}
	return Job{}, false
}

// wait waits for the next event of the job. Time that is over, and a machine that has
// ended, fail the test.
func (w *jobWatch) wait(ctx context.Context, matches []machine.EventMatch) {
	w.vm.it.Helper()
	ev, err := w.news.Next(ctx)
	if err != nil {
		w.gone(ctx, err, matches)
	}
	w.hear(ev)
}

// hear notes what an event says of the job's state.
func (w *jobWatch) hear(ev async.Event) {
	var data struct{ Status string }
	if !w.notes && ev.Name == "JOB_STATUS_CHANGE" && ev.Decode(&data) == nil {
		w.states = append(w.states, data.Status)
	}
}

// gone fails the test because the wait has ended with err. Where the time or the
// connection is over, the machine says more of the same wait: how its process has
// ended, and which events are there.
func (w *jobWatch) gone(ctx context.Context, err error, matches []machine.EventMatch) {
	w.vm.it.Helper()
	var interrupted *async.ExecInterruptedError
	var state *async.StateError
	var ended *machine.ProcessEndedError
	over := errors.As(err, &interrupted) || errors.As(err, &state) || errors.As(err, &ended) || errors.Is(err, machine.ErrNotRunning)
	if over && len(w.states) > 0 && w.states[len(w.states)-1] == "null" {
		w.mustGoOn(Job{}, false) // which it was before the machine was
	}
	if over || ctx.Err() != nil {
		if _, told := w.vm.Machine.EventsWait(ctx, matches...); told != nil {
			err = told
		}
	}
	w.fail(fmt.Sprintf("the job %s %s: %v", w.id, w.what, err))
}

// fail fails the test with what is known of the job.
func (w *jobWatch) fail(what string) {
	w.vm.it.Helper()
	last := ""
	if w.last.Status != "" {
		last = FormatJSON(w.last)
	}
	w.vm.fail(what, "states", strings.Join(w.states, " "), "when last asked for", last, "jobs", w.vm.glance("query-jobs"))
}

// mustGoOn fails the test if the job does not go on by itself: it is over, or never
// was, or waits for a command that nobody gives while the test waits here.
func (w *jobWatch) mustGoOn(job Job, exists bool) {
	w.vm.it.Helper()
	switch {
	case !exists && len(w.states) > 0:
		w.fail(fmt.Sprintf("the job %s is gone, and %s", w.id, past(w.what)))
	case !exists:
		w.fail(fmt.Sprintf("there is no job %s, and no event of one: it was never started, or it is over and earlier calls have taken its events", w.id))
	case job.Status == "pending":
		w.fail(fmt.Sprintf("the job %s %s: it is pending, and waits for job-finalize", w.id, w.what))
	case job.Status == "concluded":
		w.fail(fmt.Sprintf("the job %s %s: it is concluded, and waits for job-dismiss", w.id, w.what))
	case job.Status == "paused":
		if state := w.stopped(); state != "" {
			w.fail(fmt.Sprintf("the job %s %s: it has stopped at an I/O error (io-status %s), and waits for block-job-resume", w.id, w.what, state))
		}
	}
}

// stopped returns the I/O status of a block job that an error has paused, which only
// block-job-resume ends, and "" for a job that is paused otherwise.
func (w *jobWatch) stopped() string {
	w.vm.it.Helper()
	type blockJob struct {
		Device   string
		IOStatus string
	}
	for _, job := range CmdInto[[]blockJob](w.vm, "query-block-jobs", nil) {
		if job.Device == w.id && job.IOStatus != "ok" {
			return job.IOStatus
		}
	}
	return ""
}

// past turns "does not get to be ready" into "was not ready".
func past(what string) string {
	return strings.NewReplacer("does not get to be", "was not", "does not", "did not").Replace(what)
}
