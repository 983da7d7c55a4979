package qapigen

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A Kind says which kind of definition it is.
type Kind string

// The kinds of definition (QEMU, "How to use the QAPI code generator").
const (
	Struct    Kind = "struct"
	Union     Kind = "union"
	Alternate Kind = "alternate"
	Enum      Kind = "enum"
	Command   Kind = "command"
	Event     Kind = "event"
)

// A Schema is a set of definitions, in the order in which they were read.
type Schema struct {
	Release string        `json:"release"` // of QEMU, such as "11.1"; "" if unknown
	Program string        `json:"program"` // "qemu-system" or "qemu-ga"
	Defs    []*Definition `json:"definitions"`

	// Renamed has the new names of types by their old ones, of renamings that the
	// history does not have.
	Renamed map[string]string `json:"renamed"`
}

// A Definition is one type, command or event.
type Definition struct {
	Kind     Kind      `json:"kind"`
	Name     string    `json:"name"`
	Module   string    `json:"module"`
	Since    string    `json:"since"` // the first release that has it, "" if unknown
	If       Condition `json:"if"`
	Features []Feature `json:"features"`

	Base          string   `json:"base"`          // of structs and unions: the struct whose members come first
	Members       []Member `json:"members"`       // of structs, unions, arguments and event data
	Discriminator string   `json:"discriminator"` // of unions: the member that selects the branch
	Branches      []Member `json:"branches"`      // of unions and alternates
	Values        []Value  `json:"values"`        // of enums

	Data            string `json:"data"` // the type that has the arguments or the event data, in place of Members
	Returns         Type   `json:"returns"`
	Boxed           bool   `json:"boxed"`
	AllowOOB        bool   `json:"allow-oob"`
	AllowPreconfig  bool   `json:"allow-preconfig"`
	Coroutine       bool   `json:"coroutine"`
	Gen             *bool  `json:"gen"`              // false: the command takes arguments that Members does not list; nil means true
	SuccessResponse *bool  `json:"success-response"` // false: QEMU does not reply after success; nil means true

	// Removed is the first release that no longer has it, "" if the newest one does.
	Removed string `json:"removed"`

	file string // the schema file that has it, "" if it does not come from one
	place
}

// A Member is a member of a struct, an argument of a command, or a branch.
type Member struct {
	Name     string    `json:"name"`
	Type     Type      `json:"type"`
	Optional bool      `json:"optional"`
	If       Condition `json:"if"`
	Features []Feature `json:"features"`
	Since    string    `json:"since"`
	Removed  string    `json:"removed"`
}

// A Value is a value of an enum.
type Value struct {
	Name     string    `json:"name"`
	If       Condition `json:"if"`
	Features []Feature `json:"features"`
	Since    string    `json:"since"`
	Removed  string    `json:"removed"`
}

// A Feature is a word that a definition carries, such as "deprecated" or
// "unstable".
type Feature struct {
	Name string    `json:"name"`
	If   Condition `json:"if"`
}

// A Type is the name of a type, or an array of it.
type Type struct {
	Name  string
	Array bool
}

// UnmarshalJSON reads "name" or ["name"].
func (t *Type) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &t.Name); err == nil {
		return nil
	}
	var names []string
	if err := json.Unmarshal(b, &names); err != nil || len(names) != 1 {
		return fmt.Errorf("type %s: want a name, or an array with one name", b)
	}
	t.Name, t.Array = names[0], true
	return nil
}

func (t Type) String() string {
	if t.Array {
		return "[" + t.Name + "]"
	}
	return t.Name
}

// A Condition is a build condition of the schema (its member "if"), as text for people:
// "CONFIG_LINUX", "not CONFIG_X", "A and B". "" means always.
type Condition string

// UnmarshalJSON reads a name, or {"all": [...]}, {"any": [...]}, {"not": ...}.
func (c *Condition) UnmarshalJSON(b []byte) error {
	var name string
	if err := json.Unmarshal(b, &name); err == nil {
		*c = Condition(name)
		return nil
	}
	var tree struct {
		All []Condition `json:"all"`
		Any []Condition `json:"any"`
		Not Condition   `json:"not"`
	}
	if err := json.Unmarshal(b, &tree); err != nil {
		return fmt.Errorf("condition %s: %w", b, err)
	}
	switch {
	case tree.All != nil:
		*c = joinConditions(tree.All, " and ")
	case tree.Any != nil:
		*c = joinConditions(tree.Any, " or ")
	case tree.Not != "":
		*c = "not " + tree.Not.parenthesized()
	default:
		return fmt.Errorf("condition %s: want a name, all, any or not", b)
	}
	return nil
}

// joinConditions joins the conditions with the word, " and " or " or ".
func joinConditions(cs []Condition, word string) Condition {
	if len(cs) == 1 {
		return cs[0]
	}
	parts := make([]string, len(cs))
	for i, c := range cs {
		parts[i] = string(c.parenthesized())
	}
	return Condition(strings.Join(parts, word))
}

// parenthesized returns c in parentheses if it contains " and " or " or ".
func (c Condition) parenthesized() Condition {
	if strings.Contains(string(c), " and ") || strings.Contains(string(c), " or ") {
		return "(" + c + ")"
	}
	return c
}

// has reports whether fs holds the feature name.
func has(fs []Feature, name string) bool {
	for _, f := range fs {
		if f.Name == name {
			return true
		}
	}
	return false
}

// find returns the definition that has the name and one of the kinds, or nil. The kinds
// matter because a command and a type may have the same name.
func (s *Schema) find(name string, kinds ...Kind) *Definition {
	for _, d := range s.Defs {
		if d.Name != name {
			continue
		}
		for _, k := range kinds {
			if d.Kind == k {
				return d
			}
		}
	}
	return nil
}

// typeKinds are the kinds that a member's type can be.
var typeKinds = []Kind{Struct, Union, Alternate, Enum}

// Type returns the definition of the type name, or nil.
func (s *Schema) Type(name string) *Definition { return s.find(name, typeKinds...) }

// Command returns the definition of the command name, or nil.
func (s *Schema) Command(name string) *Definition { return s.find(name, Command) }

// Event returns the definition of the event name, or nil.
func (s *Schema) Event(name string) *Definition { return s.find(name, Event) }

// builtins maps QAPI's built-in types to Go's.
var builtins = map[string]string{
	"str": "string", "bool": "bool", "number": "float64", "any": "jsontext.Value",
	"int": "int64", "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64",
	"uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "uint64": "uint64", "size": "uint64",
	"null": "null", "QType": "string",
}
