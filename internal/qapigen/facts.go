package qapigen

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// facts has the definitions of QEMU's schema, without their text, and tables of the
// first and the last release that has each.
//
//go:embed facts/*.json
var facts embed.FS

// A History says which releases have which part of the schema. The keys of its maps are
// "command", "Type", "Type.member", "command.argument", "Enum.value" and
// "Union[branch]". The members of a base stand under the types and commands that use
// it.
type History struct {
	Releases  []string            `json:"releases"` // oldest first
	Commands  map[string]Lifetime `json:"commands"`
	Events    map[string]Lifetime `json:"events"`
	Types     map[string]Lifetime `json:"types"`
	Members   map[string]Lifetime `json:"members"`
	Arguments map[string]Lifetime `json:"arguments"`
	Values    map[string]Lifetime `json:"values"`
	Branches  map[string]Lifetime `json:"branches"`

	Changes []Change `json:"-"`

	renamed map[string]string // the new names of types by their old ones
}

// A Lifetime has the first and the last release that has a part.
type Lifetime struct {
	Since      string `json:"since"`      // the first of the compared releases that has it
	Until      string `json:"until"`      // "" if the newest has it
	Deprecated string `json:"deprecated"` // the first release that deprecates it, or ""
	Doc        string `json:"doc"`        // the first release by QEMU's documentation, or ""
}

// A Change is one difference between a release and the one before it.
type Change struct {
	Release string `json:"release"`
	Change  string `json:"change"`
	Of      string `json:"of"`
	In      string `json:"in"`
	From    Type   `json:"-"`
	To      string `json:"-"`

	RawFrom string `json:"from"`
	RawTo   any    `json:"to"`
}

// Oldest is the oldest release that the generated code supports.
const Oldest = "7.2"

// ReadFacts reads the definitions and the history of a program from the facts. program
// is "qemu" or "qga". The schema also has the parts that some release from [Oldest] on
// has and the newest one does not.
func ReadFacts(program string) (*Schema, *History, error) {
	history, err := readHistory(program)
	if err != nil {
		return nil, nil, err
	}
	newest, err := readSchema(program + "-11.1.json")
	if err != nil {
		return nil, nil, err
	}
	history.rename(newest.Renamed)
	older := []string{program + "-10.0.json"}
	if program == "qemu" {
		older = append(older, "qemu-7.2-lost.json")
	}
	for _, name := range older {
		old, err := readSchema(name)
		if err != nil {
			return nil, nil, err
		}
		merge(newest, old, history)
	}
	newest.restoreMembers(history)
	newest.restoreValues(history)
	newest.relax(history)
	return newest, history, newest.check()
}

func readSchema(name string) (*Schema, error) {
	s := new(Schema)
	if err := readJSON(name, s); err != nil {
		return nil, err
	}
	return s, nil
}

func readHistory(program string) (*History, error) {
	h, name, changes := new(History), "since.json", "qemu"
	if program == "qga" {
		name, changes = "since-qga.json", "ga"
	}
	if err := readJSON(name, h); err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := readJSON("changes.json", &all); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(all[changes], &h.Changes); err != nil {
		return nil, fmt.Errorf("facts: changes.json, %s: %w", changes, err)
	}
	for i := range h.Changes {
		c := &h.Changes[i]
		name := strings.TrimSuffix(strings.TrimPrefix(c.RawFrom, "["), "]")
		c.From = Type{Name: name, Array: name != c.RawFrom}
		c.To, _ = c.RawTo.(string)
	}
	return h, nil
}

// rename stores the new names of types, by their old ones. What the history says about an
// old name then holds for the new one.
func (h *History) rename(to map[string]string) {
	h.renamed = maps.Clone(to)
	for _, part := range []map[string]Lifetime{h.Types, h.Members, h.Values, h.Branches} {
		for key, old := range maps.Clone(part) {
			name := key
			if i := strings.IndexAny(key, ".["); i >= 0 {
				name = key[:i]
			}
			if to[name] == "" {
				continue
			}
			key = to[name] + key[len(name):]
			now, ok := part[key]
			if !ok {
				part[key] = old // a part that was removed before the type was renamed
				continue
			}
			now.Since = old.Since
			if now.Doc == "" {
				now.Doc = old.Doc
			}
			part[key] = now
		}
	}
}

func readJSON(name string, v any) error {
	b, err := facts.ReadFile("facts/" + name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("facts: %s: %w", name, err)
	}
	return nil
}

// next returns the release after release, or "" if there is none.
func (h *History) next(release string) string {
	for i, r := range h.Releases[:len(h.Releases)-1] {
		if r == release {
			return h.Releases[i+1]
		}
	}
	return ""
}

// lost returns the first release that no longer has the part with lifetime l. It
// returns "" if the newest release has the part, or if Oldest did not have it any more.
func (h *History) lost(l Lifetime) string {
	if l.Until == "" || CompareReleases(l.Until, Oldest) < 0 {
		return ""
	}
	return h.next(l.Until)
}

// CompareReleases compares "8.2" and "10.0" by their numbers.
func CompareReleases(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		x, y := number(as, i), number(bs, i)
		if x != y {
			return x - y
		}
	}
	return 0
}

// number returns the number in parts[i], or 0.
func number(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, err := strconv.Atoi(parts[i])
	if err != nil {
		return 0
	}
	return n
}
