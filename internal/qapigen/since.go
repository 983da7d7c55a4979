package qapigen

import (
	"slices"
	"strings"
)

// SinceTable returns a line for each part of the schema, sorted: its key, the
// first release that has it, and the last one unless the newest has it.
func (h *History) SinceTable() string {
	seen := make(map[string]bool)
	var lines []string
	for _, part := range []map[string]Lifetime{h.Commands, h.Events, h.Types, h.Arguments, h.Members, h.Values} {
		for key, life := range part {
			if seen[key] {
				continue // stop and STOP differ; a command and a type may not
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

// first returns the first release of what l describes. The releases were compared
// from the oldest of h.Releases on, and not one by one at the end: where they say
// no more than "or before", the documentation knows better.
func (h *History) first(l Lifetime) string {
	oldest, newest := h.Releases[0], h.Releases[len(h.Releases)-1]
	before := h.Releases[len(h.Releases)-2]
	switch {
	case l.Doc == "":
	case l.Since == oldest && compareReleases(l.Doc, oldest) < 0:
		return l.Doc
	case l.Since == newest && compareReleases(l.Doc, before) > 0 && compareReleases(l.Doc, newest) < 0:
		return l.Doc
	}
	return l.Since
}
