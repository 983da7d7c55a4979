package syntax

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/internal/proto"
)

// A tree is an object that key=value pairs build, or a value in it.
type tree struct {
	name    string
	key     string         // the whole key that made it
	offset  int            // where that key is in the text
	value   jsontext.Value // nil if it has members
	list    bool           // whether it is known to be a list
	members []*tree
}

// member returns the member of a name, or nil.
func (t *tree) member(name string) *tree {
	if i := slices.IndexFunc(t.members, func(m *tree) bool { return m.name == name }); i >= 0 {
		return t.members[i]
	}
	return nil
}

// add adds an empty member.
func (t *tree) add(name string, offset int) *tree {
	m := &tree{name: name, key: name, offset: offset}
	t.members = append(t.members, m)
	return m
}

// set sets the value at a path of names. It fails if the path has a value already, or if
// a value stands where the path needs an object.
func (t *tree) set(p *parser, offset int, names []string, value jsontext.Value) error {
	key := strings.Join(names, ".")
	for i, name := range names {
		m := t.member(name)
		if m == nil {
			m = t.add(name, offset)
			m.key = strings.Join(names[:i+1], ".")
		} else if i < len(names)-1 && m.value != nil {
			return p.fail(offset, fmt.Sprintf("%s is given as a value, so %s cannot be set in it", m.key, key),
				fmt.Sprintf("write all members of %s with dots, or all in its value", m.key))
		}
		t = m
	}
	switch {
	case t.value != nil:
		return p.fail(offset, fmt.Sprintf("%s is given twice", key), "leave one out")
	case len(t.members) > 0 || t.list:
		return p.fail(offset, fmt.Sprintf("members of %s are given already, so it cannot have a value of its own", key),
			fmt.Sprintf("write all members of %s with dots, or all in its value", key))
	}
	t.value = value
	return nil
}

// json returns the tree as JSON. An object whose names are numbers is a list.
func (t *tree) json(p *parser) (jsontext.Value, error) { return t.append(nil, p, true) }

func (t *tree) append(dst []byte, p *parser, top bool) ([]byte, error) {
	if t.value != nil {
		return append(dst, t.value...), nil
	}
	list := t.list
	if !list && !top && slices.ContainsFunc(t.members, func(m *tree) bool { return isIndex(m.name) }) {
		if err := t.sort(p); err != nil {
			return nil, err
		}
		list = true
	}
	begin, end := byte('{'), byte('}')
	if list {
		begin, end = '[', ']'
	}
	dst = append(dst, begin)
	for i, m := range t.members {
		if i > 0 {
			dst = append(dst, ',')
		}
		if !list {
			dst = append(appendText(dst, m.name), ':')
		}
		var err error
		if dst, err = m.append(dst, p, false); err != nil {
			return nil, err
		}
	}
	return append(dst, end), nil
}

// decoded returns the tree in the types of JSON. A list is a map with the numbers of its
// elements.
func (t *tree) decoded() any {
	if t.value != nil {
		v, err := proto.Decode(t.value)
		if err != nil {
			return nil
		}
		return v
	}
	object := make(map[string]any)
	for _, m := range t.members {
		object[m.name] = m.decoded()
	}
	return object
}

// sort puts the elements of a list in order. It fails unless the names are the numbers
// from 0 on.
func (t *tree) sort(p *parser) error {
	for _, m := range t.members {
		if !isIndex(m.name) {
			return p.fail(m.offset, fmt.Sprintf("%s has numbers and names as members, so it is neither a list nor an object", t.key),
				"write its value as a literal: {...} or [...]")
		}
	}
	slices.SortStableFunc(t.members, func(a, b *tree) int { return index(a.name) - index(b.name) })
	for i, m := range t.members {
		if m.name != itoa(i) {
			return p.fail(m.offset, fmt.Sprintf("%s.%d is missing in the list", t.key, i), "the elements of a list are numbered from 0, without gaps")
		}
	}
	return nil
}

// isIndex reports whether name is the number of an element of a list.
func isIndex(name string) bool {
	return name != "" && len(name) < 7 && strings.Trim(name, "0123456789") == ""
}

func index(name string) int {
	n, _ := strconv.Atoi(name)
	return n
}

func itoa(i int) string { return strconv.Itoa(i) }
