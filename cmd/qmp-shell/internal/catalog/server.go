package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/qapi"
	"github.com/goqmp/qmp/qapi/qga"
)

// A server is what one server said that it can do. It does not change, and may be used
// concurrently.
type server struct {
	entries  map[string]*qapi.SchemaInfo // the key is a name, or the server's name for a type
	commands []string
	events   []string
	version  string          // such as "7.2.22", or ""
	program  string          // "QEMU", or "the guest agent"
	note     string          // what is not known
	exact    bool            // whether the entries are the server's own
	unnamed  bool            // whether the server did not even name its commands
	unions   map[string]bool // if not exact: types that have more members than the entries say
	disabled []string        // commands that the server has and does not execute

	namesOnce sync.Once
	names     map[string]string // see typeNames; set by namesOnce
}

// ask asks a server what it can do. Without introspection it takes the names of the
// commands from the server, and their arguments from the package qapi or qga.
func ask(ctx context.Context, c async.Caller) (*server, error) {
	infos, err := qapi.QueryQMPSchema(ctx, c)
	switch {
	case err == nil:
		s := newServer(infos)
		s.exact = true
		s.version = askVersion(ctx, c)
		return s, ctx.Err()
	case !isRefusal(err):
		return nil, err
	}
	if info, err := qga.GuestInfo(ctx, c); err == nil {
		return agent(info), nil
	} else if !isRefusal(err) {
		return nil, err
	}
	names, err := qapi.QueryCommands(ctx, c)
	if err != nil && !isRefusal(err) {
		return nil, err
	}
	return old(names, askVersion(ctx, c)), ctx.Err()
}

// askVersion returns the server's version, or "".
func askVersion(ctx context.Context, c async.Caller) string {
	v, err := qapi.QueryVersion(ctx, c)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", v.QEMU.Major, v.QEMU.Minor, v.QEMU.Micro)
}

// isRefusal reports whether the server answered with an error.
func isRefusal(err error) bool {
	var refused *async.ExecuteError
	return errors.As(err, &refused)
}

// newServer returns the server that infos describe.
func newServer(infos []qapi.SchemaInfo) *server {
	s := &server{entries: make(map[string]*qapi.SchemaInfo, len(infos)), program: "QEMU"}
	for i := range infos {
		info := &infos[i]
		s.entries[info.Name] = info
		switch {
		case info.Command != nil:
			s.commands = append(s.commands, info.Name)
		case info.Event != nil:
			s.events = append(s.events, info.Name)
		}
	}
	slices.Sort(s.commands)
	slices.Sort(s.events)
	return s
}

// command returns a command, or nil.
func (s *server) command(name string) *qapi.SchemaInfoCommand {
	if i := s.entries[name]; i != nil {
		return i.Command
	}
	return nil
}

// A member is a member of an object, or an argument.
type member struct {
	name       string
	typ        string // the server's name for its type
	optional   bool
	deprecated bool
	unstable   bool
	branch     string // the branch of a union that has it, or ""
	tag        bool   // whether its value selects the branch
}

// membersOf returns the members that an object of a type has if some are given already:
// of a union, those of the branch that is chosen. It looks into alternates.
func (s *server) membersOf(typ string, given any) []member {
	info := s.entries[typ]
	switch {
	case info == nil:
		return nil
	case info.Alternate != nil:
		for _, m := range info.Alternate.Members {
			if alternative := s.entries[m.Type]; alternative != nil && alternative.Object != nil {
				return s.membersOf(m.Type, given)
			}
		}
		return nil
	case info.Object == nil:
		return nil
	}
	var members []member
	tag := ""
	if info.Object.Tag != nil {
		tag = *info.Object.Tag
	}
	for _, m := range info.Object.Members {
		members = append(members, newMember(m, "", m.Name == tag))
	}
	chosen, _ := child(given, tag).(string)
	for _, v := range info.Object.Variants {
		if v.Case != chosen {
			continue
		}
		for _, m := range s.membersOf(v.Type, given) {
			if m.branch == "" {
				m.branch = chosen
			}
			members = append(members, m)
		}
	}
	return members
}

func newMember(m qapi.SchemaInfoObjectMember, branch string, tag bool) member {
	return member{
		name: m.Name, typ: m.Type, optional: m.Default != nil, branch: branch, tag: tag,
		deprecated: slices.Contains(m.Features, "deprecated"), unstable: slices.Contains(m.Features, "unstable"),
	}
}

// walk returns the type at the end of a path that begins in the arguments of a command,
// and what is given there. The last member on the way is returned too. found is false if
// the command has no such path.
func (s *server) walk(command string, path []string, given any) (typ string, at any, last member, found bool) {
	cmd := s.command(command)
	if cmd == nil {
		return "", nil, member{}, false
	}
	typ, at = cmd.ArgType, given
	for _, name := range path {
		if element := s.element(typ); element != "" && isIndex(name) {
			typ, at = element, child(at, name)
			continue
		}
		members := s.membersOf(typ, at)
		i := slices.IndexFunc(members, func(m member) bool { return m.name == name })
		if i < 0 {
			return "", nil, member{}, false
		}
		last = members[i]
		typ, at = last.typ, child(at, name)
	}
	return typ, at, last, true
}

// element returns the type of the elements of a list, or "" if typ is not a list. It looks
// into alternates.
func (s *server) element(typ string) string {
	info := s.entries[typ]
	switch {
	case info == nil:
	case info.Array != nil:
		return info.Array.ElementType
	case info.Alternate != nil:
		for _, m := range info.Alternate.Members {
			if e := s.element(m.Type); e != "" {
				return e
			}
		}
	}
	return ""
}

// values returns the values of an enum with their features. It looks into alternates,
// and not into lists.
func (s *server) values(typ string) []qapi.SchemaInfoEnumMember {
	info := s.entries[typ]
	switch {
	case info == nil:
	case info.Enum != nil && info.Enum.Members != nil:
		return info.Enum.Members
	case info.Enum != nil: // before 6.2
		var values []qapi.SchemaInfoEnumMember
		for _, v := range info.Enum.Values {
			values = append(values, qapi.SchemaInfoEnumMember{Name: v})
		}
		return values
	case info.Alternate != nil:
		var values []qapi.SchemaInfoEnumMember
		for _, m := range info.Alternate.Members {
			values = append(values, s.values(m.Type)...)
		}
		return values
	}
	return nil
}

// takes reports whether a value of a type may be of a JSON type: "string", "boolean",
// "object", "array", "int", "number", "null" or "value". It looks into alternates.
func (s *server) takes(typ string, json qapi.JSONType) bool {
	info := s.entries[typ]
	switch {
	case info == nil:
		return json == qapi.JSONTypeValue
	case info.Builtin != nil:
		return info.Builtin.JSONType == json
	case info.Object != nil:
		return json == qapi.JSONTypeObject
	case info.Array != nil:
		return json == qapi.JSONTypeArray
	case info.Alternate != nil:
		return slices.ContainsFunc(info.Alternate.Members, func(m qapi.SchemaInfoAlternateMember) bool { return s.takes(m.Type, json) })
	}
	return false
}

// typeName returns the name of a type for people: "string", "int", "bool", "null", "any",
// "enum", "object", "[string]" for a list, "string or object" for an alternate.
func (s *server) typeName(typ string) string {
	info := s.entries[typ]
	switch {
	case info == nil:
		return "any"
	case info.Builtin != nil:
		switch info.Builtin.JSONType {
		case qapi.JSONTypeBoolean:
			return "bool"
		case qapi.JSONTypeValue:
			return "any"
		}
		return string(info.Builtin.JSONType)
	case info.Enum != nil:
		return "enum"
	case info.Array != nil:
		return "[" + s.typeName(info.Array.ElementType) + "]"
	case info.Alternate != nil:
		var names []string
		for _, m := range info.Alternate.Members {
			if name := s.typeName(m.Type); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		return strings.Join(names, " or ")
	}
	return "object"
}

// child returns the member or element of a given value, or nil.
func child(given any, name string) any {
	switch v := given.(type) {
	case map[string]any:
		return v[name]
	case []any:
		if i := index(name); i >= 0 && i < len(v) {
			return v[i]
		}
	}
	return nil
}

// isIndex reports whether name is the number of an element.
func isIndex(name string) bool { return index(name) >= 0 }

// index returns the number of an element, or -1.
func index(name string) int {
	if name == "" || len(name) > 6 {
		return -1
	}
	n := 0
	for _, c := range []byte(name) {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	return n
}

func itoa(i int) string { return strconv.Itoa(i) }
