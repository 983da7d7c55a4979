package catalog

import (
	"slices"
	"strings"

	"github.com/goqmp/qmp/qapi"
)

// typeNames returns the names that types have in QEMU's documentation, by the server's
// own names for them, which are numbers. Package qapi knows them: both are followed from
// the same commands and events, along the same members.
func (s *server) typeNames() map[string]string {
	s.namesOnce.Do(func() {
		n := namer{server: s, names: make(map[string]string)}
		for _, command := range s.commands {
			info := s.entries[command].Command
			n.visit(info.ArgType, qapi.Types(command), command)
			n.visit(info.RetType, qapi.Types(command+"="), "")
		}
		for _, event := range s.events {
			if info := s.entries[event]; info != nil {
				n.visit(info.Event.ArgType, qapi.Types(event), event)
			}
		}
		s.names = n.names
	})
	return s.names
}

// A namer finds the names of types.
type namer struct {
	*server
	names map[string]string
}

// visit gives a type the first of names, and the alternatives of an alternate the others.
// If there are none, the type has no name itself, but owner leads to its members.
func (n *namer) visit(typ string, names []string, owner string) {
	info := n.entries[typ]
	if info == nil || info.Builtin != nil {
		return
	}
	if info.Array != nil {
		n.visit(info.Array.ElementType, names, "")
		return
	}
	if len(names) > 0 {
		if _, known := n.names[typ]; known {
			return
		}
		n.names[typ] = names[0]
		owner = names[0]
	}
	switch {
	case owner == "":
	case info.Alternate != nil:
		others := names[min(1, len(names)):]
		for _, m := range info.Alternate.Members {
			alternative := n.entries[m.Type]
			if alternative != nil && (alternative.Object != nil || alternative.Enum != nil) && len(others) > 0 {
				n.visit(m.Type, others[:1], "")
				others = others[1:]
			}
		}
	case info.Object != nil:
		for _, m := range info.Object.Members {
			n.visit(m.Type, qapi.Types(owner+"."+m.Name), "")
		}
		for _, v := range info.Object.Variants {
			n.visit(v.Type, qapi.Types(owner+".["+v.Case+"]"), "")
		}
	}
}

// typeOf returns the server's name for the type that QEMU's documentation calls name. It
// ignores case if there is no exact match.
func (s *server) typeOf(name string) (typ, exact string) {
	for typ, known := range s.typeNames() {
		if known == name {
			return typ, known
		}
	}
	for typ, known := range s.typeNames() {
		if strings.EqualFold(known, name) {
			return typ, known
		}
	}
	return "", ""
}

// users returns the commands and events whose arguments, data or results have a type,
// sorted.
func (s *server) users(typ string) []string {
	var users []string
	for _, name := range slices.Concat(s.commands, s.events) {
		var roots []string
		if cmd := s.command(name); cmd != nil {
			roots = []string{cmd.ArgType, cmd.RetType}
		} else if info := s.entries[name]; info != nil && info.Event != nil {
			roots = []string{info.Event.ArgType}
		}
		seen := make(map[string]bool)
		if slices.ContainsFunc(roots, func(root string) bool { return s.uses(root, typ, seen) }) {
			users = append(users, name)
		}
	}
	return users
}

// uses reports whether a value of type from may contain one of type typ. seen has the
// types that were looked at.
func (s *server) uses(from, typ string, seen map[string]bool) bool {
	if from == typ {
		return true
	}
	info := s.entries[from]
	if info == nil || seen[from] {
		return false
	}
	seen[from] = true
	switch {
	case info.Array != nil:
		return s.uses(info.Array.ElementType, typ, seen)
	case info.Alternate != nil:
		return slices.ContainsFunc(info.Alternate.Members, func(m qapi.SchemaInfoAlternateMember) bool { return s.uses(m.Type, typ, seen) })
	case info.Object != nil:
		return slices.ContainsFunc(info.Object.Members, func(m qapi.SchemaInfoObjectMember) bool { return s.uses(m.Type, typ, seen) }) ||
			slices.ContainsFunc(info.Object.Variants, func(v qapi.SchemaInfoObjectVariant) bool { return s.uses(v.Type, typ, seen) })
	}
	return false
}
