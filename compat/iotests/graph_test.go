package iotests_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// blockdev-reopen changes the backing node of a node, and makes a node read-only.
func TestReopen(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		base, top := chain(it)
		other := it.Path("other.img")
		it.ImgCreate(other, "16M")
		it.QemuIO(other, "write -P 9 0 1M")
		vm := it.VM(nil).
			AddBlockdev(file("base", it.Format, base)).
			AddBlockdev(file("other", it.Format, other)).
			AddBlockdev(dict{"driver": "qcow2", "node-name": "top", "backing": "base", "file": dict{"driver": "file", "filename": top, "node-name": "top-file"}}).
			Launch()
		reopen := func(more dict) {
			it.Helper()
			options := dict{"driver": "qcow2", "node-name": "top", "backing": "base", "file": "top-file"}
			for name, value := range more {
				options[name] = value
			}
			vm.Cmd("blockdev-reopen", dict{"options": []any{options}})
		}
		vm.IO("top", "read -P 1 0 1M")
		reopen(dict{"backing": "other"})
		vm.AssertBlockPath("top", "backing", "other")
		vm.IO("top", "read -P 9 0 1M", "read -P 2 1M 1M")

		reopen(dict{"backing": "other", "read-only": true})
		it.AssertQMP(vm.NodeInfo("top"), "ro", true)
		if text := vm.HMPQemuIO("top", "write 0 64k"); !strings.Contains(text, "Operation not permitted") && !strings.Contains(text, "read-only") {
			it.Errorf("a write to a node that is read-only: %s", text)
		}
		// The file node below was defined together with the node, so it has become
		// read-only as well. It stays read-only until it is reopened, too.
		refused := vm.CmdError("blockdev-reopen", dict{"options": []any{
			dict{"driver": "qcow2", "node-name": "top", "backing": "other", "file": "top-file"},
		}})
		it.AssertEqual("the refusal", refused.Desc, "Block node is read-only")
		// The child is reopened by a separate command: if QEMU 10.0 reopens a node
		// together with its child, the node's requests never go on.
		vm.Cmd("blockdev-reopen", dict{"options": []any{
			dict{"driver": "file", "node-name": "top-file", "filename": top, "read-only": false},
		}})
		reopen(dict{"backing": nil})
		vm.AssertBlockPath("top", "backing", "")
		vm.IO("top", "read -P 0 0 1M", "write -P 3 0 64k")

		// If one option in the list is wrong, QEMU changes no node.
		refused = vm.CmdError("blockdev-reopen", dict{"options": []any{
			dict{"driver": "qcow2", "node-name": "top", "backing": "base", "file": "top-file"},
			dict{"driver": it.Format, "node-name": "other", "file": "nosuch"},
		}})
		if !strings.Contains(refused.Desc, "nosuch") {
			it.Errorf("the refusal: %v", refused)
		}
		vm.AssertBlockPath("top", "backing", "")
	})
}

// While a client writes slowly over NBD, nodes are inserted below the exported node and
// removed again. No request is lost, and none writes to the wrong place.
//
// A throttle slows the requests down. A breakpoint would not do: before QEMU changes the
// graph, it waits until all requests have ended, and would wait for ever.
func TestGraphEditsDuringIO(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		it.RequireDrivers("throttle", "copy-on-read")
		disk, overlay := it.Path("disk.img"), it.Path("overlay.img")
		it.ImgCreate(disk, "4M")
		it.Img("create", "-q", "-f", "qcow2", overlay, "4M")
		above := file("overlay", "qcow2", overlay)
		above["backing"] = nil
		vm := it.VM(nil).
			AddBlockdev(file("disk", it.Format, disk)).
			AddBlockdev(above).
			AddObject(dict{"qom-type": "throttle-group", "id": "group0", "limits": dict{"bps-write": 1 << 20}}).
			AddBlockdev(dict{"driver": "throttle", "node-name": "throttle", "throttle-group": "group0", "file": "disk"}).
			Launch()
		socket := it.SocketPath("nbd")
		vm.Cmd("nbd-server-start", dict{"addr": dict{"type": "unix", "data": dict{"path": socket}}})
		vm.Cmd("block-export-add", dict{"type": "nbd", "id": "export0", "node-name": "throttle", "writable": true})

		client := it.OpenQemuIO(iotests.NBDURI(socket, "throttle"), "-f", "raw")
		write := func(offset string) {
			for range 4 {
				client.Cmd("aio_write -P 7 " + offset + " 64k")
			}
		}
		over := func(child string) {
			it.Helper()
			vm.Cmd("blockdev-reopen", dict{"options": []any{
				dict{"driver": "throttle", "node-name": "throttle", "throttle-group": "group0", "file": child},
			}})
			vm.AssertBlockPath("throttle", "file", child)
		}
		for _, offset := range []string{"0", "64k", "128k"} {
			write(offset)
			vm.Cmd("blockdev-add", dict{"driver": "copy-on-read", "node-name": "filter", "file": "disk"})
			over("filter")
			vm.AssertBlockPath("throttle", "file/file", "disk")
			write(offset)
			over("disk")
			vm.Cmd("blockdev-del", dict{"node-name": "filter"})
			vm.AssertNoNode("filter")
		}
		write("192k")
		vm.Cmd("blockdev-snapshot", dict{"node": "disk", "overlay": "overlay"})
		vm.AssertBlockPath("throttle", "file/backing", "disk")
		write("256k")
		if text := client.Cmd("aio_flush"); strings.Contains(text, "failed") {
			it.Errorf("a request was lost: %s", text)
		}
		// A request that was sent before the snapshot may have written to either layer.
		vm.IO("throttle", "read -P 7 0 320k", "read -P 0 320k 64k")
		vm.IO("disk", "read -P 7 0 192k", "read -P 0 256k 64k")
		client.Close()
		if g := vm.BlockGraph(); !slices.Contains(g.Lines(), "overlay -backing-> disk") {
			it.Errorf("the graph: %v", g.Lines())
		}
	})
}

// Overlays are put above a disk that is in use. A transaction adds all of its overlays, or
// none.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		disk := it.Path("disk.img")
		it.ImgCreate(disk, "4M")
		vm := it.VM(nil).AddDrive(disk, "node-name=disk").Launch()
		snapshot := func(n string) dict {
			return dict{"node-name": "disk" + n, "snapshot-file": it.Path("snap" + n), "snapshot-node-name": "snap" + n, "format": "qcow2"}
		}
		vm.IO("drive0", "write -P 1 0 64k")
		vm.Cmd("blockdev-snapshot-sync", snapshot(""))
		vm.IO("drive0", "write -P 2 0 64k")
		vm.AssertBlockPath("drive0", "root/backing", "disk")

		// The second action fails, so QEMU undoes the first one.
		refused := vm.CmdError("transaction", dict{"actions": []any{
			dict{"type": "blockdev-snapshot-sync", "data": dict{"node-name": "snap", "snapshot-file": it.Path("s2"), "snapshot-node-name": "s2"}},
			dict{"type": "blockdev-snapshot-sync", "data": dict{"node-name": "nosuch", "snapshot-file": it.Path("s3"), "snapshot-node-name": "s3"}},
		}})
		if !strings.Contains(refused.Desc, "nosuch") {
			it.Errorf("the refusal: %v", refused)
		}
		vm.AssertBlockPath("drive0", "root", "snap")

		// blockdev-snapshot takes an overlay that exists already.
		it.Img("create", "-q", "-f", "qcow2", it.Path("third"), "4M")
		third := file("third", "qcow2", it.Path("third"))
		third["backing"] = nil
		vm.Cmd("blockdev-add", third)
		vm.Cmd("blockdev-snapshot", dict{"node": "snap", "overlay": "third"})
		vm.IO("drive0", "write -P 3 64k 64k", "read -P 2 0 64k")
		vm.AssertBlockPath("drive0", "root/backing/backing", "disk")
		vm.Shutdown()
		it.QemuIO(disk, "read -P 1 0 64k", "read -P 0 64k 64k")
	})
}

// A qcow2 image has internal snapshots.
func TestInternalSnapshots(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		it.SkipFormats("it has no internal snapshots", "raw")
		disk := it.Path("disk.img")
		it.ImgCreate(disk, "4M")
		it.QemuIO(disk, "write -P 1 0 64k")
		vm := it.VM(nil).AddDrive(disk).Launch()
		vm.Cmd("blockdev-snapshot-internal-sync", dict{"device": "drive0", "name": "before"})
		refused := vm.CmdError("blockdev-snapshot-internal-sync", dict{"device": "drive0", "name": "before"})
		if !strings.Contains(refused.Desc, "already exists") {
			it.Errorf("the refusal: %v", refused)
		}
		vm.IO("drive0", "write -P 2 0 64k")
		vm.Shutdown()
		it.AssertQMP(it.ImgInfo(disk), "snapshots[0]/name", "before")
		it.Img("snapshot", "-a", "before", disk)
		it.QemuIO(disk, "read -P 1 0 64k")
		it.AssertImageClean(disk)
	})
}

// A node and a backend cannot have the same name. A node without a name gets one.
func TestNodeNames(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		it.Filters = append(it.Filters, iotests.OverStrings(it.FilterImgFmt))
		disk := it.Path("disk.img")
		it.ImgCreate(disk, "1M")
		vm := it.VM(nil).AddDrive(disk).Launch()
		add := dict{"driver": it.Format, "read-only": true, "file": dict{"driver": "file", "filename": disk, "locking": "off"}}
		for _, name := range []string{"node0", "node0", "drive0", "0digit", "#block0", strings.Repeat("n", 31), strings.Repeat("n", 32), ""} {
			add["node-name"] = name
			vm.QMPLog("blockdev-add", add)
		}
		delete(add, "node-name")
		vm.QMPLog("blockdev-add", add)
		// QEMU generates a name for each node that was added without one.
		names := vm.NodeNames()
		generated := 0
		for _, name := range names {
			if iotests.FilterGeneratedNodeIDs(name) == "NODE_NAME" {
				generated++
			}
		}
		if generated < 3 {
			it.Errorf("names %v: few of them were generated", names)
		}
		it.AssertQMP(vm.Cmd("query-block", nil).([]any)[0], "inserted/file", disk)
		it.CheckGolden("node-names")
	})
}
