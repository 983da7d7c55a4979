package tools

import (
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/goqmp/qmp/qapi"
)

// A Schema is what one QEMU knows, for a search.
//
// QEMU does not tell the names of its types. Those are taken from package qapi: a type is
// the one of qapi if both stand at the same place of a command or event.
type Schema struct {
	entries map[string]*qapi.SchemaInfo
	types   map[string]string // QEMU's name for a type, by its name in qapi
	names   map[string]string // the name in qapi, by QEMU's
}

// NewSchema returns the Schema of the result of query-qmp-schema.
func NewSchema(infos []qapi.SchemaInfo) *Schema {
	s := &Schema{entries: make(map[string]*qapi.SchemaInfo, len(infos)), types: make(map[string]string), names: make(map[string]string)}
	for i := range infos {
		s.entries[infos[i].Name] = &infos[i]
	}
	for _, cmd := range qapi.Commands() {
		info := s.entries[cmd.Name]
		if info == nil || info.Command == nil {
			continue
		}
		if cmd.NewArguments != nil {
			s.name(reflect.TypeOf(cmd.NewArguments()), info.Command.ArgType)
		}
		if cmd.NewResult != nil {
			s.name(reflect.TypeOf(cmd.NewResult()), info.Command.RetType)
		}
	}
	for _, ev := range qapi.Events() {
		if info := s.entries[ev.Name]; info != nil && info.Event != nil && ev.New != nil {
			s.name(reflect.TypeOf(ev.New()), info.Event.ArgType)
		}
	}
	return s
}

// name notes that t, a type of package qapi, is QEMU's type id, and goes on with the types
// of its members.
func (s *Schema) name(t reflect.Type, id string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	info := s.entries[id]
	for info != nil && info.Array != nil {
		id = info.Array.ElementType
		info = s.entries[id]
	}
	if info == nil || info.Builtin != nil || t.Name() == "" || s.names[id] != "" || !strings.HasSuffix(t.PkgPath(), "/qapi") {
		return
	}
	s.names[id], s.types[t.Name()] = t.Name(), id
	if t.Kind() != reflect.Struct {
		return
	}
	fields := make(map[string]reflect.Type)
	collect(t, fields)
	switch {
	case info.Object != nil:
		for _, m := range info.Object.Members {
			if f, ok := fields[plainName(m.Name)]; ok {
				s.name(f, m.Type)
			}
		}
		for _, v := range info.Object.Variants {
			if f, ok := fields[plainName(v.Case)]; ok {
				s.name(f, v.Type)
			}
		}
	case info.Alternate != nil:
		for _, m := range info.Alternate.Members {
			for _, f := range fields {
				for f.Kind() == reflect.Pointer {
					f = f.Elem()
				}
				e := s.entries[m.Type]
				if e != nil && (e.Object != nil) == (f.Kind() == reflect.Struct) && e.Builtin == nil && f.Kind() != reflect.Slice {
					s.name(f, m.Type)
				}
			}
		}
	}
}

// collect puts the fields of a struct into fields, those of its bases too, by their plain
// names.
func collect(t reflect.Type, fields map[string]reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		inner := f.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if f.Anonymous && inner.Kind() == reflect.Struct {
			if inner.Name() != "Extra" {
				collect(inner, fields)
			}
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			name = f.Name
		}
		fields[plainName(name)] = f.Type
	}
}

// plainName returns a name without what is written in different ways.
func plainName(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
}

// Search returns a line for each command, event and type whose name matches pattern, and
// then for each that has a member, an argument or a value that matches. A pattern with *
// or ? matches whole names; another one is a part of a name. Upper and lower case, and
// - and _, are the same.
func (s *Schema) Search(pattern string) []string {
	matches := matcher(pattern)
	var named, others []string
	add := func(name, line string, members []string) {
		if matches(name) {
			named = append(named, line)
			return
		}
		if members = slices.DeleteFunc(members, func(m string) bool { return !matches(m) }); len(members) > 0 {
			others = append(others, fmt.Sprintf("%s   # has %s", strings.SplitN(line, " ", 3)[0]+" "+name, strings.Join(members, ", ")))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.entries)) {
		switch i := s.entries[name]; {
		case i.Command != nil:
			add(name, "command "+s.command(i), s.members(i.Command.ArgType))
		case i.Event != nil:
			add(name, "event "+strings.TrimSpace(name+" "+s.arguments(i.Event.ArgType)), s.members(i.Event.ArgType))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.types)) {
		if strings.HasSuffix(name, "Arguments") {
			continue // qapi's own name for the arguments of a command
		}
		add(name, "type "+name+" = "+s.definition(s.types[name]), s.members(s.types[name]))
	}
	return append(named, others...)
}

// matcher returns a function that reports whether a name matches pattern.
func matcher(pattern string) func(string) bool {
	pattern = strings.ReplaceAll(strings.ToLower(pattern), "_", "-")
	return func(name string) bool {
		name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if strings.ContainsAny(pattern, "*?") {
			ok, err := path.Match(pattern, name)
			return ok && err == nil
		}
		return strings.Contains(name, pattern)
	}
}

// command returns a command with its arguments and its result.
func (s *Schema) command(i *qapi.SchemaInfo) string {
	text := i.Name
	if arguments := s.arguments(i.Command.ArgType); arguments != "" {
		text += " " + arguments
	}
	if info := s.entries[i.Command.RetType]; info == nil || info.Object == nil || len(info.Object.Members) > 0 {
		text += " -> " + s.typeName(i.Command.RetType)
	}
	return text + features(i.Features)
}

// arguments returns the members of an object: NAME=TYPE, in brackets if they may be missing.
// Those of the branches of a union are only hinted at.
func (s *Schema) arguments(id string) string {
	info := s.entries[id]
	if info == nil || info.Object == nil {
		return ""
	}
	var words []string
	for _, m := range info.Object.Members {
		word := m.Name + "=" + s.typeName(m.Type) + features(m.Features)
		if m.Default != nil {
			word = "[" + word + "]"
		}
		words = append(words, word)
	}
	slices.SortStableFunc(words, func(a, b string) int { // what is required comes first
		return strings.Count(a[:1], "[") - strings.Count(b[:1], "[")
	})
	if tag := info.Object.Tag; tag != nil {
		words = append(words, "(more by "+*tag+")")
	}
	return strings.Join(words, " ")
}

// definition returns what a type is.
func (s *Schema) definition(id string) string {
	switch i := s.entries[id]; {
	case i.Enum != nil:
		return strings.Join(s.members(id), " | ")
	case i.Alternate != nil:
		var words []string
		for _, m := range i.Alternate.Members {
			words = append(words, s.typeName(m.Type))
		}
		return strings.Join(words, " | ")
	}
	return "{ " + s.arguments(id) + " }"
}

// members returns the names of the members of an object, those of all branches, and the
// values of an enum.
func (s *Schema) members(id string) []string {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	info := s.entries[id]
	switch {
	case info == nil:
	case info.Enum != nil:
		for _, m := range info.Enum.Members {
			add(m.Name)
		}
	case info.Object != nil:
		for _, m := range info.Object.Members {
			add(m.Name)
		}
		for _, v := range info.Object.Variants {
			for _, name := range s.members(v.Type) {
				add(name)
			}
		}
	}
	return names
}

// typeName returns the name of a type, as qapi has it, or what kind of type it is.
func (s *Schema) typeName(id string) string {
	if name := s.names[id]; name != "" {
		return name
	}
	switch i := s.entries[id]; {
	case i == nil:
		return "any"
	case i.Array != nil:
		return "[" + s.typeName(i.Array.ElementType) + "]"
	case i.Builtin != nil:
		return i.Name
	case i.Enum != nil:
		return "enum"
	case i.Alternate != nil:
		return "alternate"
	}
	return "object"
}

// features returns what is special about a part, for people.
func features(list []string) string {
	var words []string
	for _, f := range list {
		if f == "deprecated" || f == "unstable" {
			words = append(words, f)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}
