package iotests_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// A copy of a disk, to which the VM then switches.
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
		var told []iotests.Job
		result := vm.RunJob("mirror0", &iotests.RunJobOptions{
			Progress:       func(job iotests.Job) { told = append(told, job) },
			BeforeComplete: func() { vm.IO("drive0", "write -P 3 30M 64k") },
		})
		if !slices.Contains(result.States, "ready") {
			it.Errorf("states %v: a mirror gets ready", result.States)
		}
		if len(told) == 0 || told[len(told)-1].Current != told[len(told)-1].Total {
			it.Errorf("progress %v: the last call has to tell of the end", told)
		}
		vm.AssertBlockPath("drive0", "root", "target")
		vm.IO("drive0", "read -P 1 0 1M", "read -P 2 20M 64k", "read -P 3 30M 64k")
		vm.Shutdown()
		it.AssertImageClean(target)
	})
}

// The source cannot be read in one place, once. The job stops there, and goes on
// when it is told so: nothing is missing at the end.
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

// The same with the policy to give up.
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
		vm.AssertHasNode("source", "") // and is what it was
	})
}

// brokenMirror returns a VM with the nodes source and target. The first read of
// the source at 1 MiB fails.
func brokenMirror(it *iotests.Test) (vm *iotests.VM, source, target string) {
	it.Helper()
	source, target = it.Path("source.img"), it.Path("target.img")
	it.ImgCreate(source, "4M")
	it.ImgCreate(target, "4M")
	it.QemuIO(source, "write -P 1 0 4M")
	broken := dict{
		"driver": "blkdebug", "image": dict{"driver": "file", "filename": source},
		"inject-error": []any{dict{
			"event": "none", "iotype": "read", "errno": 5, "once": true,
			"sector": offsetOf(it, source, 1<<20) / 512,
		}},
	}
	vm = it.VM(nil).
		AddBlockdev(dict{"driver": it.Format, "node-name": "source", "file": broken}).
		AddBlockdev(file("target", it.Format, target)).
		Launch()
	return vm, source, target
}

// offsetOf returns where in its file an image has what a guest sees at offset.
func offsetOf(it *iotests.Test, path string, offset int64) int64 {
	it.Helper()
	entries := it.ImgMap(path, "-f", it.Format)
	for _, e := range entries {
		if e.Start <= offset && offset < e.Start+e.Length && e.Offset != nil {
			return *e.Offset + offset - e.Start
		}
	}
	it.Fatalf("nothing at %d in %s: %v", offset, path, fmt.Sprint(entries))
	return 0
}
