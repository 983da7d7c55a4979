package iotests

import "strings"

// A drive that is to be paused has the driver blkdebug above its file:
//
//	vm.AddDrive("blkdebug::"+path, "node-name=top")
//
// A breakpoint holds requests at an event of blkdebug (QEMU's docs/devel,
// blkdebug), such as read_aio or write_aio.

// PauseDrive holds requests of a drive at blkdebug events, or at every read and
// write if none are named. They wait until [VM.ResumeDrive].
func (vm *VM) PauseDrive(drive string, events ...string) {
	vm.it.Helper()
	if len(events) == 0 {
		events = []string{"read_aio", "write_aio"}
	}
	for _, event := range events {
		refusal, output := vm.qemuIO(drive, "break "+event+" "+breakpoint(drive))
		if refusal != "" || ioFailed(output) {
			vm.fail("no breakpoint: is there a blkdebug in the drive?", "drive", drive, "event", event, "qemu-io", refusal+output)
		}
	}
}

// ResumeDrive lets the requests go that PauseDrive holds, and holds no more.
func (vm *VM) ResumeDrive(drive string) {
	vm.it.Helper()
	// It takes all breakpoints of the name away, and complains if they are gone
	// by themselves: one that has held a request is used up by that.
	vm.qemuIO(drive, "remove_break "+breakpoint(drive))
}

// WaitPaused waits until a breakpoint of PauseDrive holds a request. It blocks the
// VM's main loop, so something has to be under way that gets there.
func (vm *VM) WaitPaused(drive string) {
	vm.it.Helper()
	if !vm.breaks[breakpoint(drive)] {
		vm.fail("no breakpoint was set on "+drive+", so none can hold a request: call PauseDrive before", "drive", drive)
	}
	vm.qemuIO(drive, "wait_break "+breakpoint(drive))
}

// noteBreak notes that a command of qemu-io sets a breakpoint, or removes one.
func (vm *VM) noteBreak(command string) {
	switch words := strings.Fields(command); {
	case len(words) == 3 && words[0] == "break":
		if vm.breaks == nil {
			vm.breaks = make(map[string]bool)
		}
		vm.breaks[words[2]] = true
	case len(words) == 2 && words[0] == "remove_break":
		delete(vm.breaks, words[1])
	}
}

// breakpoint is the name of a drive's breakpoints.
func breakpoint(drive string) string { return "bp_" + strings.ReplaceAll(drive, " ", "_") }
