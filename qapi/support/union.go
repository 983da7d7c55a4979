package support

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A UnionError says that a union or an alternate cannot be encoded: no branch is set,
// several branches are set, or the branch that is set is not the one that the
// discriminator names. Nothing was sent.
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

// Branches collects the branches of a union while a generated method encodes it. Set
// the exported fields, call Add for every branch of the union, and then Encode.
type Branches struct {
	Union  string // QAPI's name of the union
	Member string // QAPI's name of the discriminator
	Value  string // the discriminator's value, or ""

	known bool     // whether Value is the name of a branch
	name  string   // the first branch that is set
	value any      // its value; nil if no branch is set
	more  []string // the other branches that are set
}

// Add adds one branch: its name in QAPI, whether it is set, and its value.
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

// Encode encodes the branch that is set and adds its members to unknown, which the
// caller encodes together with the members of the base. It returns the value of the
// discriminator. The error is a [*UnionError], or that of encoding the branch.
func (b *Branches) Encode(enc *jsontext.Encoder, unknown *jsontext.Value) (string, error) {
	if b.value == nil {
		// Without a branch the members are in unknown. That is right in two cases:
		// Value names a branch that the schema does not know, or the value comes from
		// an older release, in which the type was not a union and had no
		// discriminator.
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

// fault returns the error about the branches that are set.
func (b *Branches) fault() error {
	e := &UnionError{Union: b.Union, Member: b.Member, Value: b.Value}
	if b.value != nil {
		e.Set = append([]string{b.name}, b.more...)
	}
	return e
}

// join returns one object that has the members of both a and b.
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

// trim returns v without the white space around it.
func trim(v jsontext.Value) jsontext.Value {
	return jsontext.Value(strings.TrimSpace(string(v)))
}

// DecodeBranch decodes unknown, the members that the base does not have, into a new
// branch. After it unknown is empty.
func DecodeBranch[T any](dec *jsontext.Decoder, unknown *jsontext.Value, branch **T) error {
	members := *unknown
	*unknown = nil
	if len(members) == 0 {
		members = jsontext.Value("{}")
	}
	*branch = new(T)
	return json.Unmarshal(members, *branch, dec.Options())
}

// Alternate collects the fields of an alternate while a generated method encodes it.
// Set Name, call Add, AddNull or AddUnknown for every field, and then Encode.
type Alternate struct {
	Name string // QAPI's name of the alternate

	set   []string // the fields that are set
	value any      // the value of the last of these
}

// Add adds one field: its name in QAPI, whether it is set, and its value.
func (a *Alternate) Add(name string, set bool, value any) {
	if set {
		a.set, a.value = append(a.set, name), value
	}
}

// AddNull adds the alternative null. null says whether the alternate is null.
func (a *Alternate) AddNull(null bool) { a.Add("null", null, jsontext.Value("null")) }

// AddUnknown adds v, a value of a kind that the schema does not have, or nil.
func (a *Alternate) AddUnknown(v jsontext.Value) { a.Add("Unknown", v != nil, v) }

// Encode writes the one field that is set. If not exactly one is set, the error is a
// [*UnionError].
func (a *Alternate) Encode(enc *jsontext.Encoder) error {
	if len(a.set) != 1 {
		return &UnionError{Union: a.Name, Set: a.set}
	}
	return json.MarshalEncode(enc, a.value)
}
