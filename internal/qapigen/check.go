package qapigen

import (
	"fmt"
	"slices"
)

// check returns an error if the definitions do not fit together. (QEMU's own generator
// checks more, such as which names are in use: this one has to refuse what it could not
// write code for.) An error about a definition from a schema file is a [*ParseError].
func (s *Schema) check() error {
	for _, d := range s.Defs {
		if err := s.checkDefinition(d); err != nil {
			err := fmt.Errorf("%s %s%w", d.Kind, d.Name, err)
			if d.file != "" {
				return &ParseError{File: d.file, Line: d.line, Column: d.column, Err: err.Error()}
			}
			return err
		}
	}
	return nil
}

// checkDefinition returns what is wrong with d, as the end of a sentence that begins
// with its name.
func (s *Schema) checkDefinition(d *Definition) error {
	if err := s.checkBase(d); err != nil {
		return err
	}
	if d.Data != "" && !s.isType(d.Data) {
		return fmt.Errorf(": the type of its data, %s, is not defined", d.Data)
	}
	if r := d.Returns.Name; r != "" && !s.isType(r) {
		return fmt.Errorf(": the type of its result, %s, is not defined", r)
	}
	if d.Data != "" && s.find(d.Data, Struct, Union) == nil {
		return fmt.Errorf(": the type of its data, %s, is not a struct or a union", d.Data)
	}
	for _, m := range slices.Concat(d.Members, d.Branches) {
		if !s.isType(m.Type.Name) {
			return fmt.Errorf(": the type of %q, %s, is not defined", m.Name, m.Type.Name)
		}
	}
	for i, v := range d.Values {
		if slices.ContainsFunc(d.Values[:i], func(o Value) bool { return o.Name == v.Name }) {
			return fmt.Errorf(": has the value %q twice", v.Name)
		}
	}
	switch d.Kind {
	case Union:
		return s.checkUnion(d)
	case Alternate:
		return s.checkAlternate(d)
	}
	return nil
}

// isType reports whether name is a built-in type or one that is defined.
func (s *Schema) isType(name string) bool { return builtins[name] != "" || s.Type(name) != nil }

// checkBase follows the bases of d. Each is a struct, and none comes twice.
func (s *Schema) checkBase(d *Definition) error {
	seen := []*Definition{d}
	for b := d; b.Base != ""; {
		next := s.find(b.Base, Struct)
		switch {
		case s.Type(b.Base) == nil:
			return fmt.Errorf(": its base %s is not defined", b.Base)
		case next == nil:
			return fmt.Errorf(": its base %s is not a struct", b.Base)
		case slices.Contains(seen, next):
			return fmt.Errorf(": is its own base, by way of %s", next.Name)
		}
		seen, b = append(seen, next), next
	}
	return nil
}

// checkUnion checks the discriminator and the branches of a union.
func (s *Schema) checkUnion(d *Definition) error {
	base := s.Unfold(d)
	i := slices.IndexFunc(base, func(m Member) bool { return m.Name == d.Discriminator })
	if i < 0 {
		return fmt.Errorf(": its discriminator %q is not a member of its base", d.Discriminator)
	}
	enum := s.find(base[i].Type.Name, Enum)
	if enum == nil || base[i].Type.Array {
		return fmt.Errorf(": its discriminator %q is not an enum", d.Discriminator)
	}
	for _, b := range d.Branches {
		if !slices.ContainsFunc(enum.Values, func(v Value) bool { return v.Name == b.Name }) {
			return fmt.Errorf(": branch %q is not a value of %s", b.Name, enum.Name)
		}
		if s.find(b.Type.Name, Struct, Union) == nil || b.Type.Array {
			return fmt.Errorf(": the type of branch %q, %s, is not a struct or a union", b.Name, b.Type)
		}
	}
	return nil
}

// checkAlternate checks that the first byte of a value tells which alternative it is.
func (s *Schema) checkAlternate(d *Definition) error {
	g := &generator{Schema: s}
	kinds := make(map[string]string)
	for _, b := range d.Branches {
		if t := s.Type(b.Type.Name); b.Type.Name == "any" || t != nil && t.Kind == Alternate && !b.Type.Array {
			return fmt.Errorf(": the alternative %q may be of any kind", b.Name)
		}
		kind := g.kindsOf(b.Type)
		if other, twice := kinds[kind]; twice {
			return fmt.Errorf(": the alternatives %q and %q begin with the same byte", other, b.Name)
		}
		kinds[kind] = b.Name
	}
	return nil
}
