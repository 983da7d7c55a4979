package iotests

import (
	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/secrets"
)

// HMPCmd executes a line of the human monitor, which has to succeed, and returns what
// QEMU prints. Line ends are "\n". The documentation of [async.HMP] says which failures
// it recognizes. [VM.HMP] does not look for failures, and returns the text unchanged.
func (vm *VM) HMPCmd(line string) string {
	vm.it.Helper()
	if vm.daemon {
		vm.fail("a storage daemon has no human monitor", "command", secrets.Line(line))
	}
	ctx, cancel := vm.it.withTimeout()
	defer cancel()
	vm.it.note(vm.name + ": human monitor: " + secrets.Line(line))
	text, err := async.HMP(ctx, vm.Machine, line)
	if err != nil {
		vm.fail(err.Error(), "command", secrets.Line(line))
	}
	return text
}
