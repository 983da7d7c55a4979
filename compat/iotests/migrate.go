package iotests

import (
	"context"
	"slices"
	"strings"

	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/qapi"
)

// EnableMigrationEvents makes QEMU send an event for each change of a migration's
// status. Call it for the source and for the destination before the migration begins:
// [VM.WaitMigration] needs the events. It logs a line with the VM's name
// ([VMOptions].Name), and QEMU's reply.
func (vm *VM) EnableMigrationEvents() {
	vm.it.Helper()
	vm.it.Log("Enabling migration QMP events on " + vm.name + "...")
	reply := vm.QMP("migrate-set-capabilities", capability("events", true))
	vm.it.Log(reply)
	vm.it.Lookup(reply, "return")
}

// capability returns the arguments of migrate-set-capabilities for one capability.
func capability(name string, on bool) Dict {
	return Dict{"capabilities": []any{Dict{"capability": name, "state": on}}}
}

// SetMigrationCapability switches a capability such as "dirty-bitmaps" on or off.
func (vm *VM) SetMigrationCapability(name string, on bool) {
	vm.it.Helper()
	vm.Cmd("migrate-set-capabilities", capability(name, on))
}

// Migrate begins a migration to a URI such as "unix:PATH". It does not wait for its
// end: [VM.WaitMigration] does.
func (vm *VM) Migrate(uri string) {
	vm.it.Helper()
	vm.Cmd("migrate", Dict{"uri": uri})
}

// WaitMigration waits until a migration has ended, and reports whether it succeeded. It
// takes and logs the migration's events. If the migration has succeeded and runstate is
// not "", it also waits until the VM is in that runstate, such as "postmigrate" or
// "paused".
//
// The test fails immediately if no event can come: no migration has begun, the VM does
// not send these events ([VM.EnableMigrationEvents]), or the migration waits for a
// command. If the migration has ended and an earlier call has taken the event,
// WaitMigration returns how it ended.
func (vm *VM) WaitMigration(runstate string) bool {
	vm.it.Helper()
	ctx, cancel := vm.it.withTimeout()
	defer cancel()
	var seen []string // the statuses of the events so far
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

// nextMigrationStatus waits for the next event of a migration, logs it, and returns its
// status. If there is no event and the migration has ended, it returns the status that
// query-migrate reports.
func (vm *VM) nextMigrationStatus(ctx context.Context, seen *[]string) string {
	vm.it.Helper()
	match := machine.EventMatch{Name: "MIGRATION"}
	event, ok := vm.takeEvent(match)
	if !ok {
		status, err := vm.migrationStatus(ctx)
		event, ok = vm.takeEvent(match) // an event that has come by now was sent before the reply
		if !ok {
			if err == nil {
				switch status {
				case qapi.MigrationStatusCompleted, qapi.MigrationStatusFailed, qapi.MigrationStatusCancelled:
					return string(status)
				}
				vm.mustMigrate(ctx, status, *seen)
			}
			// If the machine has ended, EventsWait returns an error that says so.
			event, err = vm.Machine.EventsWait(ctx, match)
			if err != nil {
				vm.fail("the migration does not end: "+err.Error(),
					"statuses", strings.Join(*seen, " "), "query-migrate", vm.tryCommand("query-migrate"))
			}
		}
	}
	status := Get[string](vm.it, event, "data/status")
	*seen = append(*seen, status)
	vm.it.Log(event, FilterQMPEvent)
	return status
}

// migrationStatus asks QEMU for the status of the migration. Before the first one
// begins, it is "none".
func (vm *VM) migrationStatus(ctx context.Context) (qapi.MigrationStatus, error) {
	info, err := qapi.QueryMigrate(ctx, vm.Machine)
	switch {
	case err != nil:
		return "", err
	case info.Status == nil:
		return qapi.MigrationStatusNone, nil
	}
	return *info.Status, nil
}

// mustMigrate fails the test if no event can come of a migration with the given status.
func (vm *VM) mustMigrate(ctx context.Context, status qapi.MigrationStatus, seen []string) {
	vm.it.Helper()
	why := ""
	switch status {
	case qapi.MigrationStatusNone:
		// In the state inmigrate the VM is a destination, which waits for the source.
		if state, err := qapi.QueryStatus(ctx, vm.Machine); err == nil && state.Status != qapi.RunStateInmigrate {
			why = "no migration has begun: call Migrate first, or AddIncoming at the destination"
		}
	case qapi.MigrationStatusPreSwitchover:
		why = "the migration waits for migrate-continue, since its capability pause-before-switchover is on"
	case qapi.MigrationStatusPostcopyPaused:
		why = "the migration has lost its connection after the switch to postcopy, and waits for migrate-recover"
	}
	if why == "" && !vm.migrationEvents(ctx) {
		why = "the VM does not send events of a migration: call EnableMigrationEvents before it begins"
	}
	if why != "" {
		vm.fail(why, "status", string(status), "statuses", strings.Join(seen, " "), "query-migrate", vm.tryCommand("query-migrate"))
	}
}

// migrationEvents reports whether the VM sends events of a migration. It returns false
// only if QEMU says that the capability "events" is off.
func (vm *VM) migrationEvents(ctx context.Context) bool {
	all, err := qapi.QueryMigrateCapabilities(ctx, vm.Machine)
	return err != nil || !slices.ContainsFunc(all, func(c qapi.MigrationCapabilityStatus) bool {
		return c.Capability == qapi.MigrationCapabilityEvents && !c.State
	})
}

// WaitForRunstate waits until the VM is in one of the given runstates, and returns that
// one. QEMU does not send an event for every change, so it asks repeatedly. If this
// QEMU does not have one of the runstates, the test fails immediately.
func (vm *VM) WaitForRunstate(runstates ...string) string {
	vm.it.Helper()
	ctx, cancel := vm.it.withTimeout()
	vm.mustKnowValues(ctx, "runstate", "query-status", "status", runstates...)
	cancel()
	var status string
	vm.poll("the runstate "+strings.Join(runstates, " or "), func() (bool, string) {
		status = Get[string](vm.it, vm.Cmd("query-status", nil), "status")
		return slices.Contains(runstates, status), status
	})
	return status
}
