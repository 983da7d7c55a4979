package iotests

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/qapi"
)

// The waits in this file fail the test immediately if what they wait for cannot come
// any more: the job was never started, or it has ended, or it is in a state that it
// leaves only by a command. They assume that nobody else executes that command while
// they wait. If somebody does, use [VM.EventWait].

// WaitReady waits until a job is ready to be completed, and returns the event
// BLOCK_JOB_READY. It returns nil if the job is ready and an earlier call has taken the
// event. If the job ends before it is ready, or cannot become ready without another
// command, the test fails.
func (vm *VM) WaitReady(job string) Dict {
	vm.it.Helper()
	w := vm.watchJob(job, "does not become ready")
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
		// The event may belong to an earlier job with that id, if no call took it.
		if now, exists := vm.Job(job); !exists || now.Status == "concluded" {
			w.fail("the job " + job + " ended before it was ready: " + FormatJSON(event))
		}
	}
}

// CompleteAndWait waits until a job is ready, and completes it. Then it does what
// [VM.WaitUntilCompleted] does.
func (vm *VM) CompleteAndWait(job string) Dict {
	vm.it.Helper()
	vm.WaitReady(job)
	vm.Cmd("block-job-complete", Dict{"device": job})
	return vm.WaitUntilCompleted(job)
}

// WaitReadyAndCancel waits until a mirror is ready, cancels it without force, waits for
// its end, and returns the event, which has to be BLOCK_JOB_COMPLETED. The target is
// then a copy of the source as it was at that moment.
func (vm *VM) WaitReadyAndCancel(job string) Dict {
	vm.it.Helper()
	vm.WaitReady(job)
	event := vm.CancelAndWait(job, false)
	vm.it.AssertQMP(event, "event", "BLOCK_JOB_COMPLETED")
	return event
}

// WaitUntilCompleted waits until a job ends, and returns the event
// BLOCK_JOB_COMPLETED. The job has to succeed, and to have done all of its work: its
// offset is its length.
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

// WaitUntilFailed waits until a job ends, which has to fail, and returns why it
// failed.
func (vm *VM) WaitUntilFailed(job string) string {
	vm.it.Helper()
	return Get[string](vm.it, vm.waitForEnd(job), "data/error")
}

// CancelAndWait cancels a job, waits until it ends, and returns the event. For a mirror
// that was ready and is canceled without force, the event is BLOCK_JOB_COMPLETED;
// otherwise it is BLOCK_JOB_CANCELLED. QEMU's command job-cancel always cancels by
// force.
func (vm *VM) CancelAndWait(job string, force bool) Dict {
	vm.it.Helper()
	vm.Cmd("block-job-cancel", Dict{"device": job, "force": force})
	return vm.waitForEnd(job)
}

// waitForEnd waits for the last BLOCK_JOB event of a job and returns it. It also takes
// the events about the job's states, up to the last one. If they stayed in the queue,
// a wait for the next job with this id would take them.
func (vm *VM) waitForEnd(job string) Dict {
	vm.it.Helper()
	w := vm.watchJob(job, "does not end")
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
	// Together with that event QEMU sends the changes to the states concluded and, for a
	// job that dismisses itself, null. After QEMU has answered a command, these events
	// are in the queue.
	if vm.Machine.Running() {
		ctx, cancel := vm.it.withTimeout()
		defer cancel()
		_, _ = vm.Machine.Command(ctx, "query-jobs", nil) // fails only if the machine has ended, which says nothing about the job
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

// statusChange returns a pattern that matches each change of a job's state.
func statusChange(id string) machine.EventMatch {
	return machine.EventMatch{Name: "JOB_STATUS_CHANGE", Pattern: Dict{"data": Dict{"id": id}}}
}

// WaitJob waits until a job changes to one of the given states, and returns that state.
// It takes the events JOB_STATUS_CHANGE up to that change. If an earlier call has taken
// the event, and the job is ready, pending or concluded, WaitJob returns that state if
// it is one of those given. The test fails if the job ends without having been in one
// of the states, if it cannot get there without another command, or if QEMU has no
// such state.
func (vm *VM) WaitJob(id string, states ...string) string {
	vm.it.Helper()
	w := vm.watchJob(id, "does not become "+strings.Join(states, " or "))
	w.takes = true
	defer w.close()
	ctx, cancel := vm.it.withTimeout()
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
			w.take(event)
			status = Get[string](vm.it, event, "data/status")
		}
		if slices.Contains(states, status) {
			return status
		}
	}
}

// PauseJob pauses a job and waits until it is paused. The job first finishes the
// requests that are under way.
func (vm *VM) PauseJob(job string) {
	vm.it.Helper()
	vm.Cmd("block-job-pause", Dict{"device": job})
	vm.PauseWait(job)
}

// PauseWait waits until a job that was told to pause has finished the requests that
// were under way. QEMU sends no event for that moment, so PauseWait asks repeatedly. If
// the job does not exist, or is pending or concluded, it cannot pause, and the test
// fails.
func (vm *VM) PauseWait(job string) {
	vm.it.Helper()
	vm.poll("the job "+job+" to be paused", func() (bool, string) {
		jobs := vm.Cmd("query-block-jobs", nil)
		list := Get[[]qapi.BlockJobInfo](vm.it, Dict{"return": jobs}, "return")
		i := slices.IndexFunc(list, func(info qapi.BlockJobInfo) bool { return info.Device == job })
		if i < 0 {
			vm.fail("there is no job "+job+" to be paused", "jobs", FormatJSON(jobs))
		}
		switch status := list[i].Status; status {
		case qapi.JobStatusPending, qapi.JobStatusConcluded:
			vm.fail("the job "+job+" cannot be paused: it is "+string(status), "jobs", FormatJSON(jobs))
		}
		return list[i].Paused && !list[i].Busy, FormatJSON(jobs)
	})
}

// ResumeJob resumes a job.
func (vm *VM) ResumeJob(job string) {
	vm.it.Helper()
	vm.Cmd("block-job-resume", Dict{"device": job})
}

// poll calls done every 10 ms until it returns true, for changes that no event
// announces. done also returns a text about the present state. If the time limit passes,
// the test fails and shows that text, and the different texts before it. what completes
// the sentence "waited for ...".
func (vm *VM) poll(what string, done func() (bool, string)) {
	vm.it.Helper()
	var states []string
	ctx, cancel := vm.it.withTimeout()
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

// AssertNoActiveBlockJobs fails the test if query-block-jobs lists a job.
func (vm *VM) AssertNoActiveBlockJobs() {
	vm.it.Helper()
	if jobs := vm.Cmd("query-block-jobs", nil); !machine.Equal(jobs, []any{}) {
		vm.fail("there are block jobs", "jobs", FormatJSON(jobs))
	}
}

// BlockdevCreate makes an image by the job blockdev-create. The VM makes it, as
// qemu-img create would. options are those of the driver, such as
// Dict{"driver": "qcow2", "file": "node", "size": 1 << 30}. BlockdevCreate logs the
// commands, the replies, and a blank line at the end. If the job fails, the test fails.
func (vm *VM) BlockdevCreate(options Dict) *JobResult {
	vm.it.Helper()
	return vm.BlockdevCreateJob("job0", options, nil)
}

// BlockdevCreateJob is [VM.BlockdevCreate] with a job id, and with options as for
// [VM.RunJob]. It always sets ManualDismiss, as this job never dismisses itself.
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
