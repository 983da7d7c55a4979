package mux

import "strings"

// ReadOnly reports whether a command only queries: it returns something, and changes
// neither the guest, nor QEMU, nor a file. These are all commands whose names begin with
// "query-" or "x-query-", and a few others: a test requires a decision for each command of
// QEMU 5.2 to 11.1.
//
// Four kinds of commands are not among them although they change nothing in the guest: those
// that can return a secret (qom-get, qom-list-get: an object of type secret has its data as a
// property), those that take what they return away from others (ringbuf-read), those that write
// a file (screendump, pmemsave, dumpdtb), and human-monitor-command, which executes any command
// of the human monitor. query-rx-filter is among them: all it changes is that QEMU may send one
// more NIC_RX_FILTER_CHANGED.
func ReadOnly(command string) bool {
	if strings.HasPrefix(command, "query-") || strings.HasPrefix(command, "x-query-") {
		return true
	}
	_, ok := reads[command]
	return ok
}

// reads are the commands that only query, and whose names do not say so.
var reads = map[string]struct{}{
	"device-list-properties":            {},
	"qom-list":                          {},
	"qom-list-properties":               {},
	"qom-list-types":                    {},
	"x-debug-block-dirty-bitmap-sha256": {},
	"x-debug-query-block-graph":         {},
	"trace-event-get-state":             {},
	"x-accel-stats":                     {},
	"xen-event-list":                    {},
}
