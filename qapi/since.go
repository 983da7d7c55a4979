package qapi

import (
	_ "embed" // for the table
	"strings"
)

// sinceTable has a line for each part of the schema, sorted: its key, the first
// release that has it, and the last one unless the newest has it.
//
//go:embed since.txt
var sinceTable string

// Since returns the first release of QEMU that has a part of its schema, such as
// "8.2", or "" if that is not known. key is a command or an event, a type, or one
// of these with a part after a dot: "migrate.channels" (an argument),
// "BlockdevOptions.read-only" (a member), "RunState.colo" (a value of an enum).
//
// Releases before 2.12 are known from QEMU's documentation only: "2.12" may stand
// for an older one.
func Since(key string) string {
	since, _ := lookUp(key)
	return since
}

// Until returns the last release of QEMU that has what key names, as in [Since].
// It is "" if the newest one that this package knows has it, and for a key that
// is not known.
func Until(key string) string {
	_, until := lookUp(key)
	return until
}

func lookUp(key string) (since, until string) {
	if key == "" || strings.ContainsAny(key, " \n") {
		return "", ""
	}
	_, rest, ok := strings.Cut("\n"+sinceTable, "\n"+key+" ")
	if !ok {
		return "", ""
	}
	line, _, _ := strings.Cut(rest, "\n")
	since, until, _ = strings.Cut(line, " ")
	return since, until
}
