package qapi

import (
	"context"
	"fmt"
	"slices"

	"github.com/goqmp/qmp/async"
)

// A Schema says what one running QEMU supports. QEMU itself reports it by the command
// query-qmp-schema (QEMU, "QMP introspection"). A Schema does not change, and may be
// used concurrently.
//
// A path names a part of the schema. It begins with a command or an event. Then comes
// the name of an argument, or of a member of the event's data; then members of that
// one's type, down to a value of an enum. Arrays and alternates have no place of their
// own in a path:
//
//	s.Has("blockdev-add", "read-only")
//	s.Has("blockdev-add", "driver", "qcow2")
//	s.Has("blockdev-add", "file", "filename")
//
// A path does not contain names of types: QEMU hides them, and they differ from build
// to build.
type Schema struct {
	entries map[string]*SchemaInfo // the key is a name, or QEMU's number for a type
	version string                 // of the server, "" if unknown
}

// Introspect asks the server for its schema and its version. The reply has about 200 kB,
// and the Schema takes 0.6 MB of memory: ask once for each connection and keep the
// result. A schema does not change while a connection lasts. After it another QEMU may
// answer at the same address: if the client connects again by itself, ask again in
// [async.Options].OnConnect, or when [async.Client.Session] has another value than
// before the first call. Errors are those of [QueryQMPSchema] and [QueryVersion].
func Introspect(ctx context.Context, c async.Caller) (*Schema, error) {
	infos, err := QueryQMPSchema(ctx, c)
	if err != nil {
		return nil, err
	}
	version, err := QueryVersion(ctx, c)
	if err != nil {
		return nil, err
	}
	s := NewSchema(infos)
	s.version = fmt.Sprintf("%d.%d.%d", version.QEMU.Major, version.QEMU.Minor, version.QEMU.Micro)
	return s, nil
}

// Version returns the server's version, such as "10.0.2". It is "" if [NewSchema] made
// the schema.
func (s *Schema) Version() string { return s.version }

// NewSchema returns the schema that infos describe, the result of query-qmp-schema.
// The schema keeps infos: do not change them after the call.
func NewSchema(infos []SchemaInfo) *Schema {
	s := &Schema{entries: make(map[string]*SchemaInfo, len(infos))}
	for i := range infos {
		s.entries[infos[i].Name] = &infos[i]
	}
	return s
}

// Commands returns the names of all commands, sorted. The slice belongs to the caller.
func (s *Schema) Commands() []string {
	return s.names(func(i *SchemaInfo) bool { return i.Command != nil })
}

// Events returns the names of all events, sorted.
func (s *Schema) Events() []string {
	return s.names(func(i *SchemaInfo) bool { return i.Event != nil })
}

// names returns the sorted names of the entries for which want returns true.
func (s *Schema) names(want func(*SchemaInfo) bool) []string {
	var names []string
	for name, i := range s.entries {
		if want(i) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Has reports whether the server has the part that path names. It is false for an
// empty path.
func (s *Schema) Has(path ...string) bool { return len(s.find(path)) > 0 }

// HasResult reports whether the result of a command has the part that path names.
// Without a path it reports whether the server has the command.
func (s *Schema) HasResult(command string, path ...string) bool {
	i := s.entries[command]
	if i == nil || i.Command == nil {
		return false
	}
	if len(path) == 0 {
		return true
	}
	return len(s.walk([]string{i.Command.RetType}, path)) > 0
}

// AllowsOOB reports whether the server has the command and allows it out of band.
func (s *Schema) AllowsOOB(command string) bool {
	i := s.entries[command]
	return i != nil && i.Command != nil && i.Command.AllowOOB != nil && *i.Command.AllowOOB
}

// A Parameter is an argument of a command, a member of an event's data, or a
// member of one of their types.
type Parameter struct {
	Name     string
	Optional bool
	Kind     string   // "string", "number", "int", "boolean", "null", "value" (any), "enum", "array", "object" or "alternate"
	Elements string   // the kind of an array's elements, or ""
	Values   []string // the values of an enum, in the schema's order
	Features []string // such as "deprecated" and "unstable"
	Case     string   // the branch of a union that has the member, or ""

	// Discriminator says that the value selects the branch of a union: with it,
	// [Schema.ParametersFor] tells the branch's members.
	Discriminator bool
}

// Parameters returns the members that may follow path. For a command these are its
// arguments, those of all branches included. The result is nil if no member may follow,
// and if the server does not have the part that path names.
func (s *Schema) Parameters(path ...string) []Parameter { return s.parameters(nil, path) }

// ParametersFor is [Schema.Parameters] for an object some of whose members are given: of
// a union it returns the members of the branch that a given discriminator selects, and no
// others. So it tells what may be written next:
//
//	s.ParametersFor(nil, "blockdev-add")                                  // driver, node-name, read-only, ...
//	s.ParametersFor(map[string]string{"driver": "file"}, "blockdev-add")  // these and filename, aio, ...
func (s *Schema) ParametersFor(given map[string]string, path ...string) []Parameter {
	if given == nil {
		given = map[string]string{}
	}
	return s.parameters(given, path)
}

// parameters returns the members that may follow path: those of the branches that given
// selects, or of all if given is nil.
func (s *Schema) parameters(given map[string]string, path []string) []Parameter {
	var ps []Parameter
	for _, n := range s.find(path) {
		s.members(n.types, given, func(m SchemaInfoObjectMember, branch, tag string) {
			if slices.ContainsFunc(ps, func(p Parameter) bool { return p.Name == m.Name && p.Case == branch }) {
				return
			}
			p := Parameter{Name: m.Name, Optional: m.Default != nil, Features: m.Features, Case: branch, Discriminator: m.Name == tag}
			p.Kind, p.Values = s.kind(m.Type)
			if p.Kind == "array" {
				p.Elements, _ = s.kind(s.entries[m.Type].Array.ElementType)
			}
			ps = append(ps, p)
		})
	}
	return ps
}

// Features returns the features of the part that path names, such as "deprecated".
func (s *Schema) Features(path ...string) []string {
	var features []string
	for _, n := range s.find(path) {
		features = append(features, n.features...)
	}
	return features
}

// Deprecated reports whether the server marks the part that path names as deprecated.
func (s *Schema) Deprecated(path ...string) bool {
	return slices.Contains(s.Features(path...), "deprecated")
}

// A node is a part that a path names. A path names several if branches of a union have
// members of the same name.
type node struct {
	types    []string // the types of its value; none for a value of an enum
	features []string
}

// find returns the nodes that path names.
func (s *Schema) find(path []string) []node {
	if len(path) == 0 {
		return nil
	}
	var n node
	switch i := s.entries[path[0]]; {
	case i == nil:
		return nil
	case i.Command != nil:
		n = node{[]string{i.Command.ArgType}, i.Features}
	case i.Event != nil:
		n = node{[]string{i.Event.ArgType}, i.Features}
	default:
		return nil // a type
	}
	if len(path) == 1 {
		return []node{n}
	}
	return s.walk(n.types, path[1:])
}

// walk returns the nodes that path names, if path begins in a value of one of the
// types.
func (s *Schema) walk(types, path []string) []node {
	var found []node
	s.members(types, nil, func(m SchemaInfoObjectMember, _, _ string) {
		if m.Name == path[0] {
			found = append(found, node{[]string{m.Type}, m.Features})
		}
	})
	s.values(types, func(v SchemaInfoEnumMember) {
		if v.Name == path[0] {
			found = append(found, node{nil, v.Features})
		}
	})
	if len(path) == 1 {
		return found
	}
	var next []string
	for _, n := range found {
		for _, t := range n.types {
			if !slices.Contains(next, t) {
				next = append(next, t)
			}
		}
	}
	return s.walk(next, path[1:])
}

// members calls yield for each member that a value of one of the types may have: in the
// branches that given selects, or in all if given is nil. branch is the branch of a union
// that has the member, or ""; tag is the name of the discriminator beside it, or "".
func (s *Schema) members(types []string, given map[string]string, yield func(m SchemaInfoObjectMember, branch, tag string)) {
	seen := make(map[[2]string]bool)
	var visit func(t, branch string)
	visit = func(t, branch string) {
		i := s.entries[t]
		if i == nil || seen[[2]string{t, branch}] {
			return
		}
		seen[[2]string{t, branch}] = true
		switch {
		case i.Object != nil:
			tag := ""
			if i.Object.Tag != nil {
				tag = *i.Object.Tag
			}
			for _, m := range i.Object.Members {
				yield(m, branch, tag)
			}
			for _, v := range i.Object.Variants {
				if given == nil || given[tag] == v.Case {
					visit(v.Type, v.Case)
				}
			}
		case i.Array != nil:
			visit(i.Array.ElementType, branch)
		case i.Alternate != nil:
			for _, m := range i.Alternate.Members {
				visit(m.Type, branch)
			}
		}
	}
	for _, t := range types {
		visit(t, "")
	}
}

// values calls yield for each value of each enum among the types. It looks for enums
// in arrays and alternates too.
func (s *Schema) values(types []string, yield func(SchemaInfoEnumMember)) {
	for _, t := range types {
		switch i := s.entries[t]; {
		case i == nil:
		case i.Enum != nil:
			for _, m := range i.Enum.Members {
				yield(m)
			}
		case i.Array != nil:
			s.values([]string{i.Array.ElementType}, yield)
		case i.Alternate != nil:
			for _, m := range i.Alternate.Members {
				s.values([]string{m.Type}, yield)
			}
		}
	}
}

// kind returns the Kind and the Values of a [Parameter] of type t.
func (s *Schema) kind(t string) (kind string, values []string) {
	i := s.entries[t]
	if i == nil {
		return "value", nil
	}
	s.values([]string{t}, func(m SchemaInfoEnumMember) { values = append(values, m.Name) })
	switch {
	case i.Builtin != nil:
		return string(i.Builtin.JSONType), values
	case i.Enum != nil:
		return "enum", values
	case i.Array != nil:
		return "array", values
	case i.Object != nil:
		return "object", values
	case i.Alternate != nil:
		return "alternate", values
	}
	return "value", values
}
