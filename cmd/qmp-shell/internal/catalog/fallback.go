package catalog

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/qapi"
	"github.com/goqmp/qmp/qapi/qga"
	"github.com/goqmp/qmp/qapi/support"
)

// agent returns what a guest agent can do. It names its commands; their arguments are
// those of package qga.
func agent(info *qga.GuestAgentInfo) *server {
	var names []string
	for _, cmd := range info.SupportedCommands {
		if cmd.Enabled {
			names = append(names, cmd.Name)
		}
	}
	s := fromTable("the guest agent", names, qga.Commands())
	s.version = info.Version
	s.note = "the guest agent has no introspection: it named its commands, and their arguments are those that this program knows"
	for _, cmd := range info.SupportedCommands {
		if !cmd.Enabled {
			s.disabled = append(s.disabled, cmd.Name)
		}
	}
	return s
}

// old returns what a server can do that has neither introspection nor guest-info.
func old(commands []qapi.CommandInfo, version string) *server {
	var names []string
	for _, cmd := range commands {
		names = append(names, cmd.Name)
	}
	table := qapi.Commands()
	note := "this server has no introspection: it named its commands, and their arguments are those that this program knows"
	if len(names) == 0 {
		note = "this server says nothing about itself: the commands are those that this program knows"
		for _, cmd := range table {
			names = append(names, cmd.Name)
		}
	}
	s := fromTable("QEMU", names, table)
	s.version, s.note, s.unnamed = version, note, len(commands) == 0
	for _, ev := range qapi.Events() {
		s.events = append(s.events, ev.Name)
	}
	slices.Sort(s.events)
	return s
}

// fromTable returns a server with commands of these names, whose arguments are in table.
func fromTable(program string, names []string, table []support.CommandInfo) *server {
	f := fallback{entries: make(map[string]*qapi.SchemaInfo), unions: make(map[string]bool)}
	for _, name := range names {
		cmd := &qapi.SchemaInfoCommand{ArgType: anyType, RetType: anyType}
		if i := slices.IndexFunc(table, func(c support.CommandInfo) bool { return c.Name == name }); i >= 0 {
			cmd.ArgType, cmd.RetType = f.add(table[i].NewArguments), f.add(table[i].NewResult)
			cmd.AllowOOB = &table[i].OOB
		}
		f.entries[name] = &qapi.SchemaInfo{Name: name, MetaType: qapi.SchemaMetaTypeCommand, Command: cmd}
	}
	s := &server{entries: f.entries, unions: f.unions, program: program, commands: slices.Clone(names)}
	s.namesOnce.Do(func() {
		s.names = make(map[string]string)
		for typ, info := range f.entries {
			if info.Object != nil || info.Enum != nil || info.Alternate != nil {
				if _, name, ok := strings.Cut(typ, "."); ok {
					s.names[typ] = name
				}
			}
		}
	})
	slices.Sort(s.commands)
	return s
}

// anyType is a type that is not in the entries: nothing is known about it.
const anyType = "any"

// A fallback makes entries of a schema from the types of package qapi or qga.
type fallback struct {
	entries map[string]*qapi.SchemaInfo
	unions  map[string]bool // the types whose branches are not in the entries
}

// add adds the type of what makeValue returns a pointer to, and returns its name.
func (f *fallback) add(makeValue func() any) string {
	if makeValue == nil {
		const empty = "no members"
		f.entries[empty] = &qapi.SchemaInfo{Name: empty, Object: &qapi.SchemaInfoObject{}}
		return empty
	}
	return f.typ(reflect.TypeOf(makeValue()).Elem())
}

// typ adds an entry for a type of Go and returns the entry's name.
func (f *fallback) typ(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[jsontext.Value]() {
		return anyType
	}
	name := t.String()
	if f.entries[name] != nil {
		return name
	}
	info := &qapi.SchemaInfo{Name: name}
	f.entries[name] = info // before its members, which may be of the same type
	builtin := func(t qapi.JSONType) { info.Builtin = &qapi.SchemaInfoBuiltin{JSONType: t} }
	switch t.Kind() {
	case reflect.String:
		if values := enumValues[t]; values != nil {
			info.Enum = &qapi.SchemaInfoEnum{Values: values}
		} else {
			builtin(qapi.JSONTypeString)
		}
	case reflect.Bool:
		builtin(qapi.JSONTypeBoolean)
	case reflect.Float64:
		builtin(qapi.JSONTypeNumber)
	case reflect.Slice:
		info.Array = &qapi.SchemaInfoArray{ElementType: f.typ(t.Elem())}
	case reflect.Struct:
		f.object(info, t)
	default:
		builtin(qapi.JSONTypeInt)
	}
	return name
}

// object makes info the entry of a struct: an object, or an alternate if no field has a
// name in JSON. The branches of a union are left out.
func (f *fallback) object(info *qapi.SchemaInfo, t reflect.Type) {
	object, alternate := &qapi.SchemaInfoObject{}, &qapi.SchemaInfoAlternate{}
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous || len(field.Index) > 1 || name == "":
		case name == "-" && field.Name != "Unknown":
			alternate.Members = append(alternate.Members, qapi.SchemaInfoAlternateMember{Type: f.typ(field.Type)})
		case name != "-":
			m := qapi.SchemaInfoObjectMember{Name: name, Type: f.typ(field.Type)}
			if field.Type.Kind() == reflect.Pointer || strings.Contains(field.Tag.Get("json"), "omitzero") {
				m.Default = jsontext.Value("null")
			}
			object.Members = append(object.Members, m)
		}
	}
	if len(object.Members) == 0 && len(alternate.Members) > 0 {
		info.Alternate = alternate
		return
	}
	info.Object = object
	f.unions[info.Name] = len(alternate.Members) > 0
}

// enumValues has the values of the enums in the arguments of the guest agent's commands.
var enumValues = map[reflect.Type][]string{
	reflect.TypeFor[qga.QGASeek]():                    {string(qga.QGASeekSet), string(qga.QGASeekCur), string(qga.QGASeekEnd)},
	reflect.TypeFor[qga.GuestExecCaptureOutputMode](): values(qga.GuestExecCaptureOutputModeNone, qga.GuestExecCaptureOutputModeStdout, qga.GuestExecCaptureOutputModeStderr, qga.GuestExecCaptureOutputModeSeparated, qga.GuestExecCaptureOutputModeMerged),
}

func values[E ~string](vs ...E) []string {
	var texts []string
	for _, v := range vs {
		texts = append(texts, fmt.Sprint(v))
	}
	return texts
}
