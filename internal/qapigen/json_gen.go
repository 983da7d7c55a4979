package qapigen

// methods writes the methods that encode and decode a union, an alternate, or arguments
// that the schema does not list: those of json/v2, and those of encoding/json, which
// call them. All other types need none.
func (g *generator) methods(d *Definition) {
	switch d.Kind {
	case Command:
		if d.open() {
			g.openMethods(g.argumentsName(d))
		}
	case Union:
		g.unionMethods(d)
	case Alternate:
		g.alternateMethods(d)
	}
}

// openMethods writes the methods of arguments that the schema does not list. Without
// them encoding/json would write a member named Further.
func (g *generator) openMethods(name string) {
	g.p(`// MarshalJSONTo implements json.MarshalerTo.
func (v *%[1]s) MarshalJSONTo(enc *jsontext.Encoder) error {
	type plain %[1]s
	return json.MarshalEncode(enc, (*plain)(v))
}

// MarshalJSON implements json.Marshaler.
func (v %[1]s) MarshalJSON() ([]byte, error) { return support.Marshal(&v) }

`, name)
}

// unionMethods writes the methods of a union.
func (g *generator) unionMethods(d *Definition) {
	name, disc, enum := g.types[d.Name], g.discriminator(d), g.discriminatorEnum(d)
	fields := g.branchNames[d]
	g.p(`// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (u *%[1]s) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	type plain %[1]s
	*u = %[1]s{Extra: support.Scratch()}
	if err := json.UnmarshalDecode(dec, (*plain)(u)); err != nil {
		return err
	}
	switch u.%[2]s {
`, name, disc)
	for i, b := range d.Branches {
		g.p("\tcase %s:\n\t\treturn support.DecodeBranch(dec, &u.Extra, &u.%s)\n", g.valueName(enum, b.Name), fields[i])
	}
	g.p(`	}
	return support.KeepUnknown(&u.Extra)
}

// MarshalJSONTo implements json.MarshalerTo. If several branches are set, or if none is
// set and %[2]s needs one, the error is a [*support.UnionError].
func (u *%[1]s) MarshalJSONTo(enc *jsontext.Encoder) error {
	type plain %[1]s
	b := support.Branches{Union: %[3]q, Member: %[4]q, Value: string(u.%[2]s)}
`, name, disc, d.Name, d.Discriminator)
	for i, b := range d.Branches {
		g.p("\tb.Add(%q, u.%s != nil, u.%s)\n", b.Name, fields[i], fields[i])
	}
	g.p("\treturn b.Encode(enc, (*plain)(u), u.Extra)\n}\n\n")
	g.standardMethods("u", name)
}

// standardMethods writes the methods of encoding/json.
func (g *generator) standardMethods(receiver, name string) {
	g.p(`// MarshalJSON implements json.Marshaler.
func (%[1]s %[2]s) MarshalJSON() ([]byte, error) { return support.Marshal(&%[1]s) }

// UnmarshalJSON implements json.Unmarshaler.
func (%[1]s *%[2]s) UnmarshalJSON(b []byte) error { return support.Unmarshal(b, %[1]s) }

`, receiver, name)
}

// alternateMethods writes the methods of an alternate.
func (g *generator) alternateMethods(d *Definition) {
	name := g.types[d.Name]
	g.p(`// UnmarshalJSONFrom implements json.UnmarshalerFrom. It sets the field that the first
// byte of the value selects.
func (a *%[1]s) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*a = %[1]s{}
	switch dec.PeekKind() {
`, name)
	for i, b := range d.Branches {
		field := g.branchNames[d][i]
		g.p("\tcase %s:\n", g.kindsOf(b.Type))
		switch {
		case b.Type.Name == "null":
			g.p("\t\ta.Null = true\n\t\treturn dec.SkipValue()\n")
		case b.Type.Array:
			g.p("\t\treturn json.UnmarshalDecode(dec, &a.%s)\n", field)
		default:
			g.p("\t\ta.%s = new(%s)\n\t\treturn json.UnmarshalDecode(dec, a.%s)\n", field, g.typeName(b.Type), field)
		}
	}
	g.p(`	}
	return json.UnmarshalDecode(dec, &a.Unknown)
}

// MarshalJSONTo implements json.MarshalerTo. If not exactly one field is set, the error
// is a [*support.UnionError].
func (a *%[1]s) MarshalJSONTo(enc *jsontext.Encoder) error {
	alt := support.Alternate{Name: %[2]q}
`, name, d.Name)
	for i, b := range d.Branches {
		field := g.branchNames[d][i]
		if b.Type.Name == "null" {
			g.p("\talt.AddNull(a.Null)\n")
		} else {
			g.p("\talt.Add(%q, a.%s != nil, a.%s)\n", b.Name, field, field)
		}
	}
	g.p(`	alt.AddUnknown(a.Unknown)
	return alt.Encode(enc)
}

// IsZero reports whether no field is set. Such an optional member is not encoded.
func (a *%[1]s) IsZero() bool {
	return `, name)
	for i, b := range d.Branches {
		field := g.branchNames[d][i]
		if b.Type.Name == "null" {
			g.p("!a.Null && ")
		} else {
			g.p("a.%s == nil && ", field)
		}
	}
	g.p("a.Unknown == nil\n}\n\n")
	g.standardMethods("a", name)
}

// kindsOf returns the kinds of JSON value that values of a type have, as Go source.
func (g *generator) kindsOf(t Type) string {
	if t.Array {
		return "'['"
	}
	switch builtins[t.Name] {
	case "string":
		return "'\"'"
	case "bool":
		return "'t', 'f'"
	case "null":
		return "'n'"
	case "":
	default:
		return "'0'"
	}
	if d := g.Type(t.Name); d != nil && d.Kind == Enum {
		return "'\"'"
	}
	return "'{'"
}

// hasNull reports whether t is an alternate that may be null.
func (g *generator) hasNull(t Type) bool {
	d := g.Type(t.Name)
	if t.Array || d == nil || d.Kind != Alternate {
		return false
	}
	for _, b := range d.Branches {
		if b.Type.Name == "null" {
			return true
		}
	}
	return false
}
