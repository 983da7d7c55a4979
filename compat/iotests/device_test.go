package iotests_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/compat/iotests"
)

// A disk is plugged and unplugged while the machine runs. That needs a machine with a
// bus, so the test takes a pc, whose processor is never started. QEMU removes a disk from
// a SCSI bus without asking the guest, which does not run here.
func TestHotplug(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		disk := it.Path("disk.img")
		it.ImgCreate(disk, "4M")
		vm := it.VM(&iotests.VMOptions{Machine: "pc"}).
			AddDevice(dict{"driver": "virtio-scsi-pci", "id": "scsi0"}).Launch()
		for range 2 {
			vm.Cmd("blockdev-add", file("disk", it.Format, disk))
			vm.Cmd("device_add", dict{"driver": "scsi-hd", "id": "disk0", "drive": "disk", "bus": "scsi0.0"})
			vm.HMPQemuIODevice("disk0", "write -P 1 0 64k")
			it.AssertEqual("adding a device twice", vm.CmdError("device_add", dict{"driver": "scsi-hd", "id": "disk0", "drive": "disk"}).Class, "GenericError")
			refused := vm.CmdError("blockdev-del", dict{"node-name": "disk"})
			if !strings.Contains(refused.Desc, "is in use") {
				it.Errorf("the refusal: %v", refused)
			}
			vm.Cmd("device_del", dict{"id": "disk0"})
			it.AssertQMP(vm.EventWait("DEVICE_DELETED", dict{"data": dict{"device": "disk0"}}), "data/device", "disk0")
			vm.Cmd("blockdev-del", dict{"node-name": "disk"})
		}
		it.AssertEqual("deleting a device that was deleted", vm.CmdError("device_del", dict{"id": "disk0"}).Class, "DeviceNotFound")
		it.AssertQMP(vm.Cmd("query-status", nil), "status", "prelaunch")
		vm.Shutdown()
		it.QemuIO(disk, "read -P 1 0 64k")
	})
}

// QEMU gets files that this process has opened, as descriptors: on the command line, and
// by the command add-fd. QEMU does not need access to the path.
func TestAddFD(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		first, second := it.Path("first.img"), it.Path("second.img")
		it.ImgCreate(first, "4M")
		it.ImgCreate(second, "4M")
		open := func(path string) *os.File {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				it.Fatalf("%v", err)
			}
			it.Cleanup(func() { f.Close() })
			return f
		}
		vm := it.VM(nil).AddFD(open(first), 7).
			AddBlockdev(file("first", it.Format, "/dev/fdset/7")).Launch()
		vm.IO("first", "write -P 1 0 64k")

		fdset := vm.PassFD(open(second), "the second")
		it.Remove(second) // QEMU has the descriptor, and does not need the path
		vm.Cmd("blockdev-add", file("second", it.Format, fdset))
		vm.IO("second", "write -P 2 0 64k", "read -P 2 0 64k")
		sets := dict{"return": vm.Cmd("query-fdsets", nil)}
		if text := iotests.FormatJSON(sets); !strings.Contains(text, "the second") {
			it.Errorf("the sets: %s", text)
		}
		vm.Cmd("blockdev-del", dict{"node-name": "second"})
		vm.Shutdown()
		it.QemuIO(first, "read -P 1 0 64k")
	})
}

// All members of a throttle group share its limit.
func TestThrottling(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		it.RequireDrivers("throttle")
		vm := it.VM(nil).AddObject(dict{"qom-type": "throttle-group", "id": "group0", "limits": dict{"bps-write": 1 << 20}})
		for _, name := range []string{"disk0", "disk1"} {
			it.ImgCreate(it.Path(name), "4M")
			vm.AddBlockdev(file(name, it.Format, it.Path(name)))
			vm.AddBlockdev(dict{"driver": "throttle", "node-name": "slow-" + name, "throttle-group": "group0", "file": name})
		}
		vm.Launch()
		// QEMU lets the first tenth of a second's amount pass immediately. After that the
		// limit is 1 MiB a second.
		start := time.Now()
		for range 4 {
			vm.IO("slow-disk0", "write -P 1 0 64k")
			vm.IO("slow-disk1", "write -P 1 0 64k")
		}
		if took := time.Since(start); took < 200*time.Millisecond {
			it.Errorf("512 KiB at 1 MiB a second took %v", took)
		}
		vm.Cmd("qom-set", dict{"path": "/objects/group0", "property": "limits", "value": dict{"bps-write": 0, "iops-total": 0}})
		it.AssertQMP(vm.Cmd("qom-get", dict{"path": "/objects/group0", "property": "limits"}), "bps-write", 0)
		vm.IO("slow-disk0", "write -P 2 0 4M", "read -P 2 0 4M")
		refused := vm.CmdError("object-del", dict{"id": "group0"})
		if !strings.Contains(refused.Desc, "'group0'") || !strings.Contains(refused.Desc, "delete") {
			it.Errorf("the refusal: %v", refused)
		}
		vm.Cmd("blockdev-del", dict{"node-name": "slow-disk0"})
		vm.Cmd("blockdev-del", dict{"node-name": "slow-disk1"})
		vm.Cmd("object-del", dict{"id": "group0"})
	})
}

// Data of a disk that look like the text of an error do not fail the test.
func TestIOShowsWords(t *testing.T) {
	t.Parallel()
	iotests.Each(t, []string{"raw"}, func(it *iotests.Test) {
		disk := it.Path("disk.img")
		if err := os.WriteFile(disk, append([]byte("an.error..failed"), make([]byte, 4080)...), 0o600); err != nil {
			it.Errorf("%v", err)
		}
		vm := it.VM(nil).AddDrive(disk).Launch()
		if text := vm.IO("drive0", "read -v 0 32"); !strings.Contains(text, "an.error..failed") {
			it.Errorf("%s", text)
		}
		vm.Shutdown()
	})
}

// PauseDrive holds a request, and ResumeDrive lets it go on.
func TestPauseDrive(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		disk := it.Path("disk.img")
		it.ImgCreate(disk, "4M")
		vm := it.VM(nil).AddDrive("blkdebug::" + disk).Launch()
		vm.PauseDrive("drive0")
		vm.HMPQemuIO("drive0", "aio_write -P 1 0 64k")
		vm.WaitPaused("drive0")
		if text := vm.HMP("info status"); strings.Contains(text, "wrote") {
			it.Errorf("the write was not held: %s", text)
		}
		vm.ResumeDrive("drive0")
		vm.HMPQemuIO("drive0", "aio_flush")
		vm.IO("drive0", "read -P 1 0 64k", "write -P 2 0 64k")
		vm.Shutdown()
		it.QemuIO(disk, "read -P 2 0 64k")
	})
}
