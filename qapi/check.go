package qapi

import (
	"context"
	"fmt"
	"strings"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
)

// An UnsupportedError says that a command was not sent because the server does not
// have the command, one of its arguments, or a value in them.
type UnsupportedError struct {
	Path   []string // what is missing, as a path of [Schema]: the command first
	Since  string   // the first release of QEMU that has it, "" if unknown
	Server string   // the server's version, "" if unknown
}

func (e *UnsupportedError) Error() string {
	what := "the command " + e.Path[0]
	if len(e.Path) > 1 {
		what = fmt.Sprintf("%s of %s", strings.Join(e.Path[1:], "."), e.Path[0])
	}
	text := "qmp: not sent: the server does not have " + what
	if e.Since != "" {
		text += " (since " + e.Since
		if e.Server != "" {
			text += "; this QEMU is " + e.Server
		}
		return text + ")"
	}
	if e.Server != "" {
		text += " (this QEMU is " + e.Server + ")"
	}
	return text
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

// unsupported returns the error for a missing part.
func (s *Schema) unsupported(path []string) error {
	e := &UnsupportedError{Path: path, Server: s.version}
	if len(path) <= 2 {
		e.Since = Since(strings.Join(path, "."))
	}
	return e
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
	types := make(map[string]string)
	for _, m := range o.Members {
		types[m.Name] = m.Type
	}
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
			s.members([]string{v.Type}, func(m SchemaInfoObjectMember, branch string) {
				types[m.Name] = m.Type
			})
		}
	}
	var found []string
	proto.Members(value, func(name string, v []byte) bool {
		t, ok := types[name]
		if !ok {
			found = join(path, name)
		} else {
			found = s.missing(v, t, join(path, name))
		}
		return found == nil
	})
	return found
}

// join returns a new path that has name after path.
func join(path []string, name string) []string {
	return append(path[:len(path):len(path)], name)
}
