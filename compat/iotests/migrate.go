package iotests

import "slices"

// EnableMigrationEvents has the VM tell by events how a migration goes. Both
// sides want it, before it begins. It logs that, with the VM's name
// ([VMOptions].Name), and the reply.
func (vm *VM) EnableMigrationEvents() {
	vm.it.Helper()
	vm.it.Log("Enabling migration QMP events on " + vm.name + "...")
	reply := vm.QMP("migrate-set-capabilities", capability("events", true))
	vm.it.Log(reply)
	vm.it.Lookup(reply, "return")
}

// capability is the arguments of migrate-set-capabilities for one of them.
func capability(name string, on bool) Dict {
	return Dict{"capabilities": []any{Dict{"capability": name, "state": on}}}
}

// SetMigrationCapability switches a capability such as "dirty-bitmaps".
func (vm *VM) SetMigrationCapability(name string, on bool) {
	vm.it.Helper()
	vm.Cmd("migrate-set-capabilities", capability(name, on))
}

// Migrate begins a migration to a URI such as "unix:PATH".
func (vm *VM) Migrate(uri string) {
	vm.it.Helper()
	vm.Cmd("migrate", Dict{"uri": uri})
}

// WaitMigration waits for a migration's end, by its events, which it logs, and
// reports whether it succeeded. With a runstate such as "postmigrate" or "paused" it also waits until
// the VM is in that one.
func (vm *VM) WaitMigration(runstate string) bool {
	vm.it.Helper()
	for {
		event := vm.EventWait("MIGRATION", nil)
		vm.it.Log(event, FilterQMPEvent)
		switch status := Get[string](vm.it, event, "data/status"); status {
		case "completed":
			if runstate != "" {
				vm.WaitForRunstate(runstate)
			}
			return true
		case "failed", "cancelled":
			return false
		}
	}
}

// WaitForRunstate waits until the VM is in one of the runstates, and returns
// which. Not every change has an event, so it asks.
func (vm *VM) WaitForRunstate(runstates ...string) string {
	vm.it.Helper()
	var status string
	vm.poll("a runstate", func() (bool, string) {
		status = Get[string](vm.it, vm.Cmd("query-status", nil), "status")
		return slices.Contains(runstates, status), status
	})
	return status
}
