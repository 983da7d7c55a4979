package iotests_test

import (
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// A machine moves to another process together with its disk. A mirror copies the disk to
// an NBD export of the destination; a migration moves the machine.
func TestMoveWithStorage(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		export, migration := it.SocketPath("nbd"), "unix:"+it.SocketPath("migration")
		it.ImgCreate("here.img", "8M")
		it.ImgCreate("there.img", "8M")
		it.QemuIO("here.img", "write -P 7 0 1M")
		pc := func(name, path string) *iotests.VM {
			return it.VM(&iotests.VMOptions{Name: name, Machine: "pc"}).
				AddBlockdev(file("disk", it.Format, path)).
				AddDevice(dict{"driver": "virtio-scsi-pci", "id": "scsi0"}).
				AddDevice(dict{"driver": "scsi-hd", "id": "disk0", "drive": "disk", "bus": "scsi0.0"})
		}
		source := pc("source", "here.img").Launch()
		destination := pc("destination", "there.img").AddIncoming(migration).Launch()

		address := dict{"type": "unix", "path": export}
		destination.Cmd("nbd-server-start", dict{"addr": dict{"type": "unix", "data": dict{"path": export}}})
		destination.Cmd("block-export-add", dict{"type": "nbd", "id": "export0", "node-name": "disk", "writable": true})
		source.Cmd("blockdev-add", dict{"driver": "nbd", "node-name": "remote", "server": address, "export": "disk"})
		source.Cmd("blockdev-mirror", dict{"job-id": "mirror0", "device": "disk", "target": "remote", "sync": "full"})
		source.WaitReady("mirror0")
		source.HMPQemuIODevice("disk0", "write -P 8 2M 64k") // since the mirror is ready, this is written to both

		source.EnableMigrationEvents()
		destination.EnableMigrationEvents()
		source.Migrate(migration)
		if !source.WaitMigration("postmigrate") {
			it.Fatalf("the migration failed: %v", source.Cmd("query-migrate", nil))
		}
		// Canceled without force, the job first copies all that the source has written.
		it.AssertQMP(source.CancelAndWait("mirror0", false), "event", "BLOCK_JOB_COMPLETED")
		if !destination.WaitMigration("") {
			it.Fatalf("the migration failed: %v", destination.Cmd("query-migrate", nil))
		}
		destination.Cmd("nbd-server-stop", nil)
		destination.IO("disk", "read -P 7 0 1M", "read -P 8 2M 64k")
		source.Shutdown()
		destination.Shutdown()
		it.AssertImagesEqual("here.img", "there.img")
	})
}
