package iotests_test

import (
	"strings"
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// A storage daemon exports two images. QEMU uses one of them over NBD, and copies it to
// the other one.
func TestNBDExportFromQSD(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		disk, target, socket := it.Path("disk.img"), it.Path("target.img"), it.SocketPath("nbd")
		it.ImgCreate(disk, "4M")
		it.ImgCreate(target, "4M")
		it.QemuIO(disk, "write -P 1 0 1M")
		daemon := it.QSD(nil).
			AddBlockdev(file("disk", it.Format, disk)).
			AddBlockdev(file("target", it.Format, target)).
			AddArgs("--nbd-server", "addr.type=unix,addr.path="+socket).
			AddExport(dict{"type": "nbd", "id": "export0", "node-name": "disk", "writable": true}).
			Launch()
		daemon.Cmd("block-export-add", dict{"type": "nbd", "id": "export1", "node-name": "target", "writable": true, "name": "copy"})
		it.AssertQMP(dict{"return": daemon.Cmd("query-block-exports", nil)}, "return[0]/node-name", []any{"disk", "target"})
		if list := it.NBDList(socket); !strings.Contains(list, "exports available: 2") {
			it.Errorf("the list: %s", list)
		}

		nbd := func(node, export string) dict {
			return dict{"driver": "nbd", "node-name": node, "server": dict{"type": "unix", "path": socket}, "export": export}
		}
		vm := it.VM(nil).AddBlockdev(nbd("disk", "disk")).AddBlockdev(nbd("target", "copy")).Launch()
		vm.IO("disk", "read -P 1 0 1M", "write -P 2 2M 1M")
		vm.Cmd("blockdev-backup", dict{"job-id": "backup0", "device": "disk", "target": "target", "sync": "full"})
		vm.RunJob("backup0", nil)
		vm.Shutdown()
		daemon.Shutdown()
		it.AssertImagesEqual(disk, target)
		it.QemuIO(target, "read -P 1 0 1M", "read -P 2 2M 1M")
	})
}

// An export with a client is removed only with the mode hard. A node that is exported
// cannot be removed.
func TestExportInUse(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		disk, socket := it.Path("disk.img"), it.SocketPath("nbd")
		it.ImgCreate(disk, "4M")
		daemon := it.QSD(nil).AddBlockdev(file("disk", it.Format, disk)).
			AddArgs("--nbd-server", "addr.type=unix,addr.path="+socket).Launch()
		daemon.Cmd("block-export-add", dict{"type": "nbd", "id": "export0", "node-name": "disk", "writable": true})
		client := it.OpenQemuIO(iotests.NBDURI(socket, "disk"), "-f", "raw")
		if text := client.Cmd("write -P 1 0 64k"); !strings.Contains(text, "wrote 65536/65536") {
			it.Errorf("write: %s", text)
		}

		refused := daemon.CmdError("block-export-del", dict{"id": "export0"})
		it.AssertEqual("a soft removal", refused.Desc, "export 'export0' still in use")
		refused = daemon.CmdError("blockdev-del", dict{"node-name": "disk"})
		it.AssertEqual("removal of the node", refused.Desc, "Node disk is in use")
		refused = daemon.CmdError("block-export-add", dict{"type": "nbd", "id": "export0", "node-name": "disk"})
		it.AssertEqual("a second export with that id", refused.Desc, "Block export id 'export0' is already in use")

		daemon.Cmd("block-export-del", dict{"id": "export0", "mode": "hard"})
		it.AssertQMP(daemon.EventWait("BLOCK_EXPORT_DELETED", nil), "data/id", "export0")
		if text := client.Cmd("read 0 64k"); !strings.Contains(text, "failed") {
			it.Errorf("read of an export that was removed: %s", text)
		}
		daemon.Cmd("blockdev-del", dict{"node-name": "disk"})
		daemon.Shutdown()
		it.QemuIO(disk, "read -P 1 0 64k")
	})
}

// A VM and the tools use an image that qemu-nbd serves.
func TestQemuNBD(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		disk := it.Path("disk.img")
		it.ImgCreate(disk, "4M")
		server := it.NBDServe(disk, "-x", "the export", "-D", "what it is")
		list := it.NBDList(server.Socket)
		for _, wanted := range []string{"exports available: 1", "'the export'", "what it is", "size:  4194304"} {
			if !strings.Contains(list, wanted) {
				it.Errorf("no %q in the list:\n%s", wanted, list)
			}
		}
		it.AssertEqual("the size", it.ImageSize(server.URI), 4<<20)
		it.QemuIOAs("raw", server.URI, "write -P 3 2M 64k")
		vm := it.VM(nil).AddBlockdev(dict{
			"driver": "nbd", "node-name": "disk", "server": dict{"type": "unix", "path": server.Socket}, "export": "the export",
		}).Launch()
		vm.IO("disk", "write -P 1 1M 64k", "read -P 3 2M 64k")
		vm.Shutdown()
		server.Stop()
		it.QemuIO(disk, "read -P 1 1M 64k")
	})
}
