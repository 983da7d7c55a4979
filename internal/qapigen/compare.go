package qapigen

import (
	"fmt"
	"slices"
	"strings"
)

// An Info is one entry of the result of query-qmp-schema, of any meta-type. (QEMU, "QAPI
// introspection".)
type Info struct {
	Name        string     `json:"name"`
	MetaType    string     `json:"meta-type"`
	JSONType    string     `json:"json-type"`
	ElementType string     `json:"element-type"`
	ArgType     string     `json:"arg-type"`
	RetType     string     `json:"ret-type"`
	AllowOOB    bool       `json:"allow-oob"`
	Members     []InfoPart `json:"members"`
	Tag         string     `json:"tag"`
	Variants    []InfoPart `json:"variants"`
	Values      []string   `json:"values"` // of enums, before 6.2
}

// An InfoPart is a member, a branch, an alternative or a value.
type InfoPart struct {
	Name    string   `json:"name"`
	Case    string   `json:"case"`
	Type    string   `json:"type"`
	Default Presence `json:"default"` // its value, null, does not matter
}

// A Presence says that an object has a member, whatever its value is.
type Presence bool

// UnmarshalJSON implements json.Unmarshaler.
func (p *Presence) UnmarshalJSON([]byte) error {
	*p = true
	return nil
}

// Compare compares the definitions with what a QEMU of a release says about itself. It
// returns the differences that need an explanation, sorted: "PATH: what differs". It
// leaves out what the history of the schema explains: parts that came after the release
// or were removed before it, parts that depend on how QEMU was built, and what changed
// between releases.
func Compare(s *Schema, h *History, infos []Info, release string) []string {
	c := &comparison{s: s, h: h, release: release, infos: make(map[string]*Info), seen: make(map[[2]string]bool)}
	for i := range infos {
		c.infos[infos[i].Name] = &infos[i]
	}
	for _, i := range infos {
		if i.MetaType == "command" || i.MetaType == "event" {
			c.entity(&i)
		}
	}
	for _, d := range s.Defs {
		if (d.Kind == Command || d.Kind == Event) && c.infos[d.Name] == nil {
			c.absent(d.Name, d.If, d.Removed, h.lifetime(d))
		}
	}
	slices.Sort(c.found)
	return slices.Compact(c.found)
}

type comparison struct {
	s       *Schema
	h       *History
	release string
	infos   map[string]*Info
	seen    map[[2]string]bool // pairs of types that were compared
	found   []string
}

func (c *comparison) report(path, format string, args ...any) {
	c.found = append(c.found, path+": "+fmt.Sprintf(format, args...))
}

// absent reports a part that the definitions have and QEMU does not, unless it can be
// explained.
func (c *comparison) absent(path string, cond Condition, removed string, life Lifetime) {
	switch {
	case cond != "":
	case removed != "" && CompareReleases(removed, c.release) <= 0:
	case life.Since != "" && CompareReleases(life.Since, c.release) > 0:
	default:
		c.report(path, "QEMU does not have it")
	}
}

// entity compares a command or an event.
func (c *comparison) entity(i *Info) {
	kind := Command
	if i.MetaType == "event" {
		kind = Event
	}
	d := c.s.find(i.Name, kind)
	if d == nil {
		c.report(i.Name, "it is not defined")
		return
	}
	if d.AllowOOB != i.AllowOOB {
		c.report(i.Name, "allow-oob is %v, in QEMU %v", d.AllowOOB, i.AllowOOB)
	}
	arguments := c.infos[i.ArgType]
	if t := c.s.Type(d.Data); t != nil {
		c.object(i.Name, []string{i.Name, d.Data}, t, arguments)
	} else {
		c.object(i.Name, []string{i.Name}, d, arguments)
	}
	if kind == Command {
		result := d.Returns
		if result.Name == "" {
			if o := c.infos[i.RetType]; o == nil || o.MetaType != "object" || len(o.Members) > 0 {
				c.report(i.Name, "it has no result, in QEMU %s", c.describe(i.RetType))
			}
			return
		}
		c.value(i.Name+", result", i.Name, result, i.RetType)
	}
}

// changed reports whether the type of the part with this key changed after the release.
func (c *comparison) changed(key string, kinds ...string) bool {
	return slices.ContainsFunc(c.h.Changes, func(x Change) bool {
		return x.Of == key && slices.Contains(kinds, x.Change) && CompareReleases(x.Release, c.release) > 0
	})
}

// value compares a type with QEMU's.
func (c *comparison) value(path, key string, t Type, name string) {
	i := c.infos[name]
	if i == nil {
		c.report(path, "QEMU's type %s is not in its schema", name)
		return
	}
	if i.MetaType == "array" {
		if !t.Array {
			c.typeDiffers(path, key, t, name)
			return
		}
		c.value(path, key, Type{Name: t.Name}, i.ElementType)
		return
	}
	if t.Array {
		c.typeDiffers(path, key, t, name)
		return
	}
	if i.MetaType == "builtin" {
		if builtinJSON(t.Name) != i.JSONType {
			c.typeDiffers(path, key, t, name)
		}
		return
	}
	d := c.s.Type(t.Name)
	same := d != nil && (i.MetaType == string(d.Kind) || i.MetaType == "object" && (d.Kind == Struct || d.Kind == Union))
	if !same {
		c.typeDiffers(path, key, t, name)
		return
	}
	pair := [2]string{t.Name, name}
	if c.seen[pair] {
		return
	}
	c.seen[pair] = true
	switch d.Kind {
	case Enum:
		c.enum(path, d, i)
	case Alternate:
		c.alternate(path, d, i)
	default:
		c.object(path, []string{d.Name}, d, i)
	}
}

// typeDiffers reports two types that differ, unless the type changed after the release.
func (c *comparison) typeDiffers(path, key string, t Type, name string) {
	if !c.changed(key, "type", "kind", "branch-type", "returns") {
		c.report(path, "its type is %s, in QEMU %s", t, c.describe(name))
	}
}

func (c *comparison) describe(name string) string {
	i := c.infos[name]
	switch {
	case i == nil:
		return "unknown"
	case i.MetaType == "builtin":
		return i.JSONType
	case i.MetaType == "array":
		return "an array of " + c.describe(i.ElementType)
	}
	return i.MetaType
}

// builtinJSON returns QEMU's JSON type of a built-in type, or "".
func builtinJSON(name string) string {
	switch builtins[name] {
	case "":
		return ""
	case "string":
		return "string"
	case "bool":
		return "boolean"
	case "float64":
		return "number"
	case "null":
		return "null"
	case "jsontext.Value":
		return "value"
	}
	return "int"
}

func (c *comparison) enum(path string, d *Definition, i *Info) {
	values := slices.Clone(i.Values)
	for _, m := range i.Members {
		values = append(values, m.Name)
	}
	for _, v := range d.Values {
		if !slices.Contains(values, v.Name) {
			c.absent(path+" = "+v.Name, v.If, v.Removed, c.h.Values[d.Name+"."+v.Name])
		}
	}
	for _, v := range values {
		if !slices.ContainsFunc(d.Values, func(x Value) bool { return x.Name == v }) {
			c.report(path+" = "+v, "it is not defined")
		}
	}
}

// alternate compares the alternatives. QEMU tells their types, and not their names.
func (c *comparison) alternate(path string, d *Definition, i *Info) {
	rest := slices.Clone(i.Members)
	for _, b := range d.Branches {
		j := slices.IndexFunc(rest, func(m InfoPart) bool { return c.sameKind(b.Type, m.Type) })
		if j < 0 {
			c.report(path, "QEMU does not have the alternative %s", b.Name)
			continue
		}
		c.value(path, d.Name+"."+b.Name, b.Type, rest[j].Type)
		rest = slices.Delete(rest, j, j+1)
	}
	for _, m := range rest {
		c.report(path, "the alternative %s is not defined", c.describe(m.Type))
	}
}

// sameKind reports whether a type has the same kind of JSON value as QEMU's.
func (c *comparison) sameKind(t Type, name string) bool {
	i := c.infos[name]
	switch {
	case i == nil || t.Array != (i.MetaType == "array"):
		return false
	case t.Array:
		return true
	case i.MetaType == "builtin":
		return builtinJSON(t.Name) == i.JSONType
	}
	d := c.s.Type(t.Name)
	return d != nil && (i.MetaType == "object") == (d.Kind == Struct || d.Kind == Union) && (i.MetaType == "enum") == (d.Kind == Enum)
}

// object compares the members and branches of a struct, a union or arguments. owners are
// the names under which the history may have the members.
func (c *comparison) object(path string, owners []string, d *Definition, i *Info) {
	if i == nil || i.MetaType != "object" {
		c.report(path, "it is an object, in QEMU it is not")
		return
	}
	if d.open() {
		return // QEMU does not tell all of its arguments
	}
	members := c.s.Unfold(d)
	for _, m := range members {
		life, keys := c.lifetime(owners, m.Name)
		j := slices.IndexFunc(i.Members, func(x InfoPart) bool { return x.Name == m.Name })
		at := path + "." + m.Name
		if j < 0 {
			c.absentMember(at, owners[len(owners)-1], d, m, life)
			continue
		}
		part := i.Members[j]
		switch {
		case bool(part.Default) && !m.Optional:
			c.report(at, "it is mandatory, in QEMU optional")
		case !bool(part.Default) && m.Optional && !c.mayBeOptional(d, m, life, keys):
			c.report(at, "it is optional, in QEMU mandatory")
		}
		c.value(at, keys[0], m.Type, part.Type)
	}
	for _, part := range i.Members {
		if !hasMember(members, part.Name) && !c.movedToBranch(d, part.Name) {
			c.report(path+"."+part.Name, "it is not defined")
		}
	}
	c.branches(path, d, i)
}

// absentMember is absent for a member. A discriminator is not there in the releases in
// which its type was not a union.
func (c *comparison) absentMember(at, owner string, d *Definition, m Member, life Lifetime) {
	if m.Name == d.Discriminator && c.changed(owner, "kind") {
		return
	}
	c.absent(at, m.If, m.Removed, life)
}

// movedToBranch reports whether a branch of d has the member, which it had itself before
// it became a union.
func (c *comparison) movedToBranch(d *Definition, name string) bool {
	return d.Kind == Union && c.changed(d.Name, "kind") && c.s.knows(d, name)
}

// lifetime returns the lifetime of a member, and the keys that it may have.
func (c *comparison) lifetime(owners []string, name string) (Lifetime, []string) {
	var life Lifetime
	var keys []string
	for _, owner := range owners {
		key := owner + "." + name
		keys = append(keys, key)
		for _, m := range []map[string]Lifetime{c.h.Arguments, c.h.Members} {
			if l, ok := m[key]; ok && life.Since == "" {
				life = l
			}
		}
	}
	return life, keys
}

// mayBeOptional reports whether a member that this QEMU has as mandatory is optional for
// the sake of another release.
func (c *comparison) mayBeOptional(d *Definition, m Member, life Lifetime, keys []string) bool {
	if m.Removed != "" || life.Since != "" && CompareReleases(life.Since, Oldest) > 0 {
		return true
	}
	return slices.ContainsFunc(c.h.Changes, func(x Change) bool {
		changed := slices.Contains(keys, x.Of) || x.Of == d.Name+"."+m.Name
		return changed && strings.HasPrefix(x.Change, "to-") && CompareReleases(x.Release, Oldest) > 0
	})
}

// branches compares the branches of a union.
func (c *comparison) branches(path string, d *Definition, i *Info) {
	if d.Kind != Union {
		if len(i.Variants) > 0 {
			c.report(path, "it has no branches, in QEMU it has")
		}
		return
	}
	if i.Tag == "" {
		if !c.changed(d.Name, "kind") {
			c.report(path, "it has branches, in QEMU it has none")
		}
		return
	}
	if i.Tag != d.Discriminator {
		c.report(path, "its discriminator is %s, in QEMU %s", d.Discriminator, i.Tag)
	}
	for _, v := range i.Variants {
		at := path + "[" + v.Case + "]"
		j := slices.IndexFunc(d.Branches, func(b Member) bool { return b.Name == v.Case })
		if j >= 0 {
			c.value(at, d.Name+"["+v.Case+"]", d.Branches[j].Type, v.Type)
		} else if o := c.infos[v.Type]; o == nil || len(o.Members) > 0 || len(o.Variants) > 0 {
			c.report(at, "it is not defined")
		}
	}
	for _, b := range d.Branches {
		if !slices.ContainsFunc(i.Variants, func(v InfoPart) bool { return v.Case == b.Name }) {
			c.absent(path+"["+b.Name+"]", b.If, b.Removed, c.h.Branches[d.Name+"["+b.Name+"]"])
		}
	}
}
