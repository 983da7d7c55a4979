package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/syntax"
	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/qapi"
)

// A Problem is something that is wrong with a command, or that a person should know
// before it is sent.
type Problem struct {
	Warning bool     // the server will execute the command all the same
	Path    []string // the argument, and members in it; empty for the command itself
	Offset  int      // where it is in the text, in bytes; -1 if it is not in the text
	Text    string   // what is wrong and what to do, on one line
}

// Check returns what is wrong with a command, by what the server said that it can do. It
// asks nothing. Before the server has answered ([Catalog.Load]) the result is nil: QEMU
// itself will say what is wrong.
//
// A server without introspection did not say which arguments it takes. Then everything
// is a warning, except for a command that is not among those that the server named.
func (c *Catalog) Check(cmd syntax.Command) []Problem {
	s := c.known()
	if s == nil {
		return nil
	}
	return s.check(cmd)
}

func (s *server) check(cmd syntax.Command) []Problem {
	k := checker{server: s, cmd: cmd}
	info := s.entries[cmd.Name]
	if info == nil || info.Command == nil {
		k.problem(nil, s.noCommand(cmd.Name))
		k.problems[0].Warning = s.unnamed
		return k.problems
	}
	if cmd.OOB && s.exact && (info.Command.AllowOOB == nil || !*info.Command.AllowOOB) {
		k.problem(nil, cmd.Name+" cannot be executed out of band")
	}
	if slices.Contains(info.Features, "deprecated") {
		k.warn(nil, cmd.Name+" is deprecated")
	}
	args := cmd.Args
	if args == nil {
		args = jsontext.Value("{}")
	}
	given, err := proto.Decode(args)
	if err != nil || args.Kind() != '{' {
		k.problem(nil, "the arguments of "+cmd.Name+" are not an object")
		return k.problems
	}
	k.key = cmd.Name
	k.value(args, given, info.Command.ArgType, nil)
	if !s.exact {
		for i := range k.problems {
			k.problems[i].Warning = true
		}
	}
	return k.problems
}

// A checker collects the problems of one command.
type checker struct {
	*server
	cmd      syntax.Command
	key      string // the key of package qapi's table of releases for what is checked
	problems []Problem
}

func (k *checker) problem(path []string, text string) {
	k.problems = append(k.problems, Problem{Path: slices.Clone(path), Offset: k.offset(path), Text: text})
}

func (k *checker) warn(path []string, text string) {
	k.problems = append(k.problems, Problem{Warning: true, Path: slices.Clone(path), Offset: k.offset(path), Text: text})
}

// offset returns where the argument at path, or the nearest that contains it, is in the
// text, or -1.
func (k *checker) offset(path []string) int {
	offset, longest := -1, 0
	for _, key := range k.cmd.Keys {
		n := 0
		for n < len(path) && n < len(key.Path) && path[n] == key.Path[n] {
			n++
		}
		if n > longest && (n == len(path) || n == len(key.Path)) {
			offset, longest = key.Start, n
		}
	}
	return offset
}

// value checks a value of a type. given is the same value decoded.
func (k *checker) value(raw jsontext.Value, given any, typ string, path []string) {
	info := k.entries[typ]
	if info == nil {
		return
	}
	if !k.fits(raw, typ) {
		k.problem(path, k.wrongType(raw, typ, path))
		return
	}
	switch kind := raw.Kind(); {
	case kind == '{':
		k.object(raw, given, typ, path)
	case kind == '[':
		element, i := k.element(typ), 0
		proto.Elements(raw, func(v []byte) bool {
			k.value(v, child(given, itoa(i)), element, slices.Concat(path, []string{itoa(i)}))
			i++
			return true
		})
	case kind == '"' && !k.takes(typ, qapi.JSONTypeString):
		k.enum(given, typ, path)
	}
}

// fits reports whether a value has a type of JSON that typ takes.
func (k *checker) fits(raw jsontext.Value, typ string) bool {
	if k.takes(typ, qapi.JSONTypeValue) {
		return true
	}
	switch raw.Kind() {
	case '{':
		return k.takes(typ, qapi.JSONTypeObject)
	case '[':
		return k.takes(typ, qapi.JSONTypeArray)
	case '"':
		return k.takes(typ, qapi.JSONTypeString) || len(k.values(typ)) > 0
	case 't', 'f':
		return k.takes(typ, qapi.JSONTypeBoolean)
	case 'n':
		return k.takes(typ, qapi.JSONTypeNull)
	}
	whole := !strings.ContainsAny(string(raw), ".eE")
	return k.takes(typ, qapi.JSONTypeNumber) || whole && k.takes(typ, qapi.JSONTypeInt)
}

// wrongType is the text about a value of the wrong type.
func (k *checker) wrongType(raw jsontext.Value, typ string, path []string) string {
	name := strings.Join(path, ".")
	text := fmt.Sprintf("%s takes %s, and this is %s", name, article(k.typeName(typ)), valueName(raw))
	literal, takesText := string(raw), k.takes(typ, qapi.JSONTypeString) || len(k.values(typ)) > 0
	switch kind := raw.Kind(); {
	case (kind == '0' || kind == 't' || kind == 'f' || kind == 'n') && takesText:
		text += fmt.Sprintf(": write %s=\"%s\"", name, literal)
	case kind == '"' && k.takes(typ, qapi.JSONTypeInt):
		if n, ok := syntax.Integer(textOf(raw)); ok {
			text += fmt.Sprintf(": write %s=%s", name, n)
		}
	case kind == '"' && k.takes(typ, qapi.JSONTypeBoolean):
		switch strings.ToLower(textOf(raw)) {
		case "on", "yes", "y", "true":
			text += fmt.Sprintf(": write %s=true", name)
		case "off", "no", "n", "false":
			text += fmt.Sprintf(": write %s=false", name)
		}
	}
	return text
}

// object checks the members of an object.
func (k *checker) object(raw jsontext.Value, given any, typ string, path []string) {
	members := k.membersOf(typ, given)
	if k.entries[typ].Builtin != nil {
		return // any value
	}
	proto.Members(raw, func(name string, v []byte) bool {
		at := slices.Concat(path, []string{name})
		i := slices.IndexFunc(members, func(m member) bool { return m.name == name })
		if i < 0 {
			if !k.open(typ, path) {
				k.problem(at, k.noMember(name, typ, given, path))
			}
			return true
		}
		m := members[i]
		if m.deprecated {
			k.warn(at, fmt.Sprintf("%s of %s is deprecated", strings.Join(at, "."), k.cmd.Name))
		}
		key := k.key
		k.key = subkey(key, m)
		k.value(v, child(given, name), m.typ, at)
		k.key = key
		return true
	})
	for _, m := range members {
		object, _ := given.(map[string]any)
		if _, ok := object[m.name]; !ok && !m.optional {
			at := slices.Concat(path, []string{m.name})
			k.problem(at, fmt.Sprintf("%s needs %s (%s)", k.owner(path), strings.Join(at, "."), strings.TrimPrefix(k.describe(m), "required, ")))
		}
	}
}

// open reports whether the arguments of a command may have members that its definition
// does not list: the properties of a device, or of an object before QEMU 6.0.
func (k *checker) open(typ string, path []string) bool {
	switch {
	case len(path) > 0:
		return k.unions[typ]
	case k.cmd.Name == "object-add":
		info := k.entries[typ]
		return info.Object != nil && info.Object.Tag == nil
	}
	return k.cmd.Name == "device_add" || k.unions[typ]
}

// owner names what has the members at path.
func (k *checker) owner(path []string) string {
	if len(path) == 0 {
		return k.cmd.Name
	}
	return strings.Join(path, ".")
}

// noCommand is the text about a command that the server does not have.
func (s *server) noCommand(name string) string {
	if slices.Contains(s.disabled, name) {
		return s.why(name)
	}
	text := fmt.Sprintf("%s has no command %q", s.program, name)
	if why := s.why(name); why != "" {
		text += ": " + why
	}
	return text
}

// why says why the server does not have a command, or which one was meant, or "".
func (s *server) why(name string) string {
	if slices.Contains(s.disabled, name) {
		return fmt.Sprintf("%s is disabled in %s", name, s.program)
	}
	if history := s.history(name); history != "" {
		return history
	}
	return strings.TrimPrefix(didYouMean(name, s.commands), ": ")
}

// noMember is the text about a member that an object does not have.
func (k *checker) noMember(name, typ string, given any, path []string) string {
	members := k.membersOf(typ, given)
	var names []string
	var tag string
	chosen := ""
	for _, m := range members {
		names = append(names, m.name)
		if m.tag {
			tag = m.name
			chosen, _ = child(given, tag).(string)
		}
	}
	text := fmt.Sprintf("%s has no argument %q", k.owner(path), name)
	if len(path) > 0 {
		text = fmt.Sprintf("%s has no member %q", k.owner(path), name)
	}
	if tag != "" && chosen != "" {
		text += fmt.Sprintf(" with %s=%s", tag, chosen)
	}
	if tag != "" {
		if history := k.history(k.key + ".[" + chosen + "]." + name); chosen != "" && history != "" {
			return text + ": " + history
		}
		if owners := k.branchesWith(typ, name); len(owners) > 0 {
			return text + fmt.Sprintf(": only with %s=%s", tag, some(owners))
		}
	}
	if history := k.history(k.key + "." + name); history != "" {
		return text + ": " + history
	}
	return text + didYouMean(name, names)
}

// branchesWith returns the values of a union's discriminator with which it has a member.
func (s *server) branchesWith(typ, name string) []string {
	var found []string
	info := s.entries[typ]
	switch {
	case info == nil:
	case info.Alternate != nil:
		for _, m := range info.Alternate.Members {
			found = append(found, s.branchesWith(m.Type, name)...)
		}
	case info.Object != nil:
		for _, v := range info.Object.Variants {
			if slices.ContainsFunc(s.membersOf(v.Type, nil), func(m member) bool { return m.name == name }) {
				found = append(found, v.Case)
			}
		}
	}
	return found
}

// enum checks a value of an enum.
func (k *checker) enum(given any, typ string, path []string) {
	text, _ := given.(string)
	var names []string
	for _, v := range k.values(typ) {
		if v.Name == text {
			if slices.Contains(v.Features, "deprecated") {
				k.warn(path, fmt.Sprintf("%s=%s is deprecated", strings.Join(path, "."), text))
			}
			return
		}
		names = append(names, v.Name)
	}
	message := fmt.Sprintf("%q is not a value of %s", text, strings.Join(path, "."))
	if history := k.history(k.key + "." + text); history != "" {
		message += ": " + history
	} else if nearest := didYouMean(text, names); nearest != "" {
		message += nearest
	} else {
		message += ": it is one of " + some(names)
	}
	k.problem(path, message)
}
