package qapigen

import (
	"slices"
	"strings"
)

// SinceTable returns a line for each part of the schema, in sorted order. A line has
// the part's key and the first release that has the part. If the newest release does
// not have it, the line also has the last release that does.
//
// The lines that begin with '>' say which types follow in a path: the type of a command's
// arguments (">command") and of its result (">command="), of a member or a branch
// (">Type.member", ">Type[branch]"), and the alternatives of an alternate (">Type|").
// Built-in types are left out. The first line has the releases, oldest first.
func (h *History) SinceTable(s *Schema) string {
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
	for _, d := range s.Defs {
		lines = append(lines, s.typeLines(d)...)
	}
	slices.Sort(lines)
	releases := "# " + strings.Join(h.Releases, " ")
	return strings.Join(append([]string{releases}, lines...), "\n") + "\n"
}

// typeLines returns the lines of SinceTable that say which types follow d.
func (s *Schema) typeLines(d *Definition) []string {
	var lines []string
	add := func(key string, t Type) {
		if s.Type(t.Name) != nil {
			lines = append(lines, ">"+key+" "+t.Name)
		}
	}
	if d.Data != "" {
		add(d.Name, Type{Name: d.Data})
	}
	if d.Kind == Command {
		add(d.Name+"=", d.Returns)
	}
	for _, m := range s.Unfold(d) {
		add(d.Name+"."+m.Name, m.Type)
	}
	if d.Kind == Union {
		for _, b := range d.Branches {
			add(d.Name+"["+b.Name+"]", b.Type)
		}
	}
	if d.Kind == Alternate {
		var types []string
		for _, b := range d.Branches {
			if s.Type(b.Type.Name) != nil {
				types = append(types, b.Type.Name)
			}
		}
		if len(types) > 0 {
			lines = append(lines, ">"+d.Name+"| "+strings.Join(types, " "))
		}
	}
	return lines
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
