package iotests_test

import (
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// Two incremental backups in one transaction end together (completion-mode grouped). The
// target of one has no space, so both bitmaps stay as they are. The second attempt
// succeeds, and clears both bitmaps.
func TestGroupedBackup(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, &iotests.Options{Format: "qcow2"})
	names := []string{"a", "b"}
	vm := it.VM(nil)
	for _, name := range names {
		it.ImgCreate(name, "4M")
		it.ImgCreate("target-"+name, "4M")
		target := dict{"driver": "file", "filename": "target-" + name}
		if name == "b" {
			target = dict{"driver": "blkdebug", "image": target, "inject-error": []dict{
				{"event": "write_aio", "errno": 28, "once": true},
			}}
		}
		vm.AddBlockdev(file(name, it.Format, name))
		vm.AddBlockdev(dict{"driver": it.Format, "node-name": "target-" + name, "file": target})
	}
	vm.Launch()
	for _, name := range names {
		vm.AddBitmap(name, "bitmap0", nil)
		vm.IO(name, "write -P 1 0 64k", "write -P 2 1M 64k")
	}
	backup := func(name string) dict {
		return dict{"type": "blockdev-backup", "data": dict{
			"job-id": "backup-" + name, "device": name, "target": "target-" + name,
			"sync": "incremental", "bitmap": "bitmap0", "auto-finalize": false,
		}}
	}
	both := func() {
		vm.QMPLog("transaction", dict{
			"actions":    []dict{backup("a"), backup("b")},
			"properties": dict{"completion-mode": "grouped"},
		})
	}

	both()
	// The progress of the jobs before the error differs from run to run, so it is not
	// logged.
	result := vm.RunJob("backup-b", &iotests.RunJobOptions{MayFail: true, Quiet: true})
	it.AssertEqual("why b failed", result.Error, "No space left on device")
	result = vm.RunJob("backup-a", &iotests.RunJobOptions{Quiet: true})
	it.AssertEqual("whether a was canceled", result.Canceled, true)
	for _, name := range names {
		vm.AssertBitmapCount(name, "bitmap0", 128<<10)
	}

	both()
	// job-finalize for one job finalizes both.
	vm.RunJob("backup-a", &iotests.RunJobOptions{ManualFinalize: true})
	vm.RunJob("backup-b", nil)
	for _, name := range names {
		vm.AssertBitmapCount(name, "bitmap0", 0)
	}
	vm.Shutdown()
	for _, name := range names {
		it.AssertImagesEqual(name, "target-"+name)
	}
	it.CheckGolden("grouped-backup")
}
