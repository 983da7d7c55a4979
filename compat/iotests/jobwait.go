package iotests

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goqmp/qmp/compat/machine"
)

// The waits below fail the test at once where what they wait for cannot come any
// more: the job was never started or is over, or it is at rest in a state that it
// leaves only by a command. Nobody else is expected to give that command meanwhile;
// where somebody does, use [VM.EventWait].

// WaitReady waits until a job is ready to be completed, and returns the event, or
// nil if the job is ready and an earlier call has taken the event. A job that ends
// before that fails the test.
func (vm *VM) WaitReady(job string) Dict {
	vm.it.Helper()
	w := vm.watchJob(job, "does not get to be ready")
	defer w.close()
	pattern := Dict{"data": Dict{"device": job}}
	for {
		event, ok := w.await(
			func(now Job, exists bool) bool {
				if exists && now.Status == "ready" {
					return true
				}
				w.mustGoOn(now, exists)
				return false
			},
			machine.EventMatch{Name: "BLOCK_JOB_READY", Pattern: pattern},
			machine.EventMatch{Name: "BLOCK_JOB_COMPLETED", Pattern: pattern},
			machine.EventMatch{Name: "BLOCK_JOB_CANCELLED", Pattern: pattern},
		)
		if !ok || event["event"] == "BLOCK_JOB_READY" {
			return event
		}
		// It may be about an earlier job with that id, whose events nobody took.
		if now, exists := vm.Job(job); !exists || now.Status == "concluded" {
			w.fail("the job " + job + " ended before it was ready: " + FormatJSON(event))
		}
	}
}

// CompleteAndWait waits until a job is ready, completes it, waits for its end,
// which has to be a success, and returns the event.
func (vm *VM) CompleteAndWait(job string) Dict {
	vm.it.Helper()
	vm.WaitReady(job)
	vm.Cmd("block-job-complete", Dict{"device": job})
	return vm.WaitUntilCompleted(job)
}

// WaitReadyAndCancel waits until a job is ready, cancels it, and waits for its end:
// a mirror that is canceled so keeps its target as it was at that moment, and the
// event that is returned is BLOCK_JOB_COMPLETED.
func (vm *VM) WaitReadyAndCancel(job string) Dict {
	vm.it.Helper()
	vm.WaitReady(job)
	event := vm.CancelAndWait(job, false)
	vm.it.AssertQMP(event, "event", "BLOCK_JOB_COMPLETED")
	return event
}

// WaitUntilCompleted waits for a job's end, which has to be a success with nothing
// left to be done, and returns the event.
func (vm *VM) WaitUntilCompleted(job string) Dict {
	vm.it.Helper()
	event := vm.waitForEnd(job)
	if event["event"] != "BLOCK_JOB_COMPLETED" {
		vm.fail("the job "+job+" was canceled", "event", FormatJSON(event))
	}
	vm.it.AssertQMPAbsent(event, "data/error")
	vm.it.AssertQMP(event, "data/offset", vm.it.Lookup(event, "data/len"))
	return event
}

// WaitUntilFailed waits for a job's end, which has to be a failure, and returns
// why it failed.
func (vm *VM) WaitUntilFailed(job string) string {
	vm.it.Helper()
	return Get[string](vm.it, vm.waitForEnd(job), "data/error")
}

// CancelAndWait cancels a job, waits for its end, and returns the event:
// BLOCK_JOB_CANCELLED, or BLOCK_JOB_COMPLETED for a mirror that was ready, unless
// force is set. (QEMU's command job-cancel is always by force.)
func (vm *VM) CancelAndWait(job string, force bool) Dict {
	vm.it.Helper()
	vm.Cmd("block-job-cancel", Dict{"device": job, "force": force})
	return vm.waitForEnd(job)
}

// waitForEnd waits for a block job's last event, and takes the changes of its state
// up to the end, which must not be taken for those of the next job with this id.
func (vm *VM) waitForEnd(job string) Dict {
	vm.it.Helper()
	w := vm.watchJob(job, "does not come to its end")
	defer w.close()
	pattern := Dict{"data": Dict{"device": job}}
	event, _ := w.await(
		func(now Job, exists bool) bool {
			w.mustGoOn(now, exists)
			return false
		},
		machine.EventMatch{Name: "BLOCK_JOB_COMPLETED", Pattern: pattern},
		machine.EventMatch{Name: "BLOCK_JOB_CANCELLED", Pattern: pattern},
	)
	// QEMU sends the changes to concluded and, for a job that dismisses itself, to
	// null along with that event: they are there when it answers.
	if vm.Machine.Running() {
		ctx, cancel := vm.it.patience()
		defer cancel()
		_, _ = vm.Machine.Command(ctx, "query-jobs", nil) // its end is no fault of the job
	}
	for {
		change, ok := vm.takeEvent(statusChange(job))
		if !ok {
			return event
		}
		switch status := Get[string](vm.it, change, "data/status"); status {
		case "null":
			return event
		case "concluded":
			vm.takeEvent(machine.EventMatch{Name: "JOB_STATUS_CHANGE", Pattern: Dict{"data": Dict{"id": job, "status": "null"}}})
			return event
		}
	}
}

// statusChange describes the changes of a job's state.
func statusChange(id string) machine.EventMatch {
	return machine.EventMatch{Name: "JOB_STATUS_CHANGE", Pattern: Dict{"data": Dict{"id": id}}}
}

// WaitJob waits until a job changes to one of the states, and returns which. The
// changes before it are taken. A job that is ready, pending or concluded counts as
// one that changes to that, also if an earlier call has taken the event. A job that
// is gone without having been there fails the test.
func (vm *VM) WaitJob(id string, states ...string) string {
	vm.it.Helper()
	w := vm.watchJob(id, "does not get to be "+strings.Join(states, " or "))
	w.notes = true
	defer w.close()
	ctx, cancel := vm.it.patience()
	vm.mustKnowValues(ctx, "state of a job", "query-jobs", "status", states...)
	cancel()
	for {
		status := ""
		event, ok := w.await(func(now Job, exists bool) bool {
			stays := exists && (now.Status == "ready" || now.Status == "pending" || now.Status == "concluded")
			if stays && slices.Contains(states, now.Status) {
				status = now.Status
				return true
			}
			if now.Status != "paused" || !slices.Contains(states, "paused") {
				w.mustGoOn(now, exists)
			}
			return false
		}, statusChange(id))
		if ok {
			status = Get[string](vm.it, event, "data/status")
		}
		if slices.Contains(states, status) {
			return status
		}
		w.states = append(w.states, status)
	}
}

// PauseJob pauses a job and waits until it has: what it was doing is finished
// first.
func (vm *VM) PauseJob(job string) {
	vm.it.Helper()
	vm.Cmd("block-job-pause", Dict{"device": job})
	vm.PauseWait(job)
}

// PauseWait waits until a job has paused. There is no event for the moment at
// which a job that was told so while it was busy has come to rest, so it asks. A job
// that is pending or concluded cannot be paused, and fails the test.
func (vm *VM) PauseWait(job string) {
	vm.it.Helper()
	vm.poll("the job "+job+" to be paused", func() (bool, string) {
		jobs := vm.Cmd("query-block-jobs", nil)
		for i := range len(jobs.([]any)) {
			path := fmt.Sprintf("return[%d]/", i)
			reply := Dict{"return": jobs}
			if Get[string](vm.it, reply, path+"device") == job {
				if status := Get[string](vm.it, reply, path+"status"); status == "pending" || status == "concluded" {
					vm.fail("the job "+job+" cannot be paused: it is "+status, "jobs", FormatJSON(jobs))
				}
				return Get[bool](vm.it, reply, path+"paused") && !Get[bool](vm.it, reply, path+"busy"), FormatJSON(jobs)
			}
		}
		vm.fail("there is no job "+job+" to be paused", "jobs", FormatJSON(jobs))
		return false, ""
	})
}

// ResumeJob resumes a job.
func (vm *VM) ResumeJob(job string) {
	vm.it.Helper()
	vm.Cmd("block-job-resume", Dict{"device": job})
}

// poll asks QEMU for something that no event tells, until done says that it is
// there. What done returns besides is the state, which is shown where that takes too
// long, with those before it.
func (vm *VM) poll(what string, done func() (bool, string)) {
	vm.it.Helper()
	var states []string
	ctx, cancel := vm.it.patience()
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, state := done()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			vm.fail("waited for "+what+": "+context.Cause(ctx).Error(),
				"now", state, "before", strings.Join(states, "\n"), "events", eventNames(vm.Machine.Events()))
		}
		if len(states) == 0 || states[len(states)-1] != state {
			states = append(states, state)
		}
	}
}

// AssertNoActiveBlockJobs fails the test if there is a block job.
func (vm *VM) AssertNoActiveBlockJobs() {
	vm.it.Helper()
	if jobs := vm.Cmd("query-block-jobs", nil); !machine.Equal(jobs, []any{}) {
		vm.fail("there are block jobs", "jobs", FormatJSON(jobs))
	}
}

// BlockdevCreate makes an image by the job blockdev-create, which is what
// qemu-img create does, but in the VM: options are those of the driver, such as
// Dict{"driver": "qcow2", "file": "node", "size": 1 << 30}. It logs what it does
// and a blank line at the end, and fails the test if the job fails.
func (vm *VM) BlockdevCreate(options Dict) *JobResult {
	vm.it.Helper()
	return vm.BlockdevCreateJob("job0", options, nil)
}

// BlockdevCreateJob is BlockdevCreate with a job id, and options as for
// [VM.RunJob]; the job always waits for its dismissal.
func (vm *VM) BlockdevCreateJob(id string, options Dict, opts *RunJobOptions) *JobResult {
	vm.it.Helper()
	if opts == nil {
		opts = &RunJobOptions{}
	}
	run := *opts
	run.ManualDismiss = true
	args := Dict{"job-id": id, "options": options}
	var reply Dict
	if run.Quiet {
		reply = vm.QMP("blockdev-create", args)
	} else {
		reply = vm.QMPLog("blockdev-create", args, run.Filters...)
		defer vm.it.Log("")
	}
	if why, refused := reply["error"]; refused {
		text := fmt.Sprint(vm.it.Lookup(why, "desc"))
		if !run.MayFail {
			vm.fail("blockdev-create was refused", "command", command("blockdev-create", args), "reply", FormatJSON(reply))
		}
		return &JobResult{Error: text, Last: Job{ID: id}}
	}
	return vm.RunJob(id, &run)
}
