package iotests_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// Two jobs make an image: one makes the file, the other one writes the format's metadata
// into it. A raw image has no metadata, so this test leaves it out.
func TestBlockdevCreate(t *testing.T) {
	t.Parallel()
	iotests.Each(t, []string{"qcow2", "vdi"}, func(it *iotests.Test) {
		it.Filters = append(it.Filters, iotests.OverStrings(it.FilterImgFmt))
		it.RequireDrivers(it.Format)
		path := it.Path("new.img")
		vm := it.QSD(nil).Launch()
		vm.BlockdevCreate(dict{"driver": "file", "filename": path, "size": 0})
		vm.QMPLog("blockdev-add", dict{"driver": "file", "filename": path, "node-name": "file"})
		vm.BlockdevCreate(dict{"driver": it.Format, "file": "file", "size": 32 << 20})
		vm.QMPLog("blockdev-add", dict{"driver": it.Format, "file": "file", "node-name": "new"})
		it.AssertQMP(vm.NodeInfo("new"), "image/virtual-size", 32<<20)
		vm.QMPLog("blockdev-del", dict{"node-name": "new"})
		vm.QMPLog("blockdev-del", dict{"node-name": "file"})
		vm.Shutdown()
		it.AssertEqual("the image's size", it.ImageSize(path, "-f", it.Format), 32<<20)
		it.AssertImageClean(path)
		it.CheckGolden("blockdev-create")
	})
}

// If an image cannot be made, the job fails, and not the command that starts it.
func TestBlockdevCreateFails(t *testing.T) {
	t.Parallel()
	iotests.Each(t, []string{"qcow2"}, func(it *iotests.Test) {
		path := it.Path("new.img")
		vm := it.QSD(nil).Launch()
		mayFail := &iotests.RunJobOptions{MayFail: true}
		vm.BlockdevCreate(dict{"driver": "file", "filename": path, "size": 1 << 20})
		vm.Cmd("blockdev-add", dict{"driver": "file", "filename": path, "node-name": "file"})
		for _, bad := range []dict{
			{"driver": "qcow2", "file": "nosuch", "size": 1 << 20},
			{"driver": "qcow2", "file": "file", "size": 1<<20 + 1},
			{"driver": "qcow2", "file": "file", "size": 1 << 20, "cluster-size": 1234},
			{"driver": "file", "filename": it.Dir + "/nosuch/x", "size": 0},
			{"driver": "qcow2", "file": "file", "size": uint64(1) << 63},
		} {
			result := vm.BlockdevCreateJob("job1", bad, mayFail)
			if result.OK() {
				it.Errorf("%v worked", bad)
			}
			if i := slices.Index(result.States, "running"); i >= 0 && !slices.Contains(result.States[i:], "aborting") {
				it.Errorf("%v: %v", bad, result.States)
			}
		}
		it.CheckGolden("blockdev-create-fails")
	})
}

// An image larger than 4 GiB takes data at its end, and numbers beyond 32 bits are read
// correctly.
func TestLargeImage(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		const size = 6 << 30
		path, top := it.Path("large.img"), it.Path("top.img")
		it.ImgCreate(path, "6G")
		it.QemuIO(path, "write -P 1 0 64k", "write -P 2 5G 64k", "write -P 3 6442385408 64k")
		it.Img("create", "-q", "-f", "qcow2", "-b", path, "-F", it.Format, top)
		vm := it.VM(nil).
			AddBlockdev(file("base", it.Format, path)).
			AddBlockdev(dict{"driver": "qcow2", "node-name": "top", "backing": "base", "file": dict{"driver": "file", "filename": top}}).
			Launch()
		it.AssertQMP(vm.NodeInfo("top"), "image/virtual-size", int64(size))
		vm.IO("top", "write -P 4 4G 64k")
		vm.Cmd("block-commit", dict{"job-id": "commit0", "device": "top"})
		result := vm.RunJob("commit0", nil)
		it.AssertEqual("how far the job got", result.Last.Current, result.Last.Total)
		vm.Shutdown()
		it.QemuIO(path, "read -P 1 0 64k", "read -P 4 4G 64k", "read -P 2 5G 64k", "read -P 3 6442385408 64k")
		last := it.ImgMap(path, "-f", it.Format)
		if end := last[len(last)-1]; end.Start+end.Length != size {
			it.Errorf("the map ends at %d", end.Start+end.Length)
		}
		if it.FileSize(path) > 0 && it.ImgMeasure("--size", "6G").Required > size+size/1000 {
			it.Errorf("an image of 6 GiB takes %v", it.ImgMeasure("--size", "6G"))
		}
	})
}

// A machine grows a disk while it uses it, and then shrinks it.
func TestResize(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		path := it.Path("disk.img")
		it.ImgCreate(path, "1M")
		vm := it.VM(nil).AddDrive(path, "node-name=disk").Launch()
		if text := vm.HMPQemuIO("disk", "write 1M 64k"); !strings.Contains(text, "failed") {
			it.Errorf("a write after the end: %s", text)
		}
		vm.Cmd("block_resize", dict{"node-name": "disk", "size": 5 << 30})
		vm.IO("disk", "write -P 1 4G 64k", "read -P 0 1M 1M")
		it.AssertQMP(vm.NodeInfo("disk"), "image/virtual-size", int64(5<<30))
		refused := vm.CmdError("block_resize", dict{"node-name": "disk", "size": -512})
		it.AssertEqual("a negative size", refused.Desc, "Parameter 'size' expects a >0 size")
		vm.Cmd("block_resize", dict{"device": "drive0", "size": 2 << 20})
		vm.Shutdown()
		it.AssertEqual("the size at the end", it.ImageSize(path, "-f", it.Format), 2<<20)
		it.AssertImageClean(path)
	})
}
