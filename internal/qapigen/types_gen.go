package qapigen

import (
	"fmt"
	"slices"
	"strings"
)

// unknownField keeps the members that the schema does not have, so that they encode
// again unchanged.
const unknownField = "\t*support.Extra // members that this package does not know\n"

// object writes the type of a struct, union or alternate.
func (g *generator) object(d *Definition) {
	name := g.types[d.Name]
	switch d.Kind {
	case Struct:
		g.doc(name, "QAPI's struct "+d.Name, d)
		g.p("type %s struct {\n", name)
		g.fields(d)
		g.p("\n%s}\n\n", unknownField)
	case Union:
		g.doc(name, "QAPI's union "+d.Name, d,
			fmt.Sprintf("%s selects the branch. It may be empty if a branch is set.", g.discriminator(d)))
		g.p("type %s struct {\n", name)
		g.fields(d, d.Discriminator)
		g.p("\n\t// At most one branch is set.\n")
		for i, field := range g.branchNames[d] {
			b := d.Branches[i]
			g.p("\t%s *%s `json:\"-\"`%s\n", field, g.typeName(b.Type), g.branchNote(b))
		}
		g.p("\n%s}\n\n", unknownField)
	case Alternate:
		g.doc(name, "QAPI's alternate "+d.Name, d, "Exactly one field is set.")
		g.p("type %s struct {\n", name)
		for i, b := range d.Branches {
			g.p("\t%s %s `json:\"-\"`%s\n", g.branchNames[d][i], g.alternateType(b), g.note(b.Since, d.Since, b.Removed, b.Features, b.If))
		}
		g.p("\n\tUnknown jsontext.Value `json:\"-\"` // a value of a kind that this package does not know\n}\n\n")
	}
}

// branchNote returns the comment at the end of the line of a branch.
func (g *generator) branchNote(b Member) string {
	note := g.note(b.Since, "", b.Removed, b.Features, b.If)
	if note == "" {
		return " // " + b.Name
	}
	return " // " + b.Name + "; " + strings.TrimPrefix(note, " // ")
}

// fields writes the fields of d's members. A field whose member is one of discriminators
// is not encoded if it is empty: then it follows from the branch, or the value comes from
// a release in which the type was not a union.
func (g *generator) fields(d *Definition, discriminators ...string) {
	for i, m := range g.Unfold(d) {
		field := g.fieldType(m)
		if slices.Contains(discriminators, m.Name) {
			field = fmt.Sprintf("%s `json:\"%s,omitzero\"`", g.typeName(m.Type), m.Name)
		}
		g.p("\t%s %s%s\n", g.fieldNames[d][i], field, g.note(m.Since, d.Since, m.Removed, m.Features, m.If))
	}
}

// fieldType returns the type and the tag of a member.
//
// An optional member is a pointer, unless its type has a value that means "left out":
// nil for slices and raw JSON, and an alternate without a field that is set. (A nil
// pointer to an alternate that may be null could mean both null and "left out".)
func (g *generator) fieldType(m Member) string {
	t := g.typeName(m.Type)
	switch {
	case !m.Optional:
		return fmt.Sprintf("%s `json:\"%s\"`", t, m.Name)
	case m.Type.Array || t == "jsontext.Value" || g.hasNull(m.Type):
		return fmt.Sprintf("%s `json:\"%s,omitzero\"`", t, m.Name)
	}
	return fmt.Sprintf("*%s `json:\"%s,omitzero\"`", t, m.Name)
}

// discriminator returns the Go name of the field that selects a union's branch.
func (g *generator) discriminator(d *Definition) string {
	i := slices.IndexFunc(g.Unfold(d), func(m Member) bool { return m.Name == d.Discriminator })
	return g.fieldNames[d][i]
}

// discriminatorEnum returns the definition of that field's type.
func (g *generator) discriminatorEnum(d *Definition) *Definition {
	members := g.Unfold(d)
	i := slices.IndexFunc(members, func(m Member) bool { return m.Name == d.Discriminator })
	return g.Type(members[i].Type.Name)
}

// alternateType returns the type of an alternative: a pointer, a slice, or a bool
// for null.
func (g *generator) alternateType(b Member) string {
	switch {
	case b.Type.Name == "null":
		return "bool"
	case b.Type.Array:
		return g.typeName(b.Type)
	}
	return "*" + g.typeName(b.Type)
}

// enum writes an enum with its constants.
func (g *generator) enum(d *Definition) {
	if d.Kind != Enum {
		return
	}
	name := g.types[d.Name]
	g.doc(name, "QAPI's enum "+d.Name, d, "A value that is not listed here, from another release of QEMU, is kept.")
	g.p("type %s string\n\n", name)
	if len(d.Values) == 0 {
		return
	}
	g.p("// The values of %s.\nconst (\n", name)
	for i, v := range d.Values {
		g.p("\t%s %s = %q%s\n", g.values[d][i], name, v.Name, g.note(v.Since, d.Since, v.Removed, v.Features, v.If))
	}
	g.p(")\n\n")
}

// valueName returns the name of the constant of one value.
func (g *generator) valueName(d *Definition, value string) string {
	for i, v := range d.Values {
		if v.Name == value {
			return g.values[d][i]
		}
	}
	return fmt.Sprintf("%q", value)
}
