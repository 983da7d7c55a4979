package qapi

import (
	_ "embed" // for the table
	"strings"
)

// sinceTable has a line for each part of the schema, in sorted order. A line has the
// part's key and the first release that has the part. If the newest release does not
// have it, the line also has the last release that does.
//
//go:embed since.txt
var sinceTable string

// Since returns the first release of QEMU that has a part of its schema, such as
// "8.2". It returns "" if that is not known. key is the name of a command, an event or
// a type. A dot and a name after it select an argument ("migrate.channels"), a member
// ("BlockdevOptions.read-only") or a value of an enum ("RunState.colo").
//
// For releases before 2.12 the source is QEMU's documentation alone, which does not
// mention every part: "2.12" may mean 2.12 or an older release.
func Since(key string) string {
	since, _ := lookUp(key)
	return since
}

// Until returns the last release of QEMU that has the part that key names, as in
// [Since]. It returns "" if the newest release that this package knows has the part,
// and if the key is not known.
func Until(key string) string {
	_, until := lookUp(key)
	return until
}

// lookUp returns the releases in the line of key.
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
