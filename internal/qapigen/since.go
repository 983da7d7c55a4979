package qapigen

import (
	"slices"
	"strings"
)

// SinceTable returns a line for each part of the schema, in sorted order. A line has
// the part's key and the first release that has the part. If the newest release does
// not have it, the line also has the last release that does.
func (h *History) SinceTable() string {
	seen := make(map[string]bool)
	var lines []string
	for _, part := range []map[string]Lifetime{h.Commands, h.Events, h.Types, h.Arguments, h.Members, h.Values} {
		for key, life := range part {
			if seen[key] {
				continue // a command and a type may have the same name; stop and STOP differ
			}
			seen[key] = true
			line := key + " " + h.first(life)
			if life.Until != "" {
				line += " " + life.Until
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// first returns the first release that has the part with lifetime l. The facts come
// from comparing the releases in h.Releases, which leaves two gaps: all releases before
// the oldest one, and those between the last two. If the part came in a gap, first
// returns the release that the documentation gives.
func (h *History) first(l Lifetime) string {
	oldest, newest := h.Releases[0], h.Releases[len(h.Releases)-1]
	before := h.Releases[len(h.Releases)-2]
	switch {
	case l.Doc == "":
	case l.Since == oldest && CompareReleases(l.Doc, oldest) < 0:
		return l.Doc
	case l.Since == newest && CompareReleases(l.Doc, before) > 0 && CompareReleases(l.Doc, newest) < 0:
		return l.Doc
	}
	return l.Since
}
