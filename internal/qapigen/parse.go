package qapigen

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Parse reads a schema from the QAPI schema file name in files, and from the files that
// it includes. It reads each file once. A fault in a file is a [*ParseError]. The name of
// an included file may lead out of the folder with "..", which files has to understand.
func Parse(files fs.FS, name string) (*Schema, error) {
	p := &parser{files: files, schema: new(Schema), seen: make(map[string]bool)}
	if err := p.file(path.Clean(name)); err != nil {
		return nil, err
	}
	return p.schema, p.schema.check()
}

type parser struct {
	files  fs.FS
	schema *Schema
	seen   map[string]bool // the files that have been read or are being read

	name string // the file that is being read
}

// file reads a file, unless it has been read.
func (p *parser) file(name string) error {
	if p.seen[name] {
		return nil
	}
	p.seen[name] = true
	src, err := fs.ReadFile(p.files, name)
	if err != nil {
		return err
	}
	trees, err := parseFile(name, string(src))
	if err != nil {
		return err
	}
	for i := range trees {
		p.name = name
		if err := p.expression(&trees[i]); err != nil {
			return err
		}
	}
	return nil
}

// fault returns an error about the expression t of the current file.
func (p *parser) fault(t *tree, format string, args ...any) error {
	return &ParseError{File: p.name, Line: t.line, Column: t.column, Err: fmt.Sprintf(format, args...)}
}

// expression reads one top-level expression.
func (p *parser) expression(t *tree) error {
	if include, ok := t.get("include"); ok {
		if include.kind != treeString {
			return p.fault(include, "include: want the name of a file")
		}
		from := p.name
		err := p.file(path.Join(path.Dir(from), include.text))
		if missing, ok := errors.AsType[*fs.PathError](err); ok && p.name == from {
			return p.fault(include, "include: %v", missing)
		}
		return err
	}
	if _, ok := t.get("pragma"); ok {
		return nil // pragmas are for the checks of QEMU's own generator
	}
	for _, kind := range []Kind{Struct, Union, Alternate, Enum, Command, Event} {
		name, ok := t.get(string(kind))
		if !ok {
			continue
		}
		if name.kind != treeString || !nameRule.MatchString(name.text) {
			return p.fault(name, "%s: want a name", kind)
		}
		d := &Definition{Kind: kind, Name: name.text, Module: p.module(), Since: sinceOf(t.comment), file: p.name, place: name.place}
		if p.schema.find(d.Name, sameNamespace(kind)...) != nil {
			return p.fault(t, "%s %s is defined already", kind, d.Name)
		}
		if err := p.definition(t, d); err != nil {
			return err
		}
		d.sinceOfParts(t.comment)
		p.schema.Defs = append(p.schema.Defs, d)
		return nil
	}
	return p.fault(t, "want include, pragma, struct, union, alternate, enum, command or event")
}

// nameRule is QAPI's rule for names, with the prefix that a vendor may use. A value of
// an enum, and so a branch, may also begin with a digit.
var (
	nameRule  = regexp.MustCompile(`^(__[A-Za-z0-9.-]+_)?[A-Za-z][A-Za-z0-9_-]*$`)
	valueRule = regexp.MustCompile(`^(__[A-Za-z0-9.-]+_)?[A-Za-z0-9][A-Za-z0-9_-]*$`)
)

// module returns the name of the file without its extension.
func (p *parser) module() string {
	base := path.Base(p.name)
	return strings.TrimSuffix(base, path.Ext(base))
}

var sinceLine = regexp.MustCompile(`(?m)^\.?\.? ?[Ss]ince:+ *(\d+(?:\.\d+)*)`)

// sinceOf returns the release that a documentation block names.
func sinceOf(comment string) string {
	if m := sinceLine.FindStringSubmatch(comment); m != nil {
		return m[1]
	}
	return ""
}

var (
	partLine  = regexp.MustCompile(`^@([A-Za-z0-9_.-]+):`)
	partSince = regexp.MustCompile(`\((?:[Ss]ince):? +(\d+(?:\.\d+)*)\)`)
)

// sinceOfParts stores the releases that a documentation block gives for members, values
// and branches: "@name: ... (since 8.1)".
func (d *Definition) sinceOfParts(comment string) {
	since, part := make(map[string]string), ""
	for line := range strings.Lines(comment) {
		if m := partLine.FindStringSubmatch(line); m != nil {
			part = m[1]
		} else if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, " ") {
			part = "" // another section
		}
		if m := partSince.FindStringSubmatch(line); m != nil && part != "" {
			since[part] = m[1]
		}
	}
	for _, ms := range [][]Member{d.Members, d.Branches} {
		for i := range ms {
			ms[i].Since = since[ms[i].Name]
		}
	}
	for i := range d.Values {
		d.Values[i].Since = since[d.Values[i].Name]
	}
}

// definition reads the members of an expression into d.
func (p *parser) definition(t *tree, d *Definition) error {
	for i, name := range t.names {
		if name == string(d.Kind) {
			continue
		}
		if err := p.attribute(name, &t.list[i], d); err != nil {
			return err
		}
	}
	if d.Kind == Union && (d.Discriminator == "" || d.Base == "" && d.Members == nil) {
		return p.fault(t, "union %s: want a base and a discriminator", d.Name)
	}
	return nil
}

// attribute reads one member of an expression into d.
func (p *parser) attribute(name string, v *tree, d *Definition) error {
	var err error
	switch name {
	case "if":
		d.If, err = p.condition(v)
	case "features":
		d.Features, err = p.features(v)
	case "base":
		if v.kind == treeString {
			d.Base = v.text
		} else {
			d.Members, err = p.members(v, nameRule)
		}
	case "discriminator":
		d.Discriminator, err = p.text(name, v)
	case "prefix":
		_, err = p.text(name, v) // it is the prefix of QEMU's C constants
	case "data":
		err = p.data(v, d)
	case "returns":
		d.Returns, err = p.typeOf(v)
	case "boxed":
		d.Boxed, err = p.flag(name, v)
	case "allow-oob":
		d.AllowOOB, err = p.flag(name, v)
	case "allow-preconfig":
		d.AllowPreconfig, err = p.flag(name, v)
	case "coroutine":
		d.Coroutine, err = p.flag(name, v)
	case "gen":
		err = p.optionalFlag(name, v, &d.Gen)
	case "success-response":
		err = p.optionalFlag(name, v, &d.SuccessResponse)
	default:
		return p.fault(v, "%s %s: unknown member %q", d.Kind, d.Name, name)
	}
	return err
}

// data reads the member data. Its meaning depends on the kind of the definition.
func (p *parser) data(v *tree, d *Definition) error {
	var err error
	switch d.Kind {
	case Enum:
		if v.kind != treeList {
			return p.fault(v, "enum %s: want a list of values", d.Name)
		}
		d.Values, err = p.values(v)
	case Union, Alternate:
		d.Branches, err = p.members(v, valueRule)
	default:
		if v.kind == treeString {
			if d.Kind == Struct {
				return p.fault(v, "struct %s: want its members", d.Name)
			}
			d.Data = v.text
			return nil
		}
		d.Members, err = p.members(v, nameRule)
	}
	return err
}

// members reads {'name': type, '*name': {'type': type, 'if': ...}}.
func (p *parser) members(v *tree, rule *regexp.Regexp) ([]Member, error) {
	if v.kind != treeObject {
		return nil, p.fault(v, "want an object with members, and not %v", v.kind)
	}
	members := []Member{}
	for i, name := range v.names {
		value := &v.list[i]
		m := Member{Name: strings.TrimPrefix(name, "*"), Optional: strings.HasPrefix(name, "*")}
		if !rule.MatchString(m.Name) {
			return nil, p.fault(value, "%q is not a name", name)
		}
		if slices.ContainsFunc(members, func(o Member) bool { return o.Name == m.Name }) {
			return nil, p.fault(value, "the member %q is defined twice", m.Name)
		}
		err := p.details(value, "type", func(t *tree) (err error) { m.Type, err = p.typeOf(t); return err }, &m.If, &m.Features)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	return members, nil
}

func (p *parser) values(v *tree) ([]Value, error) {
	var values []Value
	for i := range v.list {
		var x Value
		err := p.details(&v.list[i], "name", func(t *tree) (err error) { x.Name, err = p.text("name", t); return err }, &x.If, &x.Features)
		if err != nil {
			return nil, err
		}
		if !valueRule.MatchString(x.Name) {
			return nil, p.fault(&v.list[i], "%q is not a name", x.Name)
		}
		values = append(values, x)
	}
	return values, nil
}

// details reads a member, value or feature. v is either its short form, or an object
// that has the short form under the name main, and may also have a condition and
// features. read reads the short form.
func (p *parser) details(v *tree, main string, read func(*tree) error, cond *Condition, features *[]Feature) error {
	if v.kind != treeObject {
		return read(v)
	}
	if _, ok := v.get(main); !ok {
		return p.fault(v, "want a member %q", main)
	}
	for i, name := range v.names {
		var err error
		switch name {
		case main:
			err = read(&v.list[i])
		case "if":
			*cond, err = p.condition(&v.list[i])
		case "features":
			if features == nil {
				return p.fault(v, "unknown member %q", name)
			}
			*features, err = p.features(&v.list[i])
		default:
			return p.fault(v, "unknown member %q", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) features(v *tree) ([]Feature, error) {
	if v.kind != treeList {
		return nil, p.fault(v, "features: want a list, and not %v", v.kind)
	}
	var features []Feature
	for i := range v.list {
		var f Feature
		err := p.details(&v.list[i], "name", func(t *tree) (err error) { f.Name, err = p.text("name", t); return err }, &f.If, nil)
		if err != nil {
			return nil, err
		}
		features = append(features, f)
	}
	return features, nil
}

func (p *parser) typeOf(v *tree) (Type, error) {
	switch {
	case v.kind == treeString && v.text != "":
		return Type{Name: v.text}, nil
	case v.kind == treeList && len(v.list) == 1 && v.list[0].kind == treeString && v.list[0].text != "":
		return Type{Name: v.list[0].text, Array: true}, nil
	}
	return Type{}, p.fault(v, "want a type's name, or a list with one")
}

// condition reads a string, {'all': [...]}, {'any': [...]} or {'not': ...}. A list is
// the older form of all.
func (p *parser) condition(v *tree) (Condition, error) {
	switch v.kind {
	case treeString:
		return Condition(v.text), nil
	case treeList:
		return p.conditions(v, " and ")
	case treeObject:
		if len(v.names) == 1 {
			switch arg := &v.list[0]; v.names[0] {
			case "all":
				return p.conditions(arg, " and ")
			case "any":
				return p.conditions(arg, " or ")
			case "not":
				c, err := p.condition(arg)
				return "not " + c.parenthesized(), err
			}
		}
	}
	return "", p.fault(v, "want a condition: a string, or an object with all, any or not")
}

func (p *parser) conditions(v *tree, word string) (Condition, error) {
	if v.kind != treeList || len(v.list) == 0 {
		return "", p.fault(v, "want a list of conditions")
	}
	cs := make([]Condition, len(v.list))
	for i := range v.list {
		var err error
		if cs[i], err = p.condition(&v.list[i]); err != nil {
			return "", err
		}
	}
	return joinConditions(cs, word), nil
}

func (p *parser) text(what string, v *tree) (string, error) {
	if v.kind != treeString {
		return "", p.fault(v, "%s: want a string, and not %v", what, v.kind)
	}
	return v.text, nil
}

func (p *parser) flag(what string, v *tree) (bool, error) {
	if v.kind != treeBool {
		return false, p.fault(v, "%s: want true or false, and not %v", what, v.kind)
	}
	return v.flag, nil
}

func (p *parser) optionalFlag(what string, v *tree, to **bool) error {
	flag, err := p.flag(what, v)
	*to = &flag
	return err
}
