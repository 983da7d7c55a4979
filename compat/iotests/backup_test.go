package iotests_test

import (
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// A full backup holds the data that the disk had when the backup began. Later writes do
// not change it.
func TestBackupFull(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		source, target, before := it.Path("source.img"), it.Path("target.img"), it.Path("before.img")
		it.ImgCreate(source, "8M")
		it.ImgCreate(target, "8M")
		it.QemuIO(source, "write -P 1 0 4M")
		it.ImgConvert(source, before, "-f", it.Format)

		vm := it.VM(nil).AddDrive(source).AddBlockdev(file("target", it.Format, target)).Launch()
		vm.Cmd("blockdev-backup", dict{
			"job-id": "backup0", "device": "drive0", "target": "target", "sync": "full",
			"auto-finalize": false, "auto-dismiss": false,
		})
		vm.IO("drive0", "write -P 2 0 1M", "write -P 2 6M 1M")
		pending := false
		vm.RunJob("backup0", &iotests.RunJobOptions{
			ManualFinalize: true, ManualDismiss: true,
			BeforeFinalize: func() {
				job, _ := vm.Job("backup0")
				pending = job.Status == "pending"
				vm.IO("drive0", "write -P 4 2M 1M") // the backup does not get this write either
			},
		})
		if !pending {
			it.Errorf("the job was not pending before it was finalized")
		}
		vm.Shutdown()
		it.AssertImagesEqual(before, target)
		it.QemuIO(source, "read -P 2 0 1M", "read -P 4 2M 1M", "read -P 2 6M 1M")
	})
}

// After a full backup, each incremental backup copies what the bitmap has recorded since
// the one before.
func TestBackupIncremental(t *testing.T) {
	t.Parallel()
	iotests.Each(t, []string{"qcow2"}, func(it *iotests.Test) {
		source, full, first, second := it.Path("source.img"), it.Path("full.img"), it.Path("inc1.img"), it.Path("inc2.img")
		it.ImgCreate(source, "8M")
		it.ImgCreate(full, "8M")
		it.ImgCreate(first, "", "-b", full, "-F", it.Format)
		it.ImgCreate(second, "", "-b", first, "-F", it.Format)
		it.QemuIO(source, "write -P 1 0 1M")

		vm := it.VM(nil).AddDrive(source, "node-name=source").Launch()
		backup := func(target, sync string, more dict) {
			it.Helper()
			vm.Cmd("blockdev-add", file("target", it.Format, target))
			args := dict{"job-id": "backup0", "device": "source", "target": "target", "sync": sync}
			for name, value := range more {
				args[name] = value
			}
			vm.Cmd("blockdev-backup", args)
			vm.RunJob("backup0", nil)
			vm.Cmd("blockdev-del", dict{"node-name": "target"})
		}
		// The bitmap is added before the full backup begins. Nothing is written between
		// the two.
		vm.AddBitmap("source", "since", dict{"persistent": true})
		backup(full, "full", nil)
		vm.AssertBitmapCount("source", "since", 0)

		vm.IO("source", "write -P 2 1M 1M")
		vm.AssertBitmapCount("source", "since", 1<<20)
		backup(first, "incremental", dict{"bitmap": "since"})
		vm.AssertBitmapCount("source", "since", 0)
		vm.IO("source", "write -P 3 0 64k", "write -P 3 4M 64k")
		backup(second, "incremental", dict{"bitmap": "since"})

		if b := vm.Bitmap("source", "since"); !b.Persistent || b.Busy || b.Count != 0 {
			it.Errorf("the bitmap at the end: %+v", b)
		}
		vm.Shutdown()
		it.AssertImagesEqual(source, second)
		// Only changed data were copied.
		it.AssertEqual("what the first increment has", dataIn(it, first), 1<<20)
		it.AssertEqual("what the second increment has", dataIn(it, second), 2*(64<<10))
	})
}

// dataIn returns how many bytes of data an image has itself, without its backing files.
func dataIn(it *iotests.Test, path string) (n int64) {
	it.Helper()
	for _, e := range it.ImgMap(path, "-f", it.Format) {
		if e.Depth == 0 && e.Data {
			n += e.Length
		}
	}
	return n
}

// Two disks are backed up in one transaction with the completion mode grouped. One job
// fails, so QEMU cancels the other one. Both bitmaps still record what has to be backed
// up, and the second attempt copies all of it.
func TestBackupTransaction(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		disks := []string{"disk0", "disk1"}
		vm := it.VM(nil)
		for _, disk := range disks {
			it.ImgCreate(it.Path(disk), "4M")
			it.ImgCreate(it.Path("copy-of-"+disk), "4M")
			target := dict{"driver": "file", "filename": it.Path("copy-of-" + disk)}
			if disk == "disk1" {
				// The first write fails. To open the image QEMU writes nothing.
				target = dict{"driver": "blkdebug", "image": target, "inject-error": []any{
					dict{"event": "none", "iotype": "write", "errno": 28, "once": true},
				}}
			}
			vm.AddBlockdev(file(disk, it.Format, it.Path(disk)))
			vm.AddBlockdev(dict{"driver": it.Format, "node-name": "to-" + disk, "file": target})
		}
		vm.Launch()
		var actions []any
		for _, disk := range disks {
			vm.AddBitmap(disk, "since", nil)
			vm.IO(disk, "write -P 1 0 1M", "write -P 2 2M 64k")
			actions = append(actions, dict{"type": "blockdev-backup", "data": dict{
				"job-id": disk, "device": disk, "target": "to-" + disk, "sync": "incremental", "bitmap": "since",
			}})
		}
		transaction := dict{"actions": actions, "properties": dict{"completion-mode": "grouped"}}

		vm.Cmd("transaction", transaction)
		failed := vm.RunJob("disk1", &iotests.RunJobOptions{MayFail: true})
		it.AssertEqual("why the second backup failed", failed.Error, "No space left on device")
		other := vm.RunJob("disk0", &iotests.RunJobOptions{MayFail: true})
		if !other.Canceled {
			it.Errorf("the other one was not canceled: %+v", other)
		}
		for _, disk := range disks {
			vm.AssertBitmapCount(disk, "since", 1<<20+64<<10)
		}

		vm.Cmd("transaction", transaction)
		for _, disk := range disks {
			vm.RunJob(disk, nil)
			vm.AssertBitmapCount(disk, "since", 0)
		}
		vm.Shutdown()
		for _, disk := range disks {
			it.AssertImagesEqual(it.Path(disk), it.Path("copy-of-"+disk))
		}
	})
}
