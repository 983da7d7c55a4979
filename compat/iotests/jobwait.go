package iotests

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/goqmp/qmp/compat/machine"
)

// WaitReady waits until a job is ready to be completed, and returns the event. A
// job that ends before that fails the test.
func (vm *VM) WaitReady(job string) Dict {
	vm.it.Helper()
	pattern := Dict{"data": Dict{"device": job}}
	for {
		event := vm.EventsWait(
			machine.EventMatch{Name: "BLOCK_JOB_READY", Pattern: pattern},
			machine.EventMatch{Name: "BLOCK_JOB_COMPLETED", Pattern: pattern},
			machine.EventMatch{Name: "BLOCK_JOB_CANCELLED", Pattern: pattern},
		)
		if event["event"] == "BLOCK_JOB_READY" {
			return event
		}
		// It may be about an earlier job with that id, whose events nobody took.
		if now, exists := vm.Job(job); !exists || now.Status == "concluded" {
			vm.fail("the job "+job+" ended before it was ready", "event", FormatJSON(event))
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
// a mirror that is cancelled so keeps its target as it was at that moment, and the
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
		vm.fail("the job "+job+" was cancelled", "event", FormatJSON(event))
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

// waitForEnd waits for a block job's last event, and then until the job is gone.
func (vm *VM) waitForEnd(job string) Dict {
	vm.it.Helper()
	pattern := Dict{"data": Dict{"device": job}}
	event := vm.EventsWait(
		machine.EventMatch{Name: "BLOCK_JOB_COMPLETED", Pattern: pattern},
		machine.EventMatch{Name: "BLOCK_JOB_CANCELLED", Pattern: pattern},
	)
	if vm.WaitJob(job, "null", "concluded") == "concluded" {
		// One that dismisses itself does it at once. Its last event must not be
		// taken for that of the next job with this id.
		if _, exists := vm.Job(job); !exists {
			vm.WaitJob(job, "null")
		}
	}
	return event
}

// WaitJob waits until a job changes to one of the states, and returns which. The
// changes before it are taken. A job that is gone without having been there fails
// the test.
func (vm *VM) WaitJob(id string, states ...string) string {
	vm.it.Helper()
	var seen []string
	gone := false
	for {
		ctx, cancel := vm.it.patience()
		if gone {
			cancel() // what there was to come has come
		}
		event, err := vm.Machine.EventWait(ctx, "JOB_STATUS_CHANGE", Dict{"data": Dict{"id": id}})
		cancel()
		switch {
		case err != nil && gone:
			vm.fail(fmt.Sprintf("the job %s is gone, and was not %s", id, strings.Join(states, " or ")), "states", strings.Join(seen, " "))
		case err != nil:
			jobs := ""
			if vm.Machine.Running() {
				jobs = FormatJSON(vm.QMP("query-jobs", nil)["return"])
			}
			vm.fail(fmt.Sprintf("the job %s does not get to be %s: %v", id, strings.Join(states, " or "), err),
				"states", strings.Join(seen, " "), "jobs", jobs)
		}
		status := Get[string](vm.it, event, "data/status")
		for _, wanted := range states {
			if status == wanted {
				return status
			}
		}
		seen = append(seen, status)
		if status == "null" {
			// There may be another one with that id by now.
			gone = !vm.Machine.Running()
			if !gone {
				_, exists := vm.Job(id)
				gone = !exists
			}
		}
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
// which a job that was told so while it was busy has come to rest, so it asks.
func (vm *VM) PauseWait(job string) {
	vm.it.Helper()
	vm.poll("the job "+job+" to be paused", func() (bool, string) {
		jobs := vm.Cmd("query-block-jobs", nil)
		for i := range len(jobs.([]any)) {
			path := fmt.Sprintf("return[%d]/", i)
			reply := Dict{"return": jobs}
			if Get[string](vm.it, reply, path+"device") == job {
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
// there. What done returns besides is shown where that takes too long.
func (vm *VM) poll(what string, done func() (bool, string)) {
	vm.it.Helper()
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
			vm.fail("waited for "+what+": "+context.Cause(ctx).Error(), "now", state)
		}
	}
}

// AssertNoActiveBlockJobs fails the test if there is a block job.
func (vm *VM) AssertNoActiveBlockJobs() {
	vm.it.Helper()
	if jobs := vm.Cmd("query-block-jobs", nil); !Equal(jobs, []any{}) {
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
