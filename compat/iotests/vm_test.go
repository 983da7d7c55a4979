package iotests_test

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/compat/iotests"
	"github.com/goqmp/qmp/compat/machine"
)

// cont and stop send events, although there is no guest. The waits for events take the
// right ones.
func TestVMEvents(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	vm := it.VM(&iotests.VMOptions{Name: "mine"}).Launch()
	it.AssertEqual("the name", vm.Name(), "mine")
	vm.NoEvent("RESUME", nil)
	vm.QMPLog("cont", nil)
	vm.QMPLogIndent("stop", nil)
	event := vm.EventsWait(machine.EventMatch{Name: "SHUTDOWN"}, machine.EventMatch{Name: "STOP"})
	it.AssertQMP(event, "event", "STOP")
	vm.EventsLog("RESUME") // EventsWait left it in the queue
	it.AssertEqual("the events that are left", len(vm.Events()), 0)

	vm.Cmd("cont", nil)
	vm.ClearEvents()
	vm.NoEvent("RESUME", nil)
	vm.Cmd("quit", nil)
	it.AssertQMP(vm.EventWait("SHUTDOWN", dict{"data": dict{"guest": false}}), "data/reason", "host-qmp-quit")
	if status := vm.WaitExit(); !status.Success() {
		it.Errorf("it ended with %v", status)
	}
	vm.Shutdown()
	it.CheckGolden("vm-events")
}

// Arguments of all types are sent, logged and put on the command line in the same way.
func TestArguments(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, &iotests.Options{Format: "raw"})
	path := it.TempFile("disk.img", bytes.Repeat([]byte{3}, 1<<20))
	vm := it.QSD(nil).Launch()
	for _, args := range []any{
		dict{"driver": "file", "node-name": "disk", "filename": path},
		machine.Args{"driver": "file", "node_name": "disk", "filename": path},
		async.Members{{Name: "driver", Value: "file"}, {Name: "node-name", Value: "disk"}, {Name: "filename", Value: path}},
		struct {
			Driver   string `json:"driver"`
			Node     string `json:"node-name"`
			Filename string `json:"filename"`
		}{"file", "disk", path},
	} {
		vm.QMPLog("blockdev-add", args)
		vm.AssertHasNode("disk", path)
		vm.Cmd("blockdev-del", dict{"node-name": "disk"})
	}
	lines := strings.Split(strings.TrimSpace(it.Logged()), "\n")
	slices.Sort(lines)
	it.AssertEqual("different lines of the log", len(slices.Compact(lines)), 2)

	// On the command line an object is passed as JSON. QMPToOpts makes a text of it.
	vm.Shutdown()
	for _, node := range []any{
		dict{"driver": "file", "node-name": "disk", "filename": path},
		iotests.QMPToOpts(dict{"driver": "file", "node-name": "disk", "filename": path}),
	} {
		vm := it.QSD(nil).AddBlockdev(node).Launch()
		vm.AssertHasNode("disk", path)
		vm.Shutdown()
	}
	it.Remove(path)
	if _, err := os.Stat(path); err == nil {
		it.Errorf("%s is still there", path)
	}
	if err := vm.Machine.Launch(t.Context()); err != nil { // the VM may be launched again
		it.Errorf("%v", err)
	}
}

// The helpers for jobs pause, resume, cancel and complete a job, and wait for its failure.
func TestJobHelpers(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		vm, _, _ := brokenMirror(it)
		mirror := dict{"job-id": "job0", "device": "source", "target": "target", "sync": "full", "buf-size": 64 << 10}
		vm.Cmd("blockdev-mirror", mirror)
		it.AssertEqual("why it failed", vm.WaitUntilFailed("job0"), "Input/output error")
		vm.AssertNoActiveBlockJobs()

		mirror["speed"] = 256 << 10
		vm.Cmd("blockdev-mirror", mirror)
		vm.PauseJob("job0")
		job, _ := vm.Job("job0")
		it.AssertEqual("the state", job.Status, "paused")
		vm.ResumeJob("job0")
		vm.Cmd("block-job-set-speed", dict{"device": "job0", "speed": 0})
		vm.WaitReady("job0")
		event := vm.CancelAndWait("job0", false)
		it.AssertQMP(event, "data/type", "mirror")
		delete(mirror, "speed")
		vm.Cmd("blockdev-mirror", mirror)
		event = vm.WaitReadyAndCancel("job0")
		it.AssertQMP(event, "data/offset", it.Lookup(event, "data/len"))
		if jobs := vm.Jobs(); len(jobs) != 0 {
			it.Errorf("jobs at the end: %v", jobs)
		}

		// The queue has events of an earlier job that no call has taken. RunJob for
		// another job with the same id does not take them for its own.
		vm.Cmd("blockdev-mirror", mirror)
		vm.EventWait("BLOCK_JOB_READY", nil)
		vm.Cmd("block-job-complete", dict{"device": "job0"})
		vm.EventWait("BLOCK_JOB_COMPLETED", nil)
		vm.AssertNoActiveBlockJobs()
		vm.Cmd("blockdev-create", dict{"job-id": "other", "options": dict{"driver": "file", "filename": it.Path("x"), "size": 0}})
		vm.RunJob("other", &iotests.RunJobOptions{ManualDismiss: true, Quiet: true})
		vm.Cmd("blockdev-backup", dict{"job-id": "job0", "device": "source", "target": "target", "sync": "full", "auto-finalize": false})
		result := vm.RunJob("job0", &iotests.RunJobOptions{ManualFinalize: true})
		it.AssertEqual("the type of the job that ended", result.Last.Type, "backup")
		if slices.Contains(result.States, "ready") {
			it.Errorf("states %v: a backup does not become ready", result.States)
		}
	})
}

// The harness passes on VMOptions.Process, except for the options that it sets itself.
func TestProcessOptions(t *testing.T) {
	t.Parallel()
	it := iotests.New(t, nil)
	vm := it.VM(&iotests.VMOptions{Name: "mine", Machine: "pc", Process: &machine.Options{
		Name: "another", Args: []string{"-nosuch"}, TempDir: "/nosuch", Monitor: machine.MonitorNone, StorageDaemon: true,
		Env: []string{"IOTESTS_TEST=1"}, Console: true, ConsoleFile: it.Path("console"),
	}}).Launch()
	it.AssertEqual("the name", vm.Machine.Name(), "mine")
	vm.Cmd("quit", nil)
	if text, err := io.ReadAll(vm.Machine.Console()); err != nil || len(text) > 0 {
		it.Errorf("the console of a guest that does not run: %q, %v", text, err)
	}
	vm.Shutdown()
	it.AssertEqual("the size of the console's file", it.FileSize(it.Path("console")), 0)
}

// QEMU composes a file name with json: for a node that no plain file name describes.
func TestJSONFilename(t *testing.T) {
	t.Parallel()
	iotests.Each(t, both, func(it *iotests.Test) {
		it.ImgCreate(it.Path("disk"), "1M")
		vm := it.VM(nil).AddBlockdev(dict{
			"driver": it.Format, "node-name": "disk", "file": dict{
				"driver": "blkdebug", "align": 4096, "image": dict{"driver": "file", "filename": it.Path("disk")},
			},
		}).Launch()
		it.AssertJSONFilename(iotests.Get[string](it, vm.NodeInfo("disk"), "file"), dict{
			"driver": it.Format, "file": dict{
				"driver": "blkdebug", "align": 4096, "image": dict{"driver": "file", "filename": it.Path("disk")},
			},
		})
	})
}
