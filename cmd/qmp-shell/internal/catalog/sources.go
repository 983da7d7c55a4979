package catalog

import (
	"path"
	"slices"
	"strings"
)

// A source asks the server for names of one kind.
type source func(request) ([]name, error)

// A rule says which names an argument takes.
type rule struct {
	commands  string // patterns of path.Match, with spaces between them
	arguments string // the same, for the name of the argument, or of a member in it: name, or bitmaps.name
	kind      string // the name of a source, or "" if the argument takes new names, or names that cannot be asked for
}

// rules are in order: the first that matches a command and an argument counts. The test
// TestSources shows what they say about each argument of the schema.
var rules = []rule{
	// Names that a command gives.
	{"blockdev-add object-add device_add chardev-add netdev_add block-export-add", "id", ""},
	{"blockdev-add blockdev-create drive-mirror", "node-name", ""},
	{"block-export-add", "bitmaps.name", "bitmaps"},
	{"block-dirty-bitmap-add block-export-add nbd-server-add", "name", ""},
	{"*", "snapshot-node-name filter-node-name", ""},
	{"block-commit block-stream blockdev-mirror blockdev-backup drive-* snapshot-*", "job-id", ""},
	{"drive-*", "target", ""},
	{"blockdev-add blockdev-create blockdev-reopen", "device", ""}, // a file name

	// Devices, and what they are made of.
	{"device_add", "driver", "device types"},
	{"device_add", "bus", "buses"},
	{"device_add", "drive", "block"},
	{"device_add object-add", "netdev", "netdevs"},
	{"device_add object-add", "chardev", "chardevs"},
	{"device_add object-add set-numa-node", "memdev", "memory backends"},
	{"object-add", "qom-type", "object types"},
	{"device_del device-sync-config screendump", "id device", "devices"},
	{"eject blockdev-*-tray blockdev-*-medium block_set_io_throttle block-latency-histogram-set", "id", "block devices"},
	{"object-del", "id", "objects"},
	{"device-list-properties qom-list-properties", "typename", "types"},
	{"qom-list-types", "implements", "types"},
	{"qom-get qom-set", "property", "qom properties"},
	{"qom-*", "path paths", "qom paths"},
	{"cxl-* x-query-virtio-*", "path", "qom paths"},
	{"query-stats", "vcpus", "qom paths"},
	{"query-cpu-model-*", "name", "cpu models"},

	// Jobs.
	{"job-* block-job-*", "id device", "jobs"},

	// Characters, networks, descriptors, and others.
	{"chardev-*", "id chardev chardevs", "chardevs"},
	{"ringbuf-*", "device", "chardevs"},
	{"netdev_add", "chardev", "chardevs"},
	{"object-add", "primary_in secondary_in indev outdev notify_dev", "chardevs"},
	{"object-add", "canbus", "objects"},
	{"yank", "id", "chardevs"},
	{"netdev_add netdev_del", "id netdev", "netdevs"},
	{"set_link", "name", "networks"},
	{"query-rx-filter announce-self", "name interfaces", "nics"},
	{"add-fd remove-fd query-fdsets", "fdset-id", "fd sets"},
	{"query-command-line-options", "option", "command line options"},
	{"trace-event-*-state", "name", "trace events"},
	{"human-monitor-command", "command-line", "human lines"},

	// Exports and bitmaps.
	{"block-export-del", "id", "exports"},
	{"nbd-server-remove", "name", "exports"},
	{"block-dirty-bitmap-* x-debug-block-dirty-bitmap-*", "name", "bitmaps"},
	{"block-dirty-bitmap-merge", "bitmaps", "bitmaps"},
	{"block-export-add nbd-server-add blockdev-backup drive-backup", "bitmap bitmaps", "bitmaps"},
	{"migrate-set-parameters", "name", "bitmaps"},
	{"blockdev-add blockdev-reopen", "x-dirty-bitmap", "bitmaps"},
	{"snapshot-load snapshot-delete", "tag", "snapshots"},
	{"blockdev-snapshot-delete-internal-sync", "name", "snapshots"},

	// Block nodes.
	{"block*-* block_* change-backing-file drive-* nbd-server-add x-blockdev-* snapshot-* blockdev-snapshot*", "device", "block"},
	{"eject", "device", "block"},
	{"*", "node-name node", "nodes"},
	{"blockdev-* block-* x-blockdev-*", "target overlay base-node top-node bottom replaces parent", "nodes"},
	{"drive-mirror", "replaces", "nodes"},
	{"change-backing-file", "image-node-name", "nodes"},
	{"snapshot-*", "vmstate devices", "nodes"},

	// Objects that others refer to.
	{"*", "iothread iothreads", "iothreads"},
	{"*", "throttle-group", "throttle groups"},
	{"*", "tls-creds", "tls credentials"},
	{"*", "tls-authz", "authorization objects"},
	{"*", "secret *-secret passwordid keyid", "secrets"},
	{"*", "pr-manager", "pr managers"},
}

// kindOf returns the kind of names that an argument of a command takes, or "". path leads
// to the argument. isReference says that an object may stand in place of the name, which
// in the block layer means a node.
func kindOf(command string, path []string, isReference bool) string {
	names := slices.DeleteFunc(slices.Clone(path), isIndex)
	if len(names) == 0 {
		return ""
	}
	argument := names[len(names)-1]
	inParent := strings.Join(names[max(0, len(names)-2):], ".")
	if isReference && strings.HasPrefix(command, "blockdev-") {
		return "nodes"
	}
	for _, r := range rules {
		if matches(r.commands, command) && (matches(r.arguments, argument) || matches(r.arguments, inParent)) {
			return r.kind
		}
	}
	return ""
}

// sourceOf returns the source of the names that an argument takes, or nil.
func sourceOf(command string, path []string, isReference bool) source {
	return sources[kindOf(command, path, isReference)]
}

// matches reports whether one of the patterns matches text.
func matches(patterns, text string) bool {
	for pattern := range strings.FieldsSeq(patterns) {
		if ok, err := path.Match(pattern, text); ok && err == nil {
			return true
		}
	}
	return false
}

// openArguments reports whether a command takes arguments that its definition does not
// list.
func openArguments(command string) bool { return command == "device_add" || command == "object-add" }

// sources has the sources by the kind of names. It is filled by init, because a line of
// the human monitor has arguments that take names, too.
var sources map[string]source

func init() {
	sources = map[string]source{
		"human lines":           humanLines,
		"block":                 blockNames,
		"block devices":         blockDevices,
		"nodes":                 nodes,
		"bitmaps":               bitmaps,
		"snapshots":             snapshots,
		"jobs":                  jobs,
		"exports":               exports,
		"chardevs":              chardevs,
		"iothreads":             iothreads,
		"networks":              networks(func(string) bool { return true }),
		"netdevs":               networks(func(typ string) bool { return typ != "nic" }),
		"nics":                  networks(func(typ string) bool { return typ == "nic" }),
		"fd sets":               fdSets,
		"devices":               children("/machine/peripheral", ""),
		"objects":               children("/objects", ""),
		"memory backends":       children("/objects", "memory-backend-"),
		"throttle groups":       children("/objects", "throttle-group"),
		"tls credentials":       children("/objects", "tls-creds-"),
		"authorization objects": children("/objects", "authz-"),
		"secrets":               children("/objects", "secret"),
		"pr managers":           children("/objects", "pr-manager-"),
		"types":                 types(nil),
		"device types":          types(map[string]any{"implements": "device", "abstract": false}),
		"object types":          types(map[string]any{"implements": "user-creatable", "abstract": false}),
		"buses":                 buses,
		"qom paths":             qomPaths,
		"qom properties":        qomProperties,
		"cpu models":            cpuModels,
		"command line options":  commandLineOptions,
		"trace events":          traceEvents,
	}
}
