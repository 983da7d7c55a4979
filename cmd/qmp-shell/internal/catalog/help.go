package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goqmp/qmp/cmd/qmp-shell/internal/syntax"
	"github.com/goqmp/qmp/qapi"
	"github.com/goqmp/qmp/qapi/qga"
	"github.com/goqmp/qmp/qapi/support"
)

// Help returns a text about a command, an event, a type, or a command with some of its
// arguments, such as "blockdev-add driver=qcow2". Types have the names of QEMU's
// documentation, such as BlockdevDriver. Lines are at most width characters wide where
// that is possible; 0 means 80. The text ends with a line end.
//
// If there is no help about the topic, the error is an [*UnknownTopicError].
func (c *Catalog) Help(ctx context.Context, topic string, width int) (string, error) {
	s, err := c.server(ctx)
	if err != nil {
		return "", fmt.Errorf("the server has not said what it can do: %w", err)
	}
	if width <= 0 {
		width = 80
	}
	name, _, _ := strings.Cut(strings.TrimSpace(topic), " ")
	p := &page{server: s, width: max(width, 40)}
	info := s.entries[name]
	typ, typeName := s.typeOf(name)
	switch {
	case info != nil && info.Command != nil:
		topic = strings.TrimSpace(topic) + " "
		p.command(info, syntax.At(topic, len(topic)).Given)
	case info != nil && info.Event != nil:
		p.event(info)
	case typ != "":
		p.typ(typ, typeName)
	default:
		return "", &UnknownTopicError{Topic: name, text: s.noTopic(name)}
	}
	if s.note != "" {
		p.line("")
		p.wrap(strings.Fields("Note: "+s.note+"."), "")
	}
	return p.String(), nil
}

// An UnknownTopicError says that there is no help about a topic.
type UnknownTopicError struct {
	Topic string
	text  string
}

func (e *UnknownTopicError) Error() string { return e.text }

// noTopic is the text about a topic that is unknown.
func (s *server) noTopic(name string) string {
	text := fmt.Sprintf("%s has no command, event or type %q", s.program, name)
	if history := s.history(name); history != "" {
		return text + ": " + history
	}
	types := slices.Sorted(maps.Values(s.typeNames()))
	return text + didYouMean(name, slices.Concat(s.commands, s.events, types))
}

// A page is a text of help.
type page struct {
	*server
	strings.Builder
	width int
}

func (p *page) line(text string) { p.WriteString(text + "\n") }

// command writes about a command, some of whose arguments are given.
func (p *page) command(info *qapi.SchemaInfo, given map[string]any) {
	members := p.sorted(p.membersOf(info.Command.ArgType, given))
	signature := []string{info.Name}
	for _, m := range members {
		word := m.name + "=" + strings.ReplaceAll(p.typeName(m.typ), " ", "-")
		if m.optional {
			word = "[" + word + "]"
		}
		signature = append(signature, word)
	}
	p.wrap(signature, "    ")
	p.facts(info)
	if len(members) > 0 {
		p.line("")
		p.line("Arguments:")
		p.members(members, info.Name, 1)
		p.branches(info.Command.ArgType, given, info.Name)
	}
	if !p.exact && p.entries[info.Command.RetType] == nil {
		return
	}
	p.line("")
	p.result(info.Command.RetType)
}

// facts writes since when there is a command or event, and what is special about it.
func (p *page) facts(info *qapi.SchemaInfo) {
	var facts []string
	known := p.table(info.Name)
	if known.Since != "" {
		facts = append(facts, "since "+known.Since)
	}
	if slices.Contains(info.Features, "deprecated") {
		text := "deprecated"
		if known.Deprecated != "" && known.Deprecated != "unknown" {
			text += " since " + known.Deprecated
		}
		facts = append(facts, text)
	}
	if slices.Contains(info.Features, "unstable") {
		facts = append(facts, "unstable")
	}
	if info.Command != nil && info.Command.AllowOOB != nil && *info.Command.AllowOOB {
		facts = append(facts, "may be executed out of band")
	}
	if known.NoSuccessReply {
		facts = append(facts, "no reply if it succeeds")
	}
	if known.Removed != "" {
		facts = append(facts, "removed in "+known.Removed)
	}
	if len(facts) > 0 {
		p.line("")
		text := strings.Join(facts, ", ")
		p.line(strings.ToUpper(text[:1]) + text[1:] + ".")
	}
}

// table returns what package qapi or qga knows about a command or an event.
func (p *page) table(name string) support.CommandInfo {
	commands := qapi.Commands()
	if p.program != "QEMU" {
		commands = qga.Commands()
	}
	for _, cmd := range commands {
		if cmd.Name == name {
			return cmd
		}
	}
	for _, ev := range qapi.Events() {
		if ev.Name == name {
			return support.CommandInfo{Name: name, Since: ev.Since, Removed: ev.Removed, Deprecated: ev.Deprecated}
		}
	}
	return support.CommandInfo{}
}

// event writes about an event.
func (p *page) event(info *qapi.SchemaInfo) {
	p.line(info.Name + " (event)")
	p.facts(info)
	if members := p.membersOf(info.Event.ArgType, nil); len(members) > 0 {
		p.line("")
		p.line("Data:")
		p.members(members, info.Name, 1)
		p.branches(info.Event.ArgType, nil, info.Name)
	}
}

// members writes a line or more for each member.
func (p *page) members(members []member, key string, depth int) {
	widest := 0
	for _, m := range members {
		widest = max(widest, len(m.name))
	}
	indent := strings.Repeat("  ", depth)
	for _, m := range members {
		first := fmt.Sprintf("%s%-*s  %s", indent, min(widest, 24), m.name, p.longName(m.typ))
		words := []string{first}
		note := func(text string) {
			words[len(words)-1] += ","
			words = append(words, text)
		}
		if !m.optional {
			note("required")
		}
		if since := p.since(subkey(key, m), key); since != "" {
			note("since " + since)
		}
		if m.deprecated {
			note("deprecated")
		}
		if m.unstable {
			note("unstable")
		}
		if values := p.values(m.typ); len(values) > 0 {
			words[len(words)-1] += ":"
			for _, v := range values {
				words = append(words, v.Name)
			}
		}
		p.wrap(words, indent+strings.Repeat(" ", min(widest, 24)+4))
	}
}

// since returns the release that a member came with, or "" if it came with what has it,
// and if that is not known.
func (p *page) since(key, owner string) string {
	// The table begins with 2.12: there it means this release or an older one.
	const oldest = "2.12"
	since := qapi.Since(key)
	owner, _, _ = strings.Cut(owner, ".[") // a branch came with its union, or its members tell
	if p.program != "QEMU" || since == oldest || since == qapi.Since(owner) {
		return ""
	}
	return since
}

// branches tells that more members depend on the value of a union's discriminator.
func (p *page) branches(typ string, given map[string]any, key string) {
	info := p.entries[typ]
	if info == nil || info.Object == nil || info.Object.Tag == nil {
		return
	}
	tag := *info.Object.Tag
	if _, chosen := given[tag]; chosen {
		return
	}
	p.line("")
	p.wrap(strings.Fields(fmt.Sprintf("What else there is depends on %s: help %s %s=VALUE.", tag, key, tag)), "")
}

// result writes about the result of a command.
func (p *page) result(typ string) {
	name, isObject := p.longName(typ), p.takes(typ, qapi.JSONTypeObject)
	for p.element(typ) != "" {
		typ = p.element(typ)
	}
	members := p.membersOf(typ, nil)
	if len(members) == 0 && isObject {
		p.line("Result: nothing.")
		return
	}
	p.line("Result: " + name)
	p.expand(members, 1, []string{typ})
}

// expand writes members and the members in them.
func (p *page) expand(members []member, depth int, seen []string) {
	for _, m := range members {
		word := fmt.Sprintf("%s%s: %s", strings.Repeat("  ", depth), m.name, p.longName(m.typ))
		if m.optional {
			word += ", optional"
		}
		words := []string{word}
		for i, v := range p.values(m.typ) {
			if i == 0 {
				words[0] += ":"
			}
			words = append(words, v.Name)
		}
		p.wrap(words, strings.Repeat("  ", depth+2))
		typ := m.typ
		for p.element(typ) != "" {
			typ = p.element(typ)
		}
		if inner := p.membersOf(typ, nil); len(inner) > 0 && depth < 4 && !slices.Contains(seen, typ) {
			p.expand(inner, depth+1, append(slices.Clone(seen), typ))
		}
	}
}

// longName is the name of a type for people, with its name in QEMU's documentation:
// "enum BlockdevDriver", "[object JobInfo]".
func (p *page) longName(typ string) string {
	info := p.entries[typ]
	switch {
	case info == nil:
	case info.Array != nil:
		return "[" + p.longName(info.Array.ElementType) + "]"
	case info.Alternate != nil:
		var names []string
		for _, m := range info.Alternate.Members {
			names = append(names, p.longName(m.Type))
		}
		return strings.Join(names, " or ")
	}
	if name := p.typeNames()[typ]; name != "" {
		return p.typeName(typ) + " " + name
	}
	return p.typeName(typ)
}

// typ writes about a type.
func (p *page) typ(typ, name string) {
	info := p.entries[typ]
	kind := p.typeName(typ)
	if info.Object != nil && info.Object.Tag != nil {
		kind = "object, a union"
	}
	p.line(name + " (" + kind + ")")
	if since := p.since(name, ""); since != "" {
		p.line("")
		p.line("Since " + since + ".")
	}
	if values := p.values(typ); len(values) > 0 {
		p.line("")
		p.line("Values:")
		for _, v := range values {
			words := []string{"  " + v.Name}
			if since := p.since(name+"."+v.Name, name); since != "" {
				words = append(words, "since "+since)
			}
			words = append(words, v.Features...)
			p.line(strings.Join(words, ", "))
		}
	}
	if members := p.sorted(p.membersOf(typ, nil)); len(members) > 0 {
		p.line("")
		p.line("Members:")
		p.members(members, name, 1)
	}
	if info.Object != nil && info.Object.Tag != nil {
		for _, v := range info.Object.Variants {
			if members := p.sorted(p.membersOf(v.Type, nil)); len(members) > 0 {
				p.line("")
				p.line("With " + *info.Object.Tag + "=" + v.Case + ":")
				p.members(members, name+".["+v.Case+"]", 1)
			}
		}
	}
	if users := p.users(typ); len(users) > 0 {
		p.line("")
		p.wrap(append([]string{"Used by:"}, users...), "  ")
	}
}

// wrap writes words on lines of the page's width. All but the first begin with indent.
func (p *page) wrap(words []string, indent string) {
	line := ""
	for i, word := range words {
		switch {
		case i == 0:
			line = word
		case len(line)+1+len(word) > p.width:
			p.line(line)
			line = indent + word
		default:
			line += " " + word
		}
	}
	p.line(line)
}
