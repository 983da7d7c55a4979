package iotests

import "github.com/goqmp/qmp/async"

// HMPCmd executes a line of the human monitor, which has to succeed, and returns what
// it prints, with line ends of one byte. [async.HMP] says which failures it recognises.
// [VM.HMP] returns the text as it came, whatever it says.
func (vm *VM) HMPCmd(line string) string {
	vm.it.Helper()
	if vm.daemon {
		vm.fail("a storage daemon has no human monitor", "command", line)
	}
	ctx, cancel := vm.it.patience()
	defer cancel()
	vm.it.note(vm.name + ": human monitor: " + line)
	text, err := async.HMP(ctx, vm.Machine, line)
	if err != nil {
		vm.fail(err.Error(), "command", line)
	}
	return text
}
