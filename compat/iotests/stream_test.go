package iotests_test

import (
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// dict is short for what tests are full of.
type dict = iotests.Dict

// both are the formats that most tests are run for.
var both = []string{"raw", "qcow2"}

// chain makes an overlay over a base image in the test's format. The overlay is
// always qcow2: raw images have none. Base has 1 MiB of ones in front, the
// overlay 1 MiB of twos behind.
func chain(it *iotests.Test) (base, top string) {
	it.Helper()
	base, top = it.Path("base.img"), it.Path("top.img")
	it.ImgCreate(base, "16M")
	it.QemuIO(base, "write -P 1 0 1M")
	it.Img("create", "-q", "-f", "qcow2", "-b", base, "-F", it.Format, top)
	it.QemuIOAs("qcow2", top, "write -P 2 1M 1M")
	return base, top
}

// file returns the description of a node over a file.
func file(node, driver, path string) dict {
	return dict{"driver": driver, "node-name": node, "file": dict{"driver": "file", "filename": path}}
}

// The overlay takes over what the base has, and needs it no longer.
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

// An intermediate image goes into its base while the one above stays in use.
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

// The active layer goes into its base, and the base takes its place.
func TestCommitActive(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		base, top := chain(it)
		vm := it.VM(nil).AddDriveRaw("if=none,id=drive0,node-name=top,format=qcow2,auto-read-only=off,file=" + top).Launch()
		vm.AssertBlockPath("drive0", "root", "top")
		vm.Cmd("block-commit", dict{"job-id": "commit0", "device": "drive0"})
		vm.RunJob("commit0", &iotests.RunJobOptions{BeforeComplete: func() {
			// What is written now is still to get into the base.
			vm.IO("drive0", "write -P 3 4M 1M")
		}})
		vm.Shutdown()
		it.QemuIO(base, "read -P 1 0 1M", "read -P 2 1M 1M", "read -P 3 4M 1M")
	})
}
