package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A Path names a part of a JSON value, as in "a/b[0]/c": members of objects, and elements
// of lists. An index below 0 counts from the end of the list. The zero Path is the whole value.
type Path struct {
	text  string
	steps []step
}

// A step is one member, or one element if name is "".
type step struct {
	name  string
	index int
	until int // how much of the text this and the steps before it are
}

// ParsePath parses the text of a path. "" and "/" are the whole value.
func ParsePath(text string) (Path, error) {
	p := Path{text: text}
	rest := strings.TrimPrefix(text, "/")
	wrong := func(problem string) (Path, error) {
		return Path{}, fmt.Errorf("path %q: %s; a path looks like a/b[0]/c", text, problem)
	}
	at := func() int { return len(text) - len(rest) }
	for first := true; rest != ""; first = false {
		if !first && rest[0] == '/' {
			rest = rest[1:]
			if rest == "" {
				return wrong("a name is missing at its end")
			}
		}
		if rest[0] == '[' {
			number, after, ok := strings.Cut(rest[1:], "]")
			index, err := strconv.Atoi(number)
			if !ok || err != nil {
				return wrong("there is no number in brackets")
			}
			rest = after
			if rest != "" && rest[0] != '/' && rest[0] != '[' {
				return wrong("a slash is missing after a bracket")
			}
			p.steps = append(p.steps, step{index: index, until: at()})
			continue
		}
		end := strings.IndexAny(rest, "/[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return wrong("a name is missing between two slashes")
		}
		name := rest[:end]
		rest = rest[end:]
		p.steps = append(p.steps, step{name: name, until: at()})
	}
	return p, nil
}

// String returns the text of the path.
func (p Path) String() string { return p.text }

// A PathError says that a value does not have the part that a path names.
type PathError struct {
	Path    Path
	Problem string // which step leads nowhere, and what is there
}

func (e *PathError) Error() string {
	return fmt.Sprintf("the result has no %s: %s", e.Path.text, e.Problem)
}

// Get returns the part of value that p names. The error is a *PathError, or says that
// value is not JSON.
func (p Path) Get(value json.RawMessage) (json.RawMessage, error) {
	for i, s := range p.steps {
		here := "it"
		if i > 0 {
			here = p.text[:p.steps[i-1].until]
		}
		wrong := func(format string, args ...any) (json.RawMessage, error) {
			return nil, &PathError{Path: p, Problem: here + " " + fmt.Sprintf(format, args...)}
		}
		value = bytes.TrimSpace(value)
		if s.name != "" {
			var members map[string]json.RawMessage
			if len(value) == 0 || value[0] != '{' {
				return wrong("is not an object, but %s", kind(value))
			}
			if err := json.Unmarshal(value, &members); err != nil {
				return nil, err
			}
			member, ok := members[s.name]
			switch {
			case !ok && len(members) == 0:
				return wrong("has no members")
			case !ok:
				return wrong("has the members %s", strings.Join(slices.Sorted(maps.Keys(members)), ", "))
			}
			value = member
			continue
		}
		var elements []json.RawMessage
		if len(value) == 0 || value[0] != '[' {
			return wrong("is not a list, but %s", kind(value))
		}
		if err := json.Unmarshal(value, &elements); err != nil {
			return nil, err
		}
		index := s.index
		if index < 0 {
			index += len(elements)
		}
		if index < 0 || index >= len(elements) {
			return wrong("has %d elements", len(elements))
		}
		value = elements[index]
	}
	return value, nil
}

// kind returns what the JSON value is, for people.
func kind(value json.RawMessage) string {
	if len(value) == 0 {
		return "nothing"
	}
	switch value[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a text"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}
