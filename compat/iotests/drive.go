package iotests

import "strings"

// This file pauses the requests of a drive, by breakpoints of the driver blkdebug.
// A breakpoint holds the requests that reach an event of blkdebug, such as read_aio
// or write_aio. QEMU's page docs/devel/blkdebug lists the events.

// PauseDrive holds the requests of a drive that reach one of the given events of
// blkdebug. Without events it holds every read and write. The requests wait until
// [VM.ResumeDrive]. The drive needs the driver blkdebug above its file:
//
//	vm.AddDrive("blkdebug::"+path, "node-name=top")
func (vm *VM) PauseDrive(drive string, events ...string) {
	vm.it.Helper()
	if len(events) == 0 {
		events = []string{"read_aio", "write_aio"}
	}
	for _, event := range events {
		refusal, output := vm.qemuIO(drive, "break "+event+" "+breakpoint(drive))
		if refusal != "" || ioFailed(output) {
			vm.fail("QEMU sets no breakpoint: does the drive have a blkdebug?", "drive", drive, "event", event, "qemu-io", refusal+output)
		}
	}
}

// ResumeDrive removes the breakpoints that PauseDrive has set, so that the requests
// that they hold go on.
func (vm *VM) ResumeDrive(drive string) {
	vm.it.Helper()
	// remove_break removes all breakpoints of that name. It fails if there are none,
	// which is fine: QEMU removes a breakpoint that has held a request.
	vm.qemuIO(drive, "remove_break "+breakpoint(drive))
}

// WaitPaused waits until a breakpoint of [VM.PauseDrive] holds a request. While it
// waits, QEMU's main loop does nothing else, so a request has to be under way that
// reaches the breakpoint. If PauseDrive was not called before, the test fails.
func (vm *VM) WaitPaused(drive string) {
	vm.it.Helper()
	if !vm.breaks[breakpoint(drive)] {
		vm.fail("no breakpoint was set on "+drive+", so none can hold a request: call PauseDrive first", "drive", drive)
	}
	vm.qemuIO(drive, "wait_break "+breakpoint(drive))
}

// noteBreak looks at a command of qemu-io, and records in vm.breaks the breakpoint
// that it sets or removes.
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

// breakpoint returns the name that all breakpoints of a drive have.
func breakpoint(drive string) string { return "bp_" + strings.ReplaceAll(drive, " ", "_") }
