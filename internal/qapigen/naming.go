package qapigen

import (
	"bytes"
	"fmt"
	"slices"
)

// A Renaming is a name that is not [GoName] of its QAPI name, because something else has
// that name already.
type Renaming struct {
	QAPI string // such as "type blockdev-backup" or "BlockdevOptions, branch file"
	Go   string
	Why  string // what has the name
}

// Renamed returns the names of a schema that the generated code changes, in the schema's
// order.
func Renamed(s *Schema) []Renaming {
	g := &generator{Schema: s}
	g.nameAll()
	return g.renamed
}

// reserved are the names in a generated package that do not come from QAPI's
// definitions.
var reserved = []string{
	"Commands", "Events", "Decode", "Wait",
	"Checked", "Introspect", "NewSchema", "Parameter", "Schema", "Since", "Until", "UnsupportedError", // of package qapi
}

// nameAll gives each definition its Go name, which is unique.
//
// Commands come first and have their QAPI name in Go's spelling. An event has the suffix
// Event, arguments have the suffix Arguments, and a type has no suffix. If another
// definition has the name already, a type has the suffix Options. If that does not help,
// and for all others, underscores follow the name.
func (g *generator) nameAll() {
	g.types, g.funcs = make(map[string]string), make(map[*Definition]string)
	g.fieldNames, g.branchNames, g.values = make(map[*Definition][]string), make(map[*Definition][]string), make(map[*Definition][]string)
	owner := make(map[string]string) // what has a Go name
	for _, name := range reserved {
		owner[name] = "a declaration of the package itself"
	}
	claim := func(d *Definition, what, name string, also ...string) string {
		first := name
		taken := func() string {
			for _, suffix := range append([]string{""}, also...) {
				if other := owner[name+suffix]; other != "" {
					return other
				}
			}
			return ""
		}
		why := taken()
		if why != "" && slices.Contains(typeKinds, d.Kind) {
			name += "Options"
		}
		for taken() != "" {
			name += "_"
		}
		for _, suffix := range append([]string{""}, also...) {
			owner[name+suffix] = what
		}
		if name != first {
			g.renamed = append(g.renamed, Renaming{QAPI: what, Go: name, Why: why})
		}
		return name
	}
	for _, d := range g.Defs {
		switch d.Kind {
		case Command:
			var also []string
			if d.Data == "" && (len(d.Members) > 0 || d.open()) {
				also = append(also, "Arguments")
			}
			if d.AllowOOB {
				also = append(also, "OOB")
			}
			g.funcs[d] = claim(d, "command "+d.Name, GoName(d.Name), also...)
		case Event:
			g.funcs[d] = claim(d, "event "+d.Name, GoName(lowerCased(d.Name))+"Event")
		}
	}
	for _, d := range g.Defs {
		if slices.Contains(typeKinds, d.Kind) {
			g.types[d.Name] = claim(d, "type "+d.Name, GoName(d.Name))
		}
	}
	for _, d := range g.Defs {
		if d.Kind == Enum {
			g.nameValues(d, owner)
		} else {
			g.nameFields(d)
		}
	}
}

// nameValues gives the constants of an enum their names.
func (g *generator) nameValues(d *Definition, owner map[string]string) {
	for _, v := range d.Values {
		what := fmt.Sprintf("%s, value %s", d.Name, v.Name)
		name, why := g.types[d.Name]+GoName(v.Name), ""
		for owner[name] != "" {
			if why == "" {
				why = owner[name]
			}
			name += "_"
		}
		owner[name] = what
		g.values[d] = append(g.values[d], name)
		if why != "" {
			g.renamed = append(g.renamed, Renaming{QAPI: what, Go: name, Why: why})
		}
	}
}

// nameFields gives the fields of members and branches their names.
func (g *generator) nameFields(d *Definition) {
	if d.Kind == Command && d.Data != "" {
		return // its arguments are a type
	}
	names := map[string]string{"Extra": "the embedded support.Extra", "Unknown": "a method"}
	switch d.Kind {
	case Command:
		names["Further"] = "the field for further arguments"
	case Event:
		names["EventName"] = "a method"
	case Union, Alternate:
		for _, method := range []string{"MarshalJSON", "MarshalJSONTo", "UnmarshalJSON", "UnmarshalJSONFrom", "IsZero"} {
			names[method] = "a method"
		}
	}
	claim := func(what, name, suffix string) string {
		what = d.Name + ", " + what
		why := names[name]
		if why != "" {
			name += suffix
		}
		for names[name] != "" {
			name += "_"
		}
		names[name] = what
		if why != "" {
			g.renamed = append(g.renamed, Renaming{QAPI: what, Go: name, Why: why})
		}
		return name
	}
	if d.Kind != Alternate {
		for _, m := range g.Unfold(d) {
			g.fieldNames[d] = append(g.fieldNames[d], claim("member "+m.Name, GoName(m.Name), ""))
		}
	}
	for _, b := range d.Branches {
		name := GoName(b.Name)
		switch {
		case b.Type.Name == "null":
			name = "Null"
		case isDigit(name[0]):
			name = "Branch" + name
		}
		g.branchNames[d] = append(g.branchNames[d], claim("branch "+b.Name, name, "Branch"))
	}
}

// docFile is the file whose comment is a part of the package's documentation. It comes
// after qapi.go and qga.go in the alphabet, and so in the documentation.
const docFile = "schema_doc.go"

// packageDoc returns the source of that file, or nil if it has nothing to say. It lists
// the renamed definitions.
func (g *generator) packageDoc() []byte {
	if g.Introduction == "" && len(g.renamed) == 0 {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\n", g.title())
	if g.Introduction != "" {
		fmt.Fprintf(&b, "// Package %s %s\n//\n", g.Package, g.Introduction)
	}
	if len(g.renamed) > 0 {
		fmt.Fprintf(&b, "// Package %s has these names that differ from QAPI's in more than the spelling, because\n// their own is taken:\n//\n", g.Package)
		for _, r := range g.renamed {
			fmt.Fprintf(&b, "//   - %s is %s (%s)\n", r.QAPI, r.Go, r.Why)
		}
	}
	fmt.Fprintf(&b, "package %s\n", g.Package)
	return b.Bytes()
}
