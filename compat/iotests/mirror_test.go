package iotests_test

import (
	"slices"
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// A mirror copies a disk, and the VM then uses the copy.
func TestMirror(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		source, target := it.Path("source.img"), it.Path("target.img")
		it.ImgCreate(source, "32M")
		it.ImgCreate(target, "32M")
		it.QemuIO(source, "write -P 1 0 1M", "write -P 2 20M 64k")

		vm := it.VM(nil).
			AddDrive(source, "node-name=source").
			AddBlockdev(file("target", it.Format, target)).
			Launch()
		vm.Cmd("blockdev-mirror", dict{"job-id": "mirror0", "device": "drive0", "target": "target", "sync": "full"})
		var seen []iotests.Job
		result := vm.RunJob("mirror0", &iotests.RunJobOptions{
			Progress:       func(job iotests.Job) { seen = append(seen, job) },
			BeforeComplete: func() { vm.IO("drive0", "write -P 3 30M 64k") },
		})
		if !slices.Contains(result.States, "ready") {
			it.Errorf("states %v: a mirror becomes ready", result.States)
		}
		if len(seen) == 0 || seen[len(seen)-1].Current != seen[len(seen)-1].Total {
			it.Errorf("progress %v: the last call has to be about the end", seen)
		}
		vm.AssertBlockPath("drive0", "root", "target")
		vm.IO("drive0", "read -P 1 0 1M", "read -P 2 20M 64k", "read -P 3 30M 64k")
		vm.Shutdown()
		it.AssertImageClean(target)
	})
}

// One read of the source fails, and the job stops because of on-source-error=stop. After
// job-resume it reads that place again, so the copy is complete.
func TestMirrorReadErrorStops(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		vm, source, target := brokenMirror(it)
		vm.Cmd("blockdev-mirror", dict{
			"job-id": "mirror0", "device": "source", "target": "target", "sync": "full",
			"on-source-error": "stop", "buf-size": 64 << 10,
		})
		event := vm.EventWait("BLOCK_JOB_ERROR", nil)
		it.AssertQMP(event, "data/operation", "read")
		it.AssertQMP(event, "data/action", "stop")
		vm.WaitJob("mirror0", "paused")
		job, _ := vm.Job("mirror0")
		it.AssertEqual("the job's state", job.Status, "paused")
		vm.Cmd("job-resume", dict{"id": "mirror0"})
		vm.RunJob("mirror0", nil)
		vm.Shutdown()
		it.AssertImagesEqual(source, target)
	})
}

// One read of the source fails, and without on-source-error the job fails.
func TestMirrorReadErrorFails(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		vm, _, _ := brokenMirror(it)
		vm.QMPLog("blockdev-mirror", dict{"job-id": "mirror0", "device": "source", "target": "target", "sync": "full", "buf-size": 64 << 10})
		result := vm.RunJob("mirror0", &iotests.RunJobOptions{MayFail: true})
		it.AssertEqual("why the job failed", result.Error, "Input/output error")
		if !slices.Contains(result.States, "aborting") {
			it.Errorf("states %v: a job that fails aborts", result.States)
		}
		vm.AssertNoActiveBlockJobs()
		vm.AssertHasNode("source", "") // the VM still has it
	})
}
