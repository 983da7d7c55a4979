package qapigen

import (
	"maps"
	"slices"
	"strings"
)

// merge adds to newest the definitions and branches of old that newest does not have.
// A type that was renamed has its new name in newest, and is not added.
func merge(newest, old *Schema, h *History) {
	renamed := h.renames()
	for _, d := range old.Defs {
		d.rename(renamed)
		now := newest.find(d.Name, sameNamespace(d.Kind)...)
		switch {
		case now == nil:
			life := h.lifetime(d)
			if d.Removed = h.lost(life); d.Removed == "" {
				continue // a base or helper type that has another name in other releases
			}
			newest.Defs = append(newest.Defs, d)
		case now.Kind == Union && d.Kind == Union:
			for _, b := range d.Branches {
				if !hasMember(now.Branches, b.Name) {
					b.Removed = h.lost(h.Branches[now.Name+"["+b.Name+"]"])
					now.Branches = append(now.Branches, b)
				}
			}
		}
	}
	newest.dropUnused()
}

// sameNamespace returns the kinds whose definitions may not have the same name as one of
// kind k.
func sameNamespace(k Kind) []Kind {
	if k == Command || k == Event {
		return []Kind{k}
	}
	return typeKinds
}

// renames returns the new names of the types that were renamed after Oldest, by their
// old names.
func (h *History) renames() map[string]string {
	m := make(map[string]string)
	maps.Copy(m, h.renamed)
	for _, c := range h.Changes {
		if c.Change == "renamed" && CompareReleases(c.Release, Oldest) > 0 {
			m[c.Of] = c.To
		}
	}
	return m
}

// rename replaces the old names of types by their new ones, in d and in all that refers
// to types in d.
func (d *Definition) rename(to map[string]string) {
	if name, ok := to[d.Name]; ok && d.Kind != Command && d.Kind != Event {
		d.Name = name
	}
	swap := func(name *string) {
		if n, ok := to[*name]; ok {
			*name = n
		}
	}
	swap(&d.Base)
	swap(&d.Data)
	swap(&d.Returns.Name)
	for i := range d.Members {
		swap(&d.Members[i].Type.Name)
	}
	for i := range d.Branches {
		swap(&d.Branches[i].Type.Name)
	}
}

// lifetime returns the lifetime of a definition.
func (h *History) lifetime(d *Definition) Lifetime {
	switch d.Kind {
	case Command:
		return h.Commands[d.Name]
	case Event:
		return h.Events[d.Name]
	}
	return h.Types[d.Name]
}

func hasMember(ms []Member, name string) bool {
	return slices.ContainsFunc(ms, func(m Member) bool { return m.Name == name })
}

// restoreMembers adds the members and arguments that were removed after Oldest. They are
// optional.
func (s *Schema) restoreMembers(h *History) {
	renamed := h.renames()
	for _, c := range h.Changes {
		if c.Change != "removed-member" || CompareReleases(c.Release, Oldest) <= 0 {
			continue
		}
		owner, name, ok := strings.Cut(c.Of, ".")
		if !ok {
			continue
		}
		var d *Definition
		if c.In == "arguments" {
			d = s.find(owner, Command, Event)
			if d != nil && d.Data != "" {
				d = s.Type(d.Data)
			}
		} else {
			if to, ok := renamed[owner]; ok {
				owner = to
			}
			d = s.Type(owner)
		}
		if d == nil || d.Kind == Enum || s.knows(d, name) {
			continue
		}
		if _, ok := renamed[c.From.Name]; ok {
			c.From.Name = renamed[c.From.Name]
		}
		d.Members = append(d.Members, Member{Name: name, Type: c.From, Optional: true, Removed: c.Release})
	}
}

// knows reports whether d, its base or one of its branches has the member named member.
func (s *Schema) knows(d *Definition, member string) bool {
	if hasMember(s.Unfold(d), member) {
		return true
	}
	for _, b := range d.Branches {
		if t := s.Type(b.Type.Name); t != nil && hasMember(s.Unfold(t), member) {
			return true
		}
	}
	return false
}

// restoreValues adds the values of enums that were removed after Oldest.
func (s *Schema) restoreValues(h *History) {
	renamed := h.renames()
	for _, key := range sortedKeys(h.Values) {
		removed := h.lost(h.Values[key])
		enum, value, ok := strings.Cut(key, ".")
		if !ok || removed == "" {
			continue
		}
		if to, ok := renamed[enum]; ok {
			enum = to
		}
		d := s.find(enum, Enum)
		if d == nil || slices.ContainsFunc(d.Values, func(v Value) bool { return v.Name == value }) {
			continue
		}
		d.Values = append(d.Values, Value{Name: value, Since: h.Values[key].Doc, Removed: removed})
	}
}

// relax makes a member optional if it is mandatory in the newest release, and some
// release from Oldest on does not have it or has it as optional.
func (s *Schema) relax(h *History) {
	toMandatory := make(map[string]bool)
	for _, c := range h.Changes {
		if c.Change == "to-mandatory" && CompareReleases(c.Release, Oldest) > 0 {
			toMandatory[c.Of] = true
		}
	}
	for _, d := range s.Defs {
		members, born := h.Members, h.Types[d.Name].Since
		if d.Kind == Command || d.Kind == Event {
			members, born = h.Arguments, h.lifetime(d).Since
		}
		if born == "" || CompareReleases(born, Oldest) < 0 {
			born = Oldest
		}
		for i := range d.Members {
			m := &d.Members[i]
			key := d.Name + "." + m.Name
			since := members[key].Since
			if toMandatory[key] || since != "" && CompareReleases(since, born) > 0 {
				m.Optional = m.Optional || m.Name != d.Discriminator
			}
		}
	}
}

// dropUnused drops the types that QEMU has removed and that no definition refers to.
func (s *Schema) dropUnused() {
	for {
		used := make(map[string]bool)
		for _, d := range s.Defs {
			used[d.Base], used[d.Data], used[d.Returns.Name] = true, true, true
			for _, m := range slices.Concat(d.Members, d.Branches) {
				used[m.Type.Name] = true
			}
		}
		before := len(s.Defs)
		s.Defs = slices.DeleteFunc(s.Defs, func(d *Definition) bool {
			return d.Removed != "" && d.Kind != Command && d.Kind != Event && !used[d.Name]
		})
		if len(s.Defs) == before {
			return
		}
	}
}

// Unfold returns the members of a struct, a command's arguments or an event's data,
// those of its base first. For a union these are the members that all branches share.
func (s *Schema) Unfold(d *Definition) []Member {
	var members []Member
	if d.Data != "" {
		if t := s.Type(d.Data); t != nil {
			members = slices.Clone(s.Unfold(t))
		}
	}
	if d.Base != "" {
		if t := s.Type(d.Base); t != nil {
			members = slices.Clone(s.Unfold(t))
		}
	}
	for _, m := range d.Members {
		if !hasMember(members, m.Name) {
			members = append(members, m)
		}
	}
	return members
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
