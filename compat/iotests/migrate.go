package iotests

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/goqmp/qmp/compat/machine"
)

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
// reports whether it succeeded. With a runstate such as "postmigrate" or "paused" it
// also waits until the VM is in that one. It fails the test at once where no event
// can come: no migration was begun, the VM does not send these events
// ([VM.EnableMigrationEvents]), or the migration waits for a command. The end counts
// as well if an earlier call has taken its event.
func (vm *VM) WaitMigration(runstate string) bool {
	vm.it.Helper()
	ctx, cancel := vm.it.patience()
	defer cancel()
	var seen []string // the statuses that events have told
	for {
		status := vm.nextMigrationStatus(ctx, &seen)
		switch status {
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

// nextMigrationStatus waits for the next event of a migration, logs it and returns
// its status. If there is none and the migration is over, it returns how it ended.
func (vm *VM) nextMigrationStatus(ctx context.Context, seen *[]string) string {
	vm.it.Helper()
	match := machine.EventMatch{Name: "MIGRATION"}
	event, ok := vm.takeEvent(match)
	if !ok {
		status, err := vm.migrationStatus(ctx)
		event, ok = vm.takeEvent(match) // it came before the answer
		if !ok {
			if err == nil {
				if status == "completed" || status == "failed" || status == "cancelled" {
					return status
				}
				vm.mustMigrate(ctx, status, *seen)
			}
			// If the machine has ended, it says so here.
			event, err = vm.Machine.EventsWait(ctx, match)
			if err != nil {
				vm.fail("the migration does not come to its end: "+err.Error(),
					"statuses", strings.Join(*seen, " "), "query-migrate", vm.glance("query-migrate"))
			}
		}
	}
	status := Get[string](vm.it, event, "data/status")
	*seen = append(*seen, status)
	vm.it.Log(event, FilterQMPEvent)
	return status
}

// migrationStatus asks for the status of the migration, which is "none" before it
// begins.
func (vm *VM) migrationStatus(ctx context.Context) (string, error) {
	info, err := vm.Machine.Command(ctx, "query-migrate", nil)
	if err != nil {
		return "", err
	}
	if status, err := Lookup(info, "status"); err == nil {
		return fmt.Sprint(status), nil
	}
	return "none", nil
}

// mustMigrate fails the test if a migration with that status does not go on, or does
// not tell of it.
func (vm *VM) mustMigrate(ctx context.Context, status string, seen []string) {
	vm.it.Helper()
	why := ""
	switch status {
	case "none":
		// The destination waits for the source.
		if state, err := vm.Machine.Command(ctx, "query-status", nil); err == nil && Get[string](vm.it, state, "status") != "inmigrate" {
			why = "there is no migration to be waited for: call Migrate before, or AddIncoming at the destination"
		}
	case "pre-switchover":
		why = "the migration waits for migrate-continue, since its capability pause-before-switchover is on"
	case "postcopy-paused":
		why = "the migration has lost its connection after the switch to postcopy, and waits for migrate-recover"
	}
	if why == "" && !vm.migrationEvents(ctx) {
		why = "the VM does not tell by events how a migration goes: call EnableMigrationEvents before it begins"
	}
	if why != "" {
		vm.fail(why, "status", status, "statuses", strings.Join(seen, " "), "query-migrate", vm.glance("query-migrate"))
	}
}

// migrationEvents reports whether the VM sends events of a migration, or does not
// say so.
func (vm *VM) migrationEvents(ctx context.Context) bool {
	all, err := vm.Machine.Command(ctx, "query-migrate-capabilities", nil)
	list, ok := all.([]any)
	if err != nil || !ok {
		return true
	}
	return !slices.ContainsFunc(list, func(c any) bool {
		return machine.Equal(c, Dict{"capability": "events", "state": false})
	})
}

// WaitForRunstate waits until the VM is in one of the runstates, and returns
// which. Not every change has an event, so it asks. A runstate that this QEMU does
// not have fails the test at once.
func (vm *VM) WaitForRunstate(runstates ...string) string {
	vm.it.Helper()
	ctx, cancel := vm.it.patience()
	vm.mustKnowValues(ctx, "runstate", "query-status", "status", runstates...)
	cancel()
	var status string
	vm.poll("the runstate "+strings.Join(runstates, " or "), func() (bool, string) {
		status = Get[string](vm.it, vm.Cmd("query-status", nil), "status")
		return slices.Contains(runstates, status), status
	})
	return status
}
