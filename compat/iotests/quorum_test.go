package iotests_test

import (
	"os"
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
	"github.com/goqmp/qmp/compat/machine"
)

// A quorum loses a child while a request is under way. It gets another child, which is
// opened by a descriptor, and reports that this one has different data.
func TestQuorum(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, &iotests.Options{Format: "raw"})
	it.RequireDrivers("quorum", "throttle")
	vm := it.VM(nil).AddObject(dict{"qom-type": "throttle-group", "id": "group0", "limits": dict{"iops-total": 50}})
	var children []string
	for _, name := range []string{"0", "1", "2"} {
		it.ImgCreate(name, "2M")
		child := file("child"+name, it.Format, name)
		child["file"].(dict)["node-name"] = "file" + name
		vm.AddBlockdev(child)
		children = append(children, "child"+name)
	}
	vm.AddBlockdev(dict{"driver": "quorum", "node-name": "quorum", "vote-threshold": 2, "children": children}).
		AddBlockdev(dict{"driver": "throttle", "node-name": "slow", "throttle-group": "group0", "file": "quorum"}).
		Launch()
	vm.IO("quorum", "write -P 1 0 1M")

	vm.HMPQemuIO("slow", "aio_write -P 2 0 64k")
	vm.AssertBlockPath("quorum", "children.1", "child1")
	vm.Cmd("x-blockdev-change", dict{"parent": "quorum", "child": "children.1"})
	vm.AssertBlockPath("quorum", "children.1", "")
	vm.HMPQemuIO("slow", "aio_flush")
	vm.IO("quorum", "read -P 2 0 64k")

	f, err := os.OpenFile(it.TempFile("spare", make([]byte, 2<<20)), os.O_RDWR, 0)
	if err != nil {
		it.Fatalf("%v", err)
	}
	defer f.Close()
	vm.Cmd("blockdev-add", file("spare", "raw", vm.PassFD(f, "spare")))
	vm.Cmd("x-blockdev-change", dict{"parent": "quorum", "node": "spare"})
	vm.ClearEvents()
	vm.IO("quorum", "read -P 2 0 64k") // two children have the pattern, one does not
	event := vm.EventsWait(
		machine.EventMatch{Name: "QUORUM_REPORT_BAD", Pattern: dict{"data": dict{"node-name": "spare"}}},
		machine.EventMatch{Name: "QUORUM_FAILURE"},
	)
	it.AssertQMP(event, "event", "QUORUM_REPORT_BAD")
	it.AssertQMP(event, "data/sectors-count", 128)
	it.AssertEqual("the graph", vm.BlockGraph().Lines()[:5], []string{
		"child0 -file-> file0", "child1 -file-> file1", "child2 -file-> file2",
		"quorum -children.0-> child0", "quorum -children.2-> child2",
	})
	vm.Shutdown()
	it.QemuIO("0", "read -P 2 0 64k")
	it.QemuIO("1", "read -P 1 64k 64k")
}
