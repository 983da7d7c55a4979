package support

import (
	"bytes"
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

// Encode writes one object: the discriminator, the members of base, and those of the
// branch that is set. base points to the union without its methods; extra is its Extra.
// The error is a [*UnionError], or that of encoding.
func (b *Branches) Encode(enc *jsontext.Encoder, base any, extra *Extra) error {
	if b.value == nil {
		// Without a branch the members are in extra. That is right in two cases:
		// Value names a branch that the schema does not know, or the value comes from
		// an older release, in which the type was not a union and had no
		// discriminator.
		if b.known || b.Value == "" && len(extra.Unknown()) == 0 {
			return b.fault()
		}
		return json.MarshalEncode(enc, base)
	}
	if b.more != nil || b.Value != "" && b.Value != b.name {
		return b.fault()
	}
	buf := getBuffer()
	defer putBuffer(buf)
	options := enc.Options()
	if b.Value == "" { // QAPI's names need no escapes
		buf.WriteString(`{"`)
		buf.WriteString(b.Member)
		buf.WriteString(`":"`)
		buf.WriteString(b.name)
		buf.WriteString(`"}`)
	}
	if err := appendObject(buf, base, options); err != nil {
		return err
	}
	if err := appendObject(buf, b.value, options); err != nil {
		return err
	}
	return enc.WriteValue(buf.Bytes())
}

// appendObject adds the members of v to the object in buf, which may be empty.
func appendObject(buf *bytes.Buffer, v any, options json.Options) error {
	begin := buf.Len()
	if err := json.MarshalWrite(buf, v, options); err != nil {
		return err
	}
	text := buf.Bytes()
	first, second := text[:begin], text[begin:]
	switch {
	case begin == 0:
	case isEmpty(second):
		buf.Truncate(begin)
	case isEmpty(first):
		for i := range first {
			first[i] = ' '
		}
	default:
		first[begin-1], second[0] = ' ', ','
	}
	return nil
}

// isEmpty reports whether the text of an object has no members.
func isEmpty(object []byte) bool {
	object = bytes.TrimSpace(object)
	return len(object) < 2 || len(bytes.TrimSpace(object[1:len(object)-1])) == 0
}

// fault returns the error about the branches that are set.
func (b *Branches) fault() error {
	e := &UnionError{Union: b.Union, Member: b.Member, Value: b.Value}
	if b.value != nil {
		e.Set = append([]string{b.name}, b.more...)
	}
	return e
}

// DecodeBranch decodes the members in *extra, which the base of a union does not have,
// into a new branch. *extra comes from [Scratch], and is nil after the call.
func DecodeBranch[T any](dec *jsontext.Decoder, extra **Extra, branch **T) error {
	scratch := *extra
	*extra = nil
	*branch = new(T)
	if len(scratch.Members) == 0 {
		return nil
	}
	err := json.Unmarshal(scratch.Members, *branch, dec.Options())
	putScratch(scratch)
	return err
}

// Alternate collects the fields of an alternate while a generated method encodes it.
// Set Name, call Add, AddNull or AddUnknown for every field, and then Encode.
type Alternate struct {
	Name string // QAPI's name of the alternate

	name  string   // the first field that is set
	value any      // its value
	more  []string // the other fields that are set
}

// Add adds one field: its name in QAPI, whether it is set, and its value.
func (a *Alternate) Add(name string, set bool, value any) {
	switch {
	case !set:
	case a.name == "":
		a.name, a.value = name, value
	default:
		a.more = append(a.more, name)
	}
}

// AddNull adds the alternative null. null says whether the alternate is null.
func (a *Alternate) AddNull(null bool) { a.Add("null", null, nil) }

// AddUnknown adds v, a value of a kind that the schema does not have, or nil.
func (a *Alternate) AddUnknown(v jsontext.Value) {
	if v != nil {
		a.Add("Unknown", true, v)
	}
}

// Encode writes the one field that is set. If not exactly one is set, the error is a
// [*UnionError].
func (a *Alternate) Encode(enc *jsontext.Encoder) error {
	switch {
	case a.name == "":
		return &UnionError{Union: a.Name}
	case a.more != nil:
		return &UnionError{Union: a.Name, Set: append([]string{a.name}, a.more...)}
	}
	return json.MarshalEncode(enc, a.value)
}
