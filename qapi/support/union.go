package support

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A UnionError says that a union or an alternate cannot be encoded: none of its
// branches is set, or too many are, or another one than its discriminator says.
// Nothing was sent.
type UnionError struct {
	Union  string   // QAPI's name of the union or alternate
	Member string   // the discriminator, such as "driver"; "" for an alternate
	Value  string   // the discriminator's value, or ""
	Set    []string // the branches that are set
}

func (e *UnionError) Error() string {
	set := "no branch is set"
	switch {
	case len(e.Set) == 1:
		set = "branch " + e.Set[0] + " is set"
	case len(e.Set) > 1:
		set = "branches " + strings.Join(e.Set, " and ") + " are set"
	}
	switch {
	case e.Value != "":
		return fmt.Sprintf("%s: %s is %q, but %s", e.Union, e.Member, e.Value, set)
	case e.Member != "":
		return fmt.Sprintf("%s: %s is empty, and %s; set one branch, or %s", e.Union, e.Member, set, e.Member)
	}
	return fmt.Sprintf("%s: %s; set exactly one", e.Union, set)
}

// Branches collects the branches of a union that is encoded.
type Branches struct {
	Union  string
	Member string // the discriminator
	Value  string // its value

	known bool // Value has a branch
	name  string
	value any
	more  []string // further branches that are set
}

// Add tells of one branch.
func (b *Branches) Add(name string, set bool, value any) {
	if name == b.Value {
		b.known = true
	}
	switch {
	case !set:
	case b.value == nil:
		b.name, b.value = name, value
	default:
		b.more = append(b.more, name)
	}
}

// Encode puts the members of the branch into unknown, beside which the members of
// the base are encoded, and returns the value of the discriminator.
func (b *Branches) Encode(enc *jsontext.Encoder, unknown *jsontext.Value) (string, error) {
	if b.value == nil {
		// A release in which the type was not a union yet sends members alone.
		if b.known || b.Value == "" && len(*unknown) == 0 {
			return "", b.fault()
		}
		return b.Value, nil
	}
	if b.more != nil || b.Value != "" && b.Value != b.name {
		return "", b.fault()
	}
	members, err := json.Marshal(b.value, enc.Options())
	if err != nil {
		return "", err
	}
	if len(*unknown) > 0 {
		members = join(members, *unknown)
	}
	*unknown = members
	return b.name, nil
}

func (b *Branches) fault() error {
	e := &UnionError{Union: b.Union, Member: b.Member, Value: b.Value}
	if b.value != nil {
		e.Set = append([]string{b.name}, b.more...)
	}
	return e
}

// join returns one object with the members of two.
func join(a, b jsontext.Value) jsontext.Value {
	a, b = trim(a), trim(b)
	switch {
	case len(a) <= len("{}"):
		return b
	case len(b) <= len("{}"):
		return a
	}
	out := append(a[:len(a)-1:len(a)-1], ',')
	return append(out, b[1:]...)
}

func trim(v jsontext.Value) jsontext.Value {
	return jsontext.Value(strings.TrimSpace(string(v)))
}

// DecodeBranch decodes the members that are not the base's into a new branch.
func DecodeBranch[T any](dec *jsontext.Decoder, unknown *jsontext.Value, branch **T) error {
	members := *unknown
	*unknown = nil
	if len(members) == 0 {
		members = jsontext.Value("{}")
	}
	*branch = new(T)
	return json.Unmarshal(members, *branch, dec.Options())
}

// Alternate collects the fields of an alternate that is encoded.
type Alternate struct {
	Name string

	set   []string
	value any
}

// Add tells of one field.
func (a *Alternate) Add(name string, set bool, value any) {
	if set {
		a.set, a.value = append(a.set, name), value
	}
}

// AddNull tells whether the alternate is null.
func (a *Alternate) AddNull(null bool) { a.Add("null", null, jsontext.Value("null")) }

// AddUnknown tells of the value of a kind that the schema does not know.
func (a *Alternate) AddUnknown(v jsontext.Value) { a.Add("Unknown", v != nil, v) }

// Encode writes the one field that is set.
func (a *Alternate) Encode(enc *jsontext.Encoder) error {
	if len(a.set) != 1 {
		return &UnionError{Union: a.Name, Set: a.set}
	}
	return json.MarshalEncode(enc, a.value)
}
