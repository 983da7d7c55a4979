package qapi

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
)

// An UnsupportedError says that a command was not sent because the server does not
// have the command, one of its arguments, or a value in them.
type UnsupportedError struct {
	Path    []string // what is missing, as a path of [Schema]: the command first
	Since   string   // the first release of QEMU that has it, "" if unknown
	Removed string   // the first later release of QEMU that does not have it, "" if there is none or it is unknown
	Server  string   // the server's version, "" if unknown
}

func (e *UnsupportedError) Error() string {
	what := "the command " + e.Path[0]
	if len(e.Path) > 1 {
		what = fmt.Sprintf("%s of %s", strings.Join(e.Path[1:], "."), e.Path[0])
	}
	var facts []string
	switch removed := e.Removed != "" && !older(e.Server, e.Removed); {
	case removed:
		facts = append(facts, "removed in "+e.Removed)
	case e.Since != "" && e.Server != "" && !older(e.Server, e.Since):
		facts = append(facts, "since "+e.Since+", but not in every build")
	case e.Since != "":
		facts = append(facts, "since "+e.Since)
	}
	if e.Server != "" {
		facts = append(facts, "this QEMU is "+e.Server)
	}
	text := "qmp: not sent: the server does not have " + what
	if len(facts) > 0 {
		text += " (" + strings.Join(facts, "; ") + ")"
	}
	return text
}

// older reports whether the version of a server, such as "7.2.22", is older than a
// release, such as "8.2". An unknown version is not older.
func older(version, release string) bool {
	if version == "" {
		return false
	}
	v, r := strings.Split(version, "."), strings.Split(release, ".")
	for i := range min(len(v), len(r)) {
		x, xErr := strconv.Atoi(v[i])
		y, yErr := strconv.Atoi(r[i])
		if xErr != nil || yErr != nil {
			return false
		}
		if x != y {
			return x < y
		}
	}
	return false
}

// openCommand is the command that takes more arguments than its definition lists.
const openCommand = "device_add"

// Checked returns a Caller that checks each command against schema before it passes
// the command to c. If the server does not have the command, one of its arguments or a
// value in them, the error is an [*UnsupportedError] and nothing is sent. The Caller
// may be used concurrently.
//
// It does not check a whole message, [async.Command].Object. Of device_add it checks
// only the command's name, because the other arguments are properties of the device.
func Checked(c async.Caller, schema *Schema) async.Caller {
	return &checked{c, schema}
}

type checked struct {
	caller async.Caller
	schema *Schema
}

func (c *checked) Do(ctx context.Context, cmd async.Command) (async.Reply, error) {
	if cmd.Object == nil {
		if err := c.schema.check(cmd.Name, cmd.Args); err != nil {
			return async.Reply{}, err
		}
	}
	return c.caller.Do(ctx, cmd)
}

// check returns an [*UnsupportedError], or nil. It returns nil for arguments that do
// not encode: the client refuses these.
func (s *Schema) check(command string, args any) error {
	i := s.entries[command]
	if i == nil || i.Command == nil {
		return s.unsupported([]string{command})
	}
	if args == nil || command == openCommand {
		return nil
	}
	raw, err := proto.AppendObject(nil, args)
	if err != nil {
		return nil
	}
	if path := s.missing(raw, i.Command.ArgType, []string{command}); path != nil {
		return s.unsupported(path)
	}
	return nil
}

// unsupported returns the error for a missing part. An element of path in brackets is
// the branch of a union in which the part was looked for.
func (s *Schema) unsupported(path []string) error {
	since, until := lifetime(path)
	public := slices.DeleteFunc(slices.Clone(path), func(name string) bool { return strings.HasPrefix(name, "[") })
	return &UnsupportedError{Path: public, Since: since, Removed: removedIn(until), Server: s.version}
}

// missing returns the path to the first part of value that the type t does not have,
// or nil if there is none. path is the path to value.
func (s *Schema) missing(value []byte, t string, path []string) []string {
	i := s.entries[t]
	switch {
	case i == nil:
		return nil
	case i.Enum != nil:
		text, ok := proto.Text(value)
		if !ok {
			return nil // QEMU's own error about the type is better
		}
		for _, m := range i.Enum.Members {
			if m.Name == text {
				return nil
			}
		}
		return join(path, text)
	case i.Array != nil:
		var found []string
		proto.Elements(value, func(element []byte) bool {
			found = s.missing(element, i.Array.ElementType, path)
			return found == nil
		})
		return found
	case i.Object != nil && proto.IsObject(value):
		return s.missingMember(value, i.Object, path)
	case i.Alternate != nil && (proto.IsObject(value) || proto.IsArray(value)):
		for _, m := range i.Alternate.Members {
			alternative := s.entries[m.Type]
			if alternative == nil {
				continue
			}
			if proto.IsObject(value) && alternative.Object != nil || proto.IsArray(value) && alternative.Array != nil {
				return s.missing(value, m.Type, path)
			}
		}
		return nil
	}
	return nil
}

// missingMember is missing for an object.
func (s *Schema) missingMember(value []byte, o *SchemaInfoObject, path []string) []string {
	types, branch := make(map[string]string), make(map[string]string)
	for _, m := range o.Members {
		types[m.Name] = m.Type
	}
	var chosen []string // the branch, for what is not in the base
	if o.Tag != nil {
		var tag string
		proto.Members(value, func(name string, v []byte) bool {
			if name == *o.Tag {
				tag, _ = proto.Text(v)
			}
			return true
		})
		for _, v := range o.Variants {
			if v.Case != tag {
				continue
			}
			chosen = []string{"[" + tag + "]"}
			s.members([]string{v.Type}, nil, func(m SchemaInfoObjectMember, _, _ string) {
				types[m.Name], branch[m.Name] = m.Type, chosen[0]
			})
		}
	}
	var found []string
	proto.Members(value, func(name string, v []byte) bool {
		t, ok := types[name]
		switch {
		case !ok:
			found = s.absent(path, chosen, name)
		case branch[name] != "":
			found = s.missing(v, t, join(join(path, branch[name]), name))
		default:
			found = s.missing(v, t, join(path, name))
		}
		return found == nil
	})
	return found
}

// absent returns the path to a member that an object does not have. By the definitions
// the member belongs to the base of a union, or else to the chosen branch.
func (s *Schema) absent(path, chosen []string, name string) []string {
	if len(chosen) > 0 {
		at := join(join(path, chosen[0]), name)
		if since, _ := lifetime(at); since != "" {
			return at
		}
	}
	return join(path, name)
}

// join returns a new path that has name after path.
func join(path []string, name string) []string {
	return append(path[:len(path):len(path)], name)
}
