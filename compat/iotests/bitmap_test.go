package iotests_test

import (
	"strings"
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// Bitmaps that have recorded writes at different times are merged into one.
func TestBitmapMerge(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		disk := it.Path("disk.img")
		it.ImgCreate(disk, "8M")
		vm := it.VM(nil).AddBlockdev(file("disk", it.Format, disk)).Launch()
		use := func(name, offset string) {
			it.Helper()
			vm.AddBitmap("disk", name, dict{"granularity": 64 << 10})
			vm.IO("disk", "write "+offset+" 128k")
			vm.Cmd("block-dirty-bitmap-disable", dict{"node": "disk", "name": name})
		}
		use("monday", "0")
		use("tuesday", "64k")
		use("wednesday", "4M")
		for _, name := range []string{"monday", "tuesday", "wednesday"} {
			vm.AssertBitmapCount("disk", name, 128<<10)
		}
		vm.AddBitmap("disk", "all", dict{"granularity": 64 << 10, "disabled": true})
		// If one of the bitmaps does not exist, QEMU merges none.
		refused := vm.CmdError("block-dirty-bitmap-merge", dict{"node": "disk", "target": "all", "bitmaps": []any{"monday", "sunday"}})
		if !strings.Contains(refused.Desc, "sunday") {
			it.Errorf("the refusal: %v", refused)
		}
		vm.AssertBitmapCount("disk", "all", 0)

		vm.Cmd("block-dirty-bitmap-merge", dict{"node": "disk", "target": "all", "bitmaps": []any{
			"monday", "tuesday", dict{"node": "disk", "name": "wednesday"},
		}})
		vm.AssertBitmapCount("disk", "all", 192<<10+128<<10)
		if b := vm.Bitmap("disk", "all"); b.Recording || b.Granularity != 64<<10 {
			it.Errorf("the bitmap: %+v", b)
		}
		it.AssertEqual("the number of bitmaps", len(vm.Bitmaps()["disk"]), 4)
		for _, name := range []string{"monday", "tuesday", "wednesday"} {
			vm.Cmd("block-dirty-bitmap-remove", dict{"node": "disk", "name": name})
		}
		if _, exists := vm.FindBitmap("disk", "monday"); exists {
			it.Errorf("a bitmap that was removed is still there")
		}
	})
}

// A persistent bitmap is still there after the machine was shut down and launched again.
// After a power failure it is there, too, but QEMU marks it as inconsistent.
func TestBitmapPersistence(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		it.RequireFormats("qcow2")
		disk := it.Path("disk.img")
		it.ImgCreate(disk, "8M")
		vm := it.VM(&iotests.VMOptions{MayEndBadly: true}).AddDrive(disk, "node-name=disk").Launch()
		vm.AddBitmap("disk", "kept", dict{"persistent": true})
		vm.AddBitmap("disk", "lost", nil)
		vm.IO("disk", "write 0 1M")
		vm.Shutdown()
		it.AssertQMP(it.ImgInfo(disk), "format-specific/data/bitmaps[0]/name", "kept")

		vm.Launch()
		vm.AssertBitmapCount("disk", "kept", 1<<20)
		if _, exists := vm.FindBitmap("disk", "lost"); exists {
			it.Errorf("a bitmap that was not persistent is there after a restart")
		}
		vm.IO("disk", "write 1M 1M")
		vm.Kill()

		vm.Launch()
		if b := vm.Bitmap("disk", "kept"); !b.Inconsistent {
			it.Errorf("after a power failure: %+v", b)
		}
		refused := vm.CmdError("block-dirty-bitmap-clear", dict{"node": "disk", "name": "kept"})
		if !strings.Contains(refused.Desc, "inconsistent") {
			it.Errorf("the refusal: %v", refused)
		}
		vm.Cmd("block-dirty-bitmap-remove", dict{"node": "disk", "name": "kept"})
	})
}
