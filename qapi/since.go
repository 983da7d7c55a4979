package qapi

import (
	_ "embed" // for the table
	"iter"
	"slices"
	"strings"
)

// sinceTable has a line for each part of the schema, in sorted order. A line has the
// part's key and the first release that has the part. If the newest release does not
// have it, the line also has the last release that does. Lines that begin with '>' say
// which types follow in a path, and the first line has the releases.
//
//go:embed since.txt
var sinceTable string

// Since returns the first release of QEMU that has a part of its schema, such as
// "8.2". It returns "" if that is not known. key is the name of a command, an event or
// a type. A dot and a name after it select an argument ("migrate.channels"), a member
// ("BlockdevOptions.read-only") or a value of an enum ("RunState.colo"), and further
// ones what is in these ("blockdev-add.file.filename"). If several branches of a union
// have the part, the answer is about the oldest of them; the name of a branch in brackets
// selects one ("blockdev-add.[file].filename").
//
// For releases before 2.12 the source is QEMU's documentation alone, which does not
// mention every part: "2.12" may mean 2.12 or an older release.
func Since(key string) string {
	since, _ := lifetime(strings.Split(key, "."))
	return since
}

// Until returns the last release of QEMU that has the part that key names, as in
// [Since]. It returns "" if the newest release that this package knows has the part,
// and if the key is not known.
func Until(key string) string {
	_, until := lifetime(strings.Split(key, "."))
	return until
}

// removedIn returns the release after until, or "" if until is "".
func removedIn(until string) string {
	line, _, _ := strings.Cut(sinceTable, "\n")
	releases := strings.Fields(line)
	if i := slices.Index(releases, until); i > 0 && i+1 < len(releases) {
		return releases[i+1]
	}
	return ""
}

// lifetime returns the first and the last release that has the part that path names. An
// element of path in brackets is a branch of a union.
func lifetime(path []string) (since, until string) {
	if strings.HasPrefix(path[0], ">") || strings.HasPrefix(path[0], "#") {
		return "", ""
	}
	// Most keys are in the table as they are, in which names may contain dots.
	if since, until = lookUp(strings.Join(path, ".")); since != "" {
		return since, until
	}
	owners := append([]string{path[0]}, follow(path[0])...)
	for _, name := range path[1:] {
		since, until = "", ""
		var next []string
		if strings.HasPrefix(name, "[") {
			for _, o := range owners {
				next = append(next, follow(o+name)...)
			}
			owners = next
			continue
		}
		for i := 0; i < len(owners); i++ {
			key := owners[i] + "." + name
			if first, last := lookUp(key); first == "" {
				for t := range branches(owners[i]) {
					if !slices.Contains(owners, t) {
						owners = append(owners, t)
					}
				}
			} else if since == "" || older(first, since) {
				since, until = first, last
			}
			next = append(next, follow(key)...)
		}
		owners = next
	}
	return since, until
}

// follow returns the types that follow key, those of alternatives included.
func follow(key string) []string {
	var types []string
	name, more := lookUp(">" + key)
	for _, t := range append([]string{name}, strings.Fields(more)...) {
		if t == "" {
			continue
		}
		types = append(types, t)
		if alternative, others := lookUp(">" + t + "|"); alternative != "" {
			types = append(types, alternative)
			types = append(types, strings.Fields(others)...)
		}
	}
	return types
}

// branches yields the types of the branches of a union.
func branches(union string) iter.Seq[string] {
	return func(yield func(string) bool) {
		begin := ">" + union + "["
		for rest := linesFrom(begin); strings.HasPrefix(rest, begin); {
			line, after, _ := strings.Cut(rest, "\n")
			if _, t, ok := strings.Cut(line, "] "); ok && !yield(t) {
				return
			}
			rest = after
		}
	}
}

// lookUp returns the two parts of the line of key that follow it.
func lookUp(key string) (first, second string) {
	if key == "" || strings.ContainsAny(key, " \n") {
		return "", ""
	}
	rest, ok := strings.CutPrefix(linesFrom(key+" "), key+" ")
	if !ok {
		return "", ""
	}
	line, _, _ := strings.Cut(rest, "\n")
	first, second, _ = strings.Cut(line, " ")
	return first, second
}

// linesFrom returns the end of the table that begins with the first line that does not
// sort before begin. The table has several thousand lines, so it looks for that line by
// halving.
func linesFrom(begin string) string {
	low, high := 0, len(sinceTable) // each is where a line begins; the line is between them
	for low < high {
		middle := low + (high-low)/2
		start := low + strings.LastIndexByte(sinceTable[low:middle], '\n') + 1
		line, _, _ := strings.Cut(sinceTable[start:], "\n")
		if line < begin {
			low = min(start+len(line)+1, len(sinceTable))
		} else {
			high = start
		}
	}
	return sinceTable[low:]
}

// Types returns the names of the types of a part of QEMU's schema, such as "RunState" for
// "StatusInfo.status". key is as in [Since]. The name of a command or an event stands for
// its arguments or its data, and "query-status=" for the result of query-status. For a
// list the result has the type of its elements. For an alternate it has the alternate's
// name first, and then its alternatives. Types of JSON, such as "str", are left out, and
// so are arguments whose type has no name.
func Types(key string) []string {
	path := strings.Split(key, ".")
	if strings.HasPrefix(path[0], ">") || strings.HasPrefix(path[0], "#") {
		return nil
	}
	types := follow(path[0])
	owners := append([]string{path[0]}, types...)
	for _, name := range path[1:] {
		types = nil
		for _, o := range owners {
			if strings.HasPrefix(name, "[") {
				types = appendNew(types, follow(o+name)...)
				continue
			}
			types = appendNew(types, follow(o+"."+name)...)
			if first, _ := lookUp(o + "." + name); first != "" {
				continue
			}
			for t := range branches(o) {
				types = appendNew(types, follow(t+"."+name)...)
			}
		}
		owners = types
	}
	return types
}

// appendNew appends the names that are not in list.
func appendNew(list []string, names ...string) []string {
	for _, name := range names {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}
