package mux_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async/mux"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/qapi"
)

// changes are the commands that a read-only door refuses. Each command of the schema is either
// here, or ReadOnly reports it: a new command needs a decision.
const changes = `
add-fd add_client announce-self balloon block-commit block-dirty-bitmap-add block-dirty-bitmap-clear block-dirty-bitmap-disable
block-dirty-bitmap-enable block-dirty-bitmap-merge block-dirty-bitmap-remove block-export-add block-export-del block-job-cancel block-job-change
block-job-complete block-job-dismiss block-job-finalize block-job-pause block-job-resume block-job-set-speed block-latency-histogram-set
block-set-write-threshold block-stream block_resize block_set_io_throttle blockdev-add blockdev-backup blockdev-change-medium blockdev-close-tray
blockdev-create blockdev-del blockdev-insert-medium blockdev-mirror blockdev-open-tray blockdev-remove-medium blockdev-reopen blockdev-set-active
blockdev-snapshot blockdev-snapshot-delete-internal-sync blockdev-snapshot-internal-sync blockdev-snapshot-sync calc-dirty-rate
cancel-vcpu-dirty-limit change-backing-file change-vnc-password chardev-add chardev-change chardev-remove chardev-send-break client_migrate_info
closefd cont cxl-add-dynamic-capacity cxl-inject-correctable-error cxl-inject-dram-event cxl-inject-general-media-event cxl-inject-memory-module-event
cxl-inject-poison cxl-inject-uncorrectable-errors cxl-release-dynamic-capacity device-sync-config device_add device_del display-reload display-update
drive-backup drive-mirror dump-guest-memory dump-skeys dumpdtb eject expire_password get-win32-socket getfd human-monitor-command inject-ghes-v2-error
inject-nmi input-send-event job-cancel job-complete job-dismiss job-finalize job-pause job-resume memsave migrate migrate-continue migrate-incoming
migrate-pause migrate-recover migrate-set-capabilities migrate-set-parameters migrate-start-postcopy migrate_cancel nbd-server-add nbd-server-remove
nbd-server-start nbd-server-stop netdev_add netdev_del object-add object-del pmemsave qmp_capabilities qom-get qom-list-get qom-set quit remove-fd
replay-break replay-delete-break replay-seek request-ebpf ringbuf-read ringbuf-write rtc-reset-reinjection screendump send-key set-action
set-cpu-topology set-numa-node set-vcpu-dirty-limit set_link set_password sev-inject-launch-secret snapshot-delete snapshot-load snapshot-save stop
system_powerdown system_reset system_wakeup trace-event-set-state transaction watchdog-set-action  x-blockdev-amend x-blockdev-change
x-blockdev-set-iothread x-colo-lost-heartbeat x-exit-preconfig xen-colo-do-checkpoint xen-event-inject xen-load-devices-state
xen-save-devices-state xen-set-global-dirty-log xen-set-replication yank
`

// query reports whether a command is one that queries by its name.
func query(name string) bool {
	return strings.HasPrefix(name, "query-") || strings.HasPrefix(name, "x-query-")
}

// Each command of QEMU's schema, of all versions that package qapi knows, is either read-only, or
// in the list above. Those that are read-only return something.
func TestReadOnlyIsDecidedForEachCommand(t *testing.T) {
	t.Parallel()
	refused := strings.Fields(changes)
	known := make(map[string]bool)
	for _, c := range qapi.Commands() {
		known[c.Name] = true
		switch inList := slices.Contains(refused, c.Name); {
		case mux.ReadOnly(c.Name) && inList:
			t.Errorf("%s is read-only, and in the list of those that are not", c.Name)
		case !mux.ReadOnly(c.Name) && !inList:
			t.Errorf("%s is new: decide whether it only queries (ReadOnly of package mux), or add it to the list", c.Name)
		case mux.ReadOnly(c.Name) && c.NewResult == nil:
			t.Errorf("%s is read-only, but returns nothing", c.Name)
		case query(c.Name) && !mux.ReadOnly(c.Name):
			t.Errorf("%s is not read-only, although its name says that it is", c.Name)
		}
	}
	for _, name := range refused {
		if !known[name] {
			t.Errorf("the schema has no %s", name)
		}
	}
	for _, name := range []string{"", "no-such-command", "query", "guest-info", "qom-get", "human-monitor-command"} {
		if mux.ReadOnly(name) {
			t.Errorf("%q is read-only", name)
		}
	}
}

// The same for the commands of a real QEMU: older versions have commands that the schema of the
// newest one does not have.
func TestReadOnly_QEMU(t *testing.T) {
	s := startReal(t, nil, &mux.Door{ReadOnly: true})
	ctx := qemutest.Context(t)
	commands, err := qapi.QueryCommands(ctx, s.client)
	if err != nil {
		t.Fatal(err)
	}
	// Those that QEMU has removed since.
	gone := strings.Fields(`block_passwd change migrate-set-cache-size migrate_set_downtime migrate_set_speed x-blockdev-reopen`)
	refused := append(strings.Fields(changes), gone...)
	for _, c := range commands {
		if !mux.ReadOnly(c.Name) && !slices.Contains(refused, c.Name) {
			t.Errorf("%s: decide whether it only queries", c.Name)
		}
	}
}
