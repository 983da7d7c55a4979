package qapigen

import (
	"embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// facts holds definitions of QEMU's schema without its prose, and tables of when
// each came and went.
//
//go:embed facts/*.json
var facts embed.FS

// A History says which releases have which part of the schema. Its keys are
// "command", "Type", "Type.member", "command.argument", "Enum.value" and
// "Union[branch]"; members and arguments have their bases unfolded.
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
}

// A Lifetime is the first and the last release that has something.
type Lifetime struct {
	Since      string `json:"since"`
	Until      string `json:"until"`      // "" if the newest has it
	Deprecated string `json:"deprecated"` // first release that says so, or ""
	Doc        string `json:"doc"`        // what the documentation gives as since, or ""
}

// A Change is one difference between two releases that follow each other.
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

// Oldest is the oldest release that the generated code serves.
const Oldest = "7.2"

// ReadFacts reads the definitions and the history of a program from the facts:
// "qemu" or "qga". What older releases had since [Oldest], and the newest has
// lost, is merged in.
func ReadFacts(program string) (*Schema, *History, error) {
	history, err := readHistory(program)
	if err != nil {
		return nil, nil, err
	}
	newest, err := readSchema(program + "-11.1.json")
	if err != nil {
		return nil, nil, err
	}
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

// next returns the release that follows release, or "".
func (h *History) next(release string) string {
	for i, r := range h.Releases[:len(h.Releases)-1] {
		if r == release {
			return h.Releases[i+1]
		}
	}
	return ""
}

// lost returns the first release without what l describes, if that was lost after
// Oldest, and "" otherwise.
func (h *History) lost(l Lifetime) string {
	if l.Until == "" || compareReleases(l.Until, Oldest) < 0 {
		return ""
	}
	return h.next(l.Until)
}

// compareReleases compares "8.2" and "10.0" by their numbers.
func compareReleases(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		x, y := number(as, i), number(bs, i)
		if x != y {
			return x - y
		}
	}
	return 0
}

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
