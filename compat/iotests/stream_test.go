package iotests_test

import (
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// block-stream copies the data of the base into the overlay, which does not need the base
// any more.
func TestBlockStream(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		base, top := chain(it)
		it.Filters = append(it.Filters, iotests.OverStrings(it.FilterImgFmt))

		vm := it.VM(nil).AddBlockdev(file("top", "qcow2", top)).Launch()
		vm.QMPLog("block-stream", dict{"job-id": "stream0", "device": "top"})
		vm.RunJob("stream0", nil)
		vm.AssertNoActiveBlockJobs()
		vm.AssertBlockPath("top", "backing", "")
		vm.IO("top", "read -P 1 0 1M", "read -P 2 1M 1M", "read -P 0 2M 14M")
		vm.Shutdown()

		it.AssertQMPAbsent(it.ImgInfo(top), "backing-filename")
		it.Remove(base)
		it.AssertImageClean(top, "-f", "qcow2")
		it.CheckGolden("block-stream")
	})
}

// block-commit copies an intermediate image into its base, while the image above stays in
// use.
func TestCommitInactive(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		base, mid := chain(it)
		top := it.Path("topmost.img")
		it.Img("create", "-q", "-f", "qcow2", "-b", mid, "-F", "qcow2", top)

		vm := it.VM(nil).
			AddBlockdev(file("base", it.Format, base)).
			AddBlockdev(dict{"driver": "qcow2", "node-name": "mid", "backing": "base", "file": dict{"driver": "file", "filename": mid}}).
			AddBlockdev(dict{"driver": "qcow2", "node-name": "top", "backing": "mid", "file": dict{"driver": "file", "filename": top}}).
			Launch()
		vm.Cmd("block-commit", dict{"job-id": "commit0", "device": "top", "top-node": "mid", "base-node": "base"})
		result := vm.RunJob("commit0", nil)
		for _, state := range result.States {
			if state == "ready" {
				it.Errorf("a commit of an inactive layer was ready to be completed: %v", result.States)
			}
		}
		vm.AssertBlockPath("top", "backing", "base")
		vm.Shutdown()
		it.QemuIO(base, "read -P 1 0 1M", "read -P 2 1M 1M")
	})
}

// block-commit copies the active layer into its base, and the VM then uses the base.
func TestCommitActive(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		base, top := chain(it)
		vm := it.VM(nil).AddDriveRaw("if=none,id=drive0,node-name=top,format=qcow2,auto-read-only=off,file=" + top).Launch()
		vm.AssertBlockPath("drive0", "root", "top")
		vm.Cmd("block-commit", dict{"job-id": "commit0", "device": "drive0"})
		vm.RunJob("commit0", &iotests.RunJobOptions{BeforeComplete: func() {
			// The job has to copy this write into the base, too.
			vm.IO("drive0", "write -P 3 4M 1M")
		}})
		vm.Shutdown()
		it.QemuIO(base, "read -P 1 0 1M", "read -P 2 1M 1M", "read -P 3 4M 1M")
	})
}
