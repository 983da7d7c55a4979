package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/goqmp/qmp/cmd/qmp-shell/internal/syntax"
	"github.com/goqmp/qmp/qapi"
)

// A Completion is what may be written at a cursor.
type Completion struct {
	Start, End int // the part of the text that a candidate replaces, in bytes; End is the cursor
	Candidates []Candidate

	// Note says why there is nothing, or not everything, for a person; or it is "".
	Note string
}

// A Candidate is one text that may be written.
type Candidate struct {
	Text     string // what replaces the part, such as "node-name="
	Label    string // what a menu shows, such as "node-name"
	Help     string // one line about it, such as "string, required"
	Required bool   // an argument that must be given
	Space    bool   // the word is complete: a space may follow
}

// Complete returns what may be written at an offset of text, in the order in which a menu
// shows it. It asks the server for names of the moment, such as those of block nodes.
// Names that were asked for in the last two seconds are used again. If ctx ends before
// the server answers, Complete returns what it has, and Note says so: give ctx a limit
// that suits a person who waits.
func (c *Catalog) Complete(ctx context.Context, text string, cursor int) Completion {
	at := syntax.At(text, cursor)
	done := Completion{Start: at.Start, End: at.End}
	if at.Place == syntax.Nowhere {
		return done
	}
	s, err := c.server(ctx)
	if err != nil {
		done.Note = "the server has not said what it can do: " + err.Error()
		return done
	}
	switch at.Place {
	case syntax.CommandName:
		done.Candidates = s.commandNames(at)
	case syntax.Name:
		done.Candidates = s.memberNames(at)
		c.deviceProperties(ctx, s, at, &done)
	case syntax.Value:
		done.Candidates = s.memberValues(at)
		c.propertyValues(ctx, s, at, &done)
		c.liveValues(ctx, s, at, &done)
	}
	return done
}

// commandNames returns the commands.
func (s *server) commandNames(at syntax.Cursor) []Candidate {
	var found []Candidate
	for _, name := range s.commands {
		if !strings.HasPrefix(name, at.Prefix) {
			continue
		}
		text := name
		if at.Literal {
			text = at.Value(name)
		}
		found = append(found, Candidate{Text: text, Label: name, Help: s.summary(name), Space: true})
	}
	return found
}

// summary is one line about a command: its arguments.
func (s *server) summary(command string) string {
	info := s.entries[command]
	var words []string
	if slices.Contains(info.Features, "deprecated") {
		words = append(words, "(deprecated)")
	}
	for _, m := range s.sorted(s.membersOf(info.Command.ArgType, nil)) {
		if m.optional {
			words = append(words, "["+m.name+"]")
		} else {
			words = append(words, m.name)
		}
	}
	return strings.Join(words, " ")
}

// sorted returns members with the required ones first, and the deprecated ones last.
func (s *server) sorted(members []member) []member {
	rank := func(m member) int {
		switch {
		case m.tag && !m.optional:
			return 0
		case !m.optional:
			return 1
		case m.deprecated:
			return 3
		}
		return 2
	}
	slices.SortStableFunc(members, func(a, b member) int { return cmp.Compare(rank(a), rank(b)) })
	return members
}

// memberNames returns the names of arguments, or of members in them.
func (s *server) memberNames(at syntax.Cursor) []Candidate {
	typ, given, _, found := s.walk(at.Command, at.Path, at.Given)
	if !found {
		return nil
	}
	var names, nested []Candidate
	if element := s.element(typ); element != "" && !at.Literal {
		return s.elementNumbers(at, given, element)
	}
	for _, m := range s.sorted(s.membersOf(typ, given)) {
		if !strings.HasPrefix(m.name, at.Prefix) {
			continue
		}
		value := child(given, m.name)
		if value == nil {
			names = append(names, Candidate{Text: at.Name(m.name), Label: m.name, Help: s.describe(m), Required: !m.optional})
		}
		if at.Literal {
			continue
		}
		if _, isValue := value.(string); !isValue {
			nested = append(nested, s.nestedNames(m, value)...)
		}
	}
	if len(nested) > 0 && len(names) <= 1 {
		return append(names, nested...)
	}
	for _, n := range nested {
		// An object has no word as its value. Offer its members in one candidate.
		stem, _, _ := strings.Cut(n.Text, ".")
		if !slices.ContainsFunc(names, func(c Candidate) bool { return c.Text == stem+"." }) {
			names = append(names, Candidate{Text: stem + ".", Label: stem + ".", Help: "members of " + stem})
		}
	}
	return names
}

// nestedNames returns the names of members in a member, such as "file.driver=".
func (s *server) nestedNames(m member, given any) []Candidate {
	var names []Candidate
	for _, n := range s.sorted(s.membersOf(m.typ, given)) {
		if child(given, n.name) == nil {
			name := m.name + "." + n.name
			names = append(names, Candidate{Text: name + "=", Label: name, Help: s.describe(n), Required: !n.optional && !m.optional})
		}
	}
	return names
}

// elementNumbers returns the number of the element that may come next in a list.
func (s *server) elementNumbers(at syntax.Cursor, given any, element string) []Candidate {
	n := 0
	for child(given, itoa(n)) != nil {
		n++
	}
	name := itoa(n)
	if !strings.HasPrefix(name, at.Prefix) {
		return nil
	}
	if s.takes(element, qapi.JSONTypeObject) {
		return []Candidate{{Text: name + ".", Label: name + ".", Help: "members of the next element"}}
	}
	return []Candidate{{Text: name + "=", Label: name, Help: s.typeName(element) + ", the next element"}}
}

// describe is one line about a member: its type, and what a person should know.
func (s *server) describe(m member) string {
	words := []string{s.typeName(m.typ)}
	if values := s.values(m.typ); len(values) > 0 {
		words[0] = strings.Replace(words[0], "enum", alternatives(values), 1)
	}
	if !m.optional {
		words = append([]string{"required"}, words...)
	}
	if m.deprecated {
		words = append(words, "deprecated")
	}
	if m.unstable {
		words = append(words, "unstable")
	}
	return strings.Join(words, ", ")
}

// alternatives returns the values of an enum with "|" between them. Of a long list it
// returns the beginning.
func alternatives(values []qapi.SchemaInfoEnumMember) string {
	const most = 50
	text := values[0].Name
	for _, v := range values[1:] {
		if len(text)+1+len(v.Name) > most {
			return fmt.Sprintf("%s|... (%d values)", text, len(values))
		}
		text += "|" + v.Name
	}
	return text
}

// memberValues returns the values of an argument, or of a member, that the schema has.
func (s *server) memberValues(at syntax.Cursor) []Candidate {
	typ, _, m, found := s.walk(at.Command, at.Path, at.Given)
	if !found {
		return nil
	}
	var values []Candidate
	add := func(text, label, help string) {
		if strings.HasPrefix(label, at.Prefix) {
			values = append(values, Candidate{Text: text, Label: label, Help: help, Space: true})
		}
	}
	for _, v := range s.values(typ) {
		help := "value of " + m.name
		if slices.Contains(v.Features, "deprecated") {
			help += ", deprecated"
		}
		add(at.Value(v.Name), v.Name, help)
	}
	if at.Quote == 0 {
		if s.takes(typ, qapi.JSONTypeBoolean) {
			add("true", "true", "bool")
			add("false", "false", "bool")
		}
		if s.takes(typ, qapi.JSONTypeNull) {
			add("null", "null", "nothing")
		}
	}
	return values
}
