package qapigen

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// A Writer makes random documents that are valid by a schema, for tests. It adds parts
// that another release could have: unknown members, values of enums and branches.
type Writer struct {
	Schema *Schema
	Rand   *rand.Rand

	// Foreign is the probability, in percent, of a part that the schema does not know
	// at each place that may have one.
	Foreign int

	depth int
}

// maxDepth is the depth from which the Writer leaves out what may be left out, so that
// recursive types end.
const maxDepth = 6

// Arguments returns arguments for a command, or data for an event.
func (w *Writer) Arguments(d *Definition) json.RawMessage {
	if d.Data != "" {
		return w.Value(Type{Name: d.Data})
	}
	return w.object(w.Schema.Unfold(d), nil)
}

// Value returns a value of type t.
func (w *Writer) Value(t Type) json.RawMessage {
	if t.Array {
		n := w.Rand.IntN(4)
		if w.depth >= maxDepth {
			n = 0
		}
		elements := make([]string, n)
		for i := range elements {
			elements[i] = string(w.Value(Type{Name: t.Name}))
		}
		return json.RawMessage("[" + strings.Join(elements, ",") + "]")
	}
	if builtins[t.Name] != "" {
		return json.RawMessage(w.builtin(t.Name))
	}
	d := w.Schema.Type(t.Name)
	w.depth++
	defer func() { w.depth-- }()
	switch d.Kind {
	case Enum:
		if w.foreign() || len(d.Values) == 0 {
			return quote("x-value-" + strconv.Itoa(w.Rand.IntN(1000)))
		}
		return quote(d.Values[w.Rand.IntN(len(d.Values))].Name)
	case Alternate:
		branches := d.Branches
		if w.depth > maxDepth {
			branches = slices.DeleteFunc(slices.Clone(branches), func(b Member) bool {
				t := w.Schema.Type(b.Type.Name)
				return t != nil && t.Kind != Enum
			})
		}
		return w.Value(branches[w.Rand.IntN(len(branches))].Type)
	case Union:
		return w.union(d)
	}
	return w.object(w.Schema.Unfold(d), nil)
}

// union returns a value of a union, with one of its branches or without any.
func (w *Writer) union(d *Definition) json.RawMessage {
	base := w.Schema.Unfold(d)
	i := slices.IndexFunc(base, func(m Member) bool { return m.Name == d.Discriminator })
	values := w.Schema.Type(base[i].Type.Name).Values
	value := values[w.Rand.IntN(len(values))].Name
	if w.depth > maxDepth { // a branch that does not nest further
		for _, v := range values {
			j := slices.IndexFunc(d.Branches, func(b Member) bool { return b.Name == v.Name })
			if j < 0 || w.flat(w.Schema.Type(d.Branches[j].Type.Name)) {
				value = v.Name
				break
			}
		}
	}
	if w.foreign() {
		value = "x-branch"
	}
	set := map[string]json.RawMessage{d.Discriminator: quote(value)}
	j := slices.IndexFunc(d.Branches, func(b Member) bool { return b.Name == value })
	if j < 0 {
		return w.object(base, set)
	}
	branch := w.Schema.Type(d.Branches[j].Type.Name)
	if branch.Kind == Union { // its members and those of the base are in one object
		var members map[string]json.RawMessage
		if err := json.Unmarshal(w.Value(Type{Name: branch.Name}), &members); err != nil {
			panic(err) // cannot happen: Value has just made it
		}
		for name, v := range members {
			set[name] = v
		}
		return w.object(base, set)
	}
	return w.object(append(slices.Clone(base), w.Schema.Unfold(branch)...), set)
}

// flat reports whether no mandatory member of d is itself an object.
func (w *Writer) flat(d *Definition) bool {
	if d.Kind != Struct {
		return false
	}
	for _, m := range w.Schema.Unfold(d) {
		if t := w.Schema.Type(m.Type.Name); t != nil && !m.Optional && !m.Type.Array && t.Kind != Enum {
			return false
		}
	}
	return true
}

// object returns an object with the members in random order. set has the values of those
// that are decided already.
func (w *Writer) object(members []Member, set map[string]json.RawMessage) json.RawMessage {
	values := make(map[string]json.RawMessage)
	for name, v := range set {
		values[name] = v
	}
	for _, m := range members {
		if _, given := values[m.Name]; given || m.Optional && (w.depth > maxDepth || w.Rand.IntN(2) == 0) {
			continue
		}
		values[m.Name] = w.Value(m.Type)
	}
	for w.foreign() {
		values["x-member-"+strconv.Itoa(w.Rand.IntN(1000))] = json.RawMessage(w.builtin("any"))
	}
	names := sortedKeys(values)
	w.Rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s:%s", quote(name), values[name])
	}
	b.WriteByte('}')
	return json.RawMessage(b.String())
}

// foreign decides whether to add a part that the schema does not know.
func (w *Writer) foreign() bool { return w.Rand.IntN(100) < w.Foreign }

// builtin returns a value of a built-in type, often one at its limits.
func (w *Writer) builtin(name string) string {
	signed := func(bits int) string {
		return strconv.FormatInt(int64(w.Rand.Uint64())>>(64-bits)>>w.Rand.IntN(bits), 10)
	}
	unsigned := func(bits int) string {
		return strconv.FormatUint(w.Rand.Uint64()>>(64-bits)>>w.Rand.IntN(bits), 10)
	}
	switch name {
	case "bool":
		return strconv.FormatBool(w.Rand.IntN(2) == 0)
	case "number":
		return strconv.FormatFloat(w.Rand.NormFloat64(), 'g', -1, 64)
	case "null":
		return "null"
	case "int", "int64":
		return signed(64)
	case "int8", "int16", "int32":
		bits, _ := strconv.Atoi(name[len("int"):])
		return signed(bits)
	case "uint64", "size":
		return unsigned(64)
	case "uint8", "uint16", "uint32":
		bits, _ := strconv.Atoi(name[len("uint"):])
		return unsigned(bits)
	case "any":
		choices := []string{"null", "true", "1.0", "18446744073709551615", "123456789012345678901234567890", `"text"`, `[1,{"a":null}]`, `{"b":[]}`}
		return choices[w.Rand.IntN(len(choices))]
	}
	texts := []string{"", "a", "node-0", "é", "\"\\/\u2028", "😀"}
	return string(quote(texts[w.Rand.IntN(len(texts))]))
}

func quote(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // cannot happen: a string always encodes
	}
	return b
}
