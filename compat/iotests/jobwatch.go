package iotests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/qapi"
)

// A jobWatch serves one call that waits for an event of a job. It has its own listener
// for the job's events, and does not take them from the machine's queue. At the
// beginning, and after each event, it asks QEMU for the job. So it notices when the
// event cannot come any more: the job is gone, or it is in a state that it leaves only
// by a command. All fields belong to the goroutine of the test.
type jobWatch struct {
	vm   *VM
	id   string
	what string               // completes "the job job0 ..." in a failure, such as "does not become ready"
	news *async.EventListener // the job's events

	known *jobs.Tracker // what the call knows of the job
	takes bool          // the call gives known the events that it takes from the machine's queue; if false, known gets those of news
	last  Job           // the job as QEMU last described it
}

// watchJob begins to watch a job. what says in a failure what did not happen, such as
// "does not become ready". The caller closes the watch.
func (vm *VM) watchJob(id, what string) *jobWatch {
	mine := func(ev async.Event) bool {
		var data struct{ ID, Device string }
		return ev.Decode(&data) == nil && (data.ID == id || data.Device == id)
	}
	news := vm.Machine.Client().NewListener(&async.ListenerOptions{Filter: mine}, jobs.EventNames()...)
	return &jobWatch{vm: vm, id: id, what: what, news: news, known: jobs.NewTracker(id), last: Job{ID: id}}
}

func (w *jobWatch) close() { w.news.Close() }

// await waits for an event that one of matches describes, and takes the oldest one.
// While there is none, it calls check with the job as QEMU describes it now. check
// returns true to end the wait without an event; then ok is false. check fails the test
// if no such event can come any more.
func (w *jobWatch) await(check func(job Job, exists bool) bool, matches ...machine.EventMatch) (event Dict, ok bool) {
	w.vm.it.Helper()
	ctx, cancel := w.vm.it.withTimeout()
	defer cancel()
	for {
		if event, ok := w.vm.takeEvent(matches...); ok {
			return event, true
		}
		list := w.ask(ctx, matches)
		// An event that has come by now was sent before the reply.
		if event, ok := w.vm.takeEvent(matches...); ok {
			return event, true
		}
		job, exists := w.note(list)
		if check(job, exists) {
			return nil, false
		}
		w.wait(ctx, matches)
	}
}

// ask asks QEMU for all jobs. If QEMU does not answer, the test fails.
func (w *jobWatch) ask(ctx context.Context, matches []machine.EventMatch) []qapi.JobInfo {
	w.vm.it.Helper()
	list, err := qapi.QueryJobs(ctx, w.vm.Machine)
	if err != nil {
		w.gone(ctx, err, matches)
	}
	return list
}

// note notes what QEMU has said about the job in the list of all jobs, and returns it. It
// leaves the events in news: each of them has to end a wait, since the list may be older.
func (w *jobWatch) note(list []qapi.JobInfo) (job Job, exists bool) {
	count := w.known.Count()
	if !w.takes && w.news.Len() > 0 {
		count = -1 // known gets these events later
	}
	w.known.Query(list, count)
	for _, info := range list {
		if info.ID == w.id {
			w.last = jobOf(info)
			return w.last, true
		}
	}
	return Job{}, false
}

// jobOf returns the Job of a reply to query-jobs.
func jobOf(info qapi.JobInfo) Job {
	job := Job{ID: info.ID, Type: string(info.Type), Status: string(info.Status), Current: info.CurrentProgress, Total: info.TotalProgress}
	if info.Error != nil {
		job.Error = *info.Error
	}
	return job
}

// take notes an event that the call has taken from the machine's queue.
func (w *jobWatch) take(event Dict) {
	raw, err := json.Marshal(event)
	if err != nil {
		w.fail("an event of the job cannot be encoded: " + err.Error())
	}
	ev, err := async.ParseEvent(raw)
	if err != nil {
		w.fail("an event of the job cannot be parsed: " + err.Error())
	}
	w.known.Event(ev)
}

// wait waits for the next event of the job. If ctx ends, or the machine ends, the test
// fails.
func (w *jobWatch) wait(ctx context.Context, matches []machine.EventMatch) {
	w.vm.it.Helper()
	ev, err := w.news.Next(ctx)
	if err != nil {
		w.gone(ctx, err, matches)
	}
	if !w.takes {
		w.known.Event(ev)
	}
}

// states returns the states that the call has seen.
func (w *jobWatch) states() []string {
	var states []string
	for _, state := range w.known.States() {
		states = append(states, string(state.Status))
	}
	return states
}

// gone fails the test because the wait has ended with err. If the time limit has passed,
// or the connection has ended, gone uses the error of [machine.Machine.EventsWait]
// instead, which says more: how the process has ended, and which events came.
func (w *jobWatch) gone(ctx context.Context, err error, matches []machine.EventMatch) {
	w.vm.it.Helper()
	var interrupted *async.ExecInterruptedError
	var state *async.StateError
	var ended *machine.ProcessEndedError
	over := errors.As(err, &interrupted) || errors.As(err, &state) || errors.As(err, &ended) || errors.Is(err, machine.ErrNotRunning)
	if over && w.known.Ended() {
		w.mustGoOn(Job{}, false) // the job was gone before the machine ended
	}
	if over || ctx.Err() != nil {
		if _, waitErr := w.vm.Machine.EventsWait(ctx, matches...); waitErr != nil {
			err = waitErr
		}
	}
	w.fail(fmt.Sprintf("the job %s %s: %v", w.id, w.what, err))
}

// fail fails the test, and shows the job's states and what QEMU last said about it.
func (w *jobWatch) fail(what string) {
	w.vm.it.Helper()
	last := ""
	if w.last.Status != "" {
		last = FormatJSON(w.last)
	}
	w.vm.fail(what, "states", strings.Join(w.states(), " "), "last known", last, "jobs", w.vm.tryCommand("query-jobs"))
}

// mustGoOn fails the test if the job needs a command to go on, or does not exist. While
// the test waits here, it cannot execute that command.
func (w *jobWatch) mustGoOn(job Job, exists bool) {
	w.vm.it.Helper()
	switch {
	case !exists && len(w.known.States()) > 0:
		w.fail(fmt.Sprintf("the job %s is gone, and %s", w.id, past(w.what)))
	case !exists:
		w.fail(fmt.Sprintf("there is no job %s, and no event of it: it was never started, or it has ended and earlier calls have taken its events", w.id))
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

// stopped returns the I/O status of a block job that is paused because of an I/O error.
// Such a job goes on only after block-job-resume. For a job that is paused for another
// reason, stopped returns "".
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

// past turns "does not become ready" into "did not become ready".
func past(what string) string {
	return strings.NewReplacer("does not", "did not", "makes", "made").Replace(what)
}
