package catalog

import (
	"context"
	"strings"

	"github.com/goqmp/qmp/cmd/qmp-shell/internal/syntax"
)

// A deviceProperty is an element of the result of device-list-properties.
type deviceProperty struct {
	Name, Type, Description string
}

// openType returns the command that lists the properties of the type of the device or
// object that a command makes, and the type. It returns "" if the command takes no more
// arguments than its definition lists, or if no type is given yet.
func (s *server) openType(at syntax.Cursor) (lister, typ string) {
	switch {
	case len(at.Path) > 1:
	case at.Command == "device_add":
		typ, _ = at.Given["driver"].(string)
		return "device-list-properties", typ
	case at.Command == "object-add" && s.command("object-add") != nil:
		// From 6.0 on the definition lists all properties.
		if info := s.entries[s.command("object-add").ArgType]; info != nil && info.Object != nil && info.Object.Tag == nil {
			typ, _ = at.Given["qom-type"].(string)
			return "qom-list-properties", typ
		}
	}
	return "", ""
}

// properties asks for the properties of a type.
func (c *Catalog) properties(ctx context.Context, s *server, at syntax.Cursor, done *Completion) []name {
	lister, typ := s.openType(at)
	if typ == "" {
		return nil
	}
	r := request{ctx: ctx, live: c.live, server: s}
	names, err := r.once(lister+" "+typ, always, func(r request) ([]name, error) {
		var found []deviceProperty
		err := r.call(lister, map[string]any{"typename": typ}, &found)
		var names []name
		for _, p := range found {
			help := p.Type
			if p.Description != "" && p.Description != p.Type {
				help += ", " + p.Description
			}
			names = append(names, name{text: p.Name, help: help})
		}
		return names, err
	})
	if err != nil {
		done.Note = noAnswer(ctx, err)
	}
	return names
}

// deviceProperties adds the properties of a device to the names of arguments.
func (c *Catalog) deviceProperties(ctx context.Context, s *server, at syntax.Cursor, done *Completion) {
	if len(at.Path) > 0 {
		return
	}
	for _, p := range c.properties(ctx, s, at, done) {
		_, given := at.Given[p.text]
		if !given && strings.HasPrefix(p.text, at.Prefix) && !done.has(p.text) {
			done.Candidates = append(done.Candidates, Candidate{Text: at.Name(p.text), Label: p.text, Help: p.help})
		}
	}
}

// propertyValues adds values of a property of a device.
func (c *Catalog) propertyValues(ctx context.Context, s *server, at syntax.Cursor, done *Completion) {
	for _, p := range c.properties(ctx, s, at, done) {
		if len(at.Path) != 1 || p.text != at.Path[0] {
			continue
		}
		typ, _, _ := strings.Cut(p.help, ",")
		for _, v := range propertyTypes[typ] {
			if strings.HasPrefix(v, at.Prefix) && !done.has(v) {
				text := v
				if typ != "bool" {
					text = at.Value(v)
				}
				done.Candidates = append(done.Candidates, Candidate{Text: text, Label: v, Help: typ, Space: true})
			}
		}
	}
}

// propertyTypes has the values of the types of properties that have few.
var propertyTypes = map[string][]string{
	"bool":        {"true", "false"},
	"OnOffAuto":   {"on", "off", "auto"},
	"on/off/auto": {"on", "off", "auto"},
}

// has reports whether a candidate of this label is there already.
func (d *Completion) has(label string) bool {
	for _, c := range d.Candidates {
		if c.Label == label {
			return true
		}
	}
	return false
}
