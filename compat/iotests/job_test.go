package iotests_test

import (
	"slices"
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// slowJob returns a VM with the job job0, a mirror that makes no progress: a breakpoint
// holds the reads of its source.
func slowJob(it *iotests.Test, more dict) *iotests.VM {
	it.Helper()
	source, target := it.Path("source.img"), it.Path("target.img")
	it.ImgCreate(source, "4M")
	it.ImgCreate(target, "4M")
	it.QemuIO(source, "write -P 1 0 4M")
	vm := it.VM(nil).
		AddDrive("blkdebug::"+source, "node-name=source").
		AddBlockdev(file("target", it.Format, target)).
		Launch()
	vm.PauseDrive("drive0", "read_aio")
	args := dict{"job-id": "job0", "device": "drive0", "target": "target", "sync": "full"}
	for name, value := range more {
		args[name] = value
	}
	vm.Cmd("blockdev-mirror", args)
	return vm
}

// A busy job pauses when its requests have ended, and makes no progress until it is
// resumed.
func TestJobPause(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		vm := slowJob(it, nil)
		vm.Cmd("job-pause", dict{"id": "job0"})
		vm.ResumeDrive("drive0")
		vm.PauseWait("job0")
		before, _ := vm.Job("job0")
		it.AssertEqual("the job's state", before.Status, "paused")
		if after, _ := vm.Job("job0"); after != before {
			it.Errorf("a paused job has gone on, from %+v to %+v", before, after)
		}
		vm.ResumeJob("job0")
		result := vm.RunJob("job0", nil)
		if !slices.Contains(result.States, "paused") {
			it.Errorf("states %v", result.States)
		}
	})
}

// RunJob reports that a job was canceled. A mirror that is ready may be canceled with and
// without force.
func TestJobCancel(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		vm := slowJob(it, nil)
		vm.Cmd("block-job-cancel", dict{"device": "job0"})
		vm.ResumeDrive("drive0")
		result := vm.RunJob("job0", &iotests.RunJobOptions{MayFail: true})
		if !result.Canceled || result.Error != "" {
			it.Errorf("the result of a job that was canceled: %+v", result)
		}
		vm.AssertNoActiveBlockJobs()

		// A mirror that is ready and is canceled without force has made a copy.
		vm.Cmd("blockdev-mirror", dict{"job-id": "job0", "device": "drive0", "target": "target", "sync": "full"})
		vm.WaitReady("job0")
		event := vm.CancelAndWait("job0", false)
		it.AssertQMP(event, "event", "BLOCK_JOB_COMPLETED")
		// With force the mirror gives up.
		vm.Cmd("blockdev-mirror", dict{"job-id": "job0", "device": "drive0", "target": "target", "sync": "full"})
		vm.WaitReady("job0")
		event = vm.CancelAndWait("job0", true)
		it.AssertQMP(event, "event", "BLOCK_JOB_CANCELLED")
		vm.Cmd("blockdev-mirror", dict{"job-id": "job0", "device": "drive0", "target": "target", "sync": "full"})
		vm.CompleteAndWait("job0")
		vm.AssertNoActiveBlockJobs()
	})
}

// A job that waits for each command goes through all states, in the order that QEMU
// documents. It can be canceled until it is finalized.
func TestJobStates(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		it.Filters = append(it.Filters, iotests.OverStrings(it.FilterImgFmt))
		source, target := it.Path("source.img"), it.Path("target.img")
		it.ImgCreate(source, "1M")
		it.ImgCreate(target, "1M")
		vm := it.VM(nil).AddBlockdev(file("source", it.Format, source)).AddBlockdev(file("target", it.Format, target)).Launch()
		for _, finalize := range []bool{true, false} {
			for _, dismiss := range []bool{true, false} {
				for _, cancel := range []bool{false, true} {
					if finalize && cancel {
						continue // a job that finalizes itself cannot be canceled while it is pending
					}
					it.Log(dict{"auto-finalize": finalize, "auto-dismiss": dismiss, "cancel": cancel})
					vm.QMPLog("blockdev-backup", dict{
						"job-id": "job0", "device": "source", "target": "target", "sync": "full",
						"auto-finalize": finalize, "auto-dismiss": dismiss,
					})
					result := vm.RunJob("job0", &iotests.RunJobOptions{
						ManualFinalize: !finalize, ManualDismiss: !dismiss, Cancel: cancel, MayFail: cancel,
					})
					it.Log(result.States)
					if result.Canceled != cancel || result.Error != "" {
						it.Errorf("the result: %+v", result)
					}
				}
			}
		}
		it.CheckGolden("job-states")
	})
}

// QEMU refuses a command that a job cannot execute in its state.
func TestJobCommandsRefused(t *testing.T) {
	t.Parallel()
	iotests.Each(t, []string{"qcow2"}, func(it *iotests.Test) {
		vm := slowJob(it, dict{"auto-finalize": false})
		for cmd, why := range map[string]string{
			"job-finalize": "Job 'job0' in state 'running' cannot accept command verb 'finalize'",
			"job-dismiss":  "Job 'job0' in state 'running' cannot accept command verb 'dismiss'",
			"job-complete": "Job 'job0' in state 'running' cannot accept command verb 'complete'",
		} {
			it.AssertEqual(cmd, vm.CmdError(cmd, dict{"id": "job0"}).Desc, why)
		}
		it.AssertEqual("a second job", vm.CmdError("blockdev-create", dict{"job-id": "job0", "options": dict{"driver": "file", "filename": it.Path("x"), "size": 0}}).Desc, "Job ID 'job0' already in use")
		it.AssertEqual("no such job", vm.CmdError("block-job-cancel", dict{"device": "other"}).Class, "DeviceNotActive")
		vm.ResumeDrive("drive0")
		vm.RunJob("job0", &iotests.RunJobOptions{ManualFinalize: true})
	})
}
