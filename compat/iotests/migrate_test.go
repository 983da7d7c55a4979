package iotests_test

import (
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// A machine migrates to another process, with its bitmap. Both processes use the same
// disk: the source stops using it before the destination starts to.
func TestMigrationWithBitmap(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		disk, socket := it.Path("disk.img"), it.SocketPath("migration")
		it.ImgCreate(disk, "8M")
		source := it.VM(&iotests.VMOptions{Name: "source"}).AddDrive(disk, "node-name=disk").Launch()
		destination := it.VM(&iotests.VMOptions{Name: "destination"}).AddDrive(disk, "node-name=disk").
			AddIncoming("unix:" + socket).Launch()
		for _, vm := range []*iotests.VM{source, destination} {
			vm.EnableMigrationEvents()
			vm.SetMigrationCapability("dirty-bitmaps", true)
		}
		source.AddBitmap("disk", "since", dict{"granularity": 128 << 10})
		source.IO("disk", "write -P 5 1M 1M")
		before := source.Bitmap("disk", "since")

		source.Migrate("unix:" + socket)
		if !source.WaitMigration("postmigrate") {
			it.Fatalf("the migration failed: %v", source.Cmd("query-migrate", nil))
		}
		if !destination.WaitMigration("") {
			it.Fatalf("the migration failed: %v", destination.Cmd("query-migrate", nil))
		}
		destination.WaitForRunstate("prelaunch", "paused")

		// Until the destination runs, the disk may still belong to the source. QEMU 10
		// aborts on an earlier write.
		destination.Cmd("cont", nil)
		destination.WaitForRunstate("running")
		it.AssertEqual("the bitmap after the migration", destination.Bitmap("disk", "since"), before)
		destination.IO("disk", "read -P 5 1M 1M", "write -P 6 4M 64k")
		destination.AssertBitmapCount("disk", "since", 1<<20+128<<10)
		source.Shutdown()
		destination.Shutdown()
		it.QemuIO(disk, "read -P 5 1M 1M", "read -P 6 4M 64k")
	})
}

// A migration fails if nothing listens at its URI.
func TestMigrationFails(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	vm := it.VM(nil).Launch()
	vm.EnableMigrationEvents()
	reply := vm.QMP("migrate", dict{"uri": "unix:" + it.SocketPath("nobody")})
	if vm.WaitMigration("") {
		it.Errorf("a migration to a socket on which nothing listens succeeded: %v", reply)
	}
	it.AssertQMP(vm.Cmd("query-migrate", nil), "status", "failed")
	vm.WaitForRunstate("prelaunch")
}
