package record

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goqmp/qmp/internal/proto"
)

// masked is what stands for a secret in a recording.
const masked = `"***"`

// A comparison compares a message of a recording with one that a client sends.
type comparison struct {
	masked bool     // "***" in the recording matches any value
	ignore []string // names of members that are not compared
}

// difference returns the path to the first difference, and what it is, or "". The order
// of members does not count. path is that of the two values.
func (c *comparison) difference(path string, recorded, sent []byte) string {
	switch {
	case c.masked && string(recorded) == masked:
		return ""
	case proto.IsObject(recorded) && proto.IsObject(sent):
		return c.members(path, recorded, sent)
	case proto.IsArray(recorded) && proto.IsArray(sent):
		return c.elements(path, recorded, sent)
	}
	want, isText := proto.Text(recorded)
	got, both := proto.Text(sent)
	if isText && both && want == got || string(recorded) == string(sent) {
		return ""
	}
	return fmt.Sprintf("%s is %s, not %s", orWhole(path), shorten(sent), shorten(recorded))
}

func (c *comparison) members(path string, recorded, sent []byte) string {
	want, got := c.fields(recorded, path == ""), c.fields(sent, path == "")
	for _, w := range want {
		i := slices.IndexFunc(got, func(g field) bool { return g.name == w.name })
		if i < 0 {
			return fmt.Sprintf("%s is missing", join(path, w.name))
		}
		if d := c.difference(join(path, w.name), w.value, got[i].value); d != "" {
			return d
		}
		got = slices.Delete(got, i, i+1)
	}
	if len(got) > 0 {
		return fmt.Sprintf("%s is not in the recording", join(path, got[0].name))
	}
	return ""
}

func (c *comparison) elements(path string, recorded, sent []byte) string {
	want, got := elements(recorded), elements(sent)
	for i := range min(len(want), len(got)) {
		if d := c.difference(path+"["+strconv.Itoa(i)+"]", want[i], got[i]); d != "" {
			return d
		}
	}
	if len(want) != len(got) {
		return fmt.Sprintf("%s has %d elements, not %d", orWhole(path), len(got), len(want))
	}
	return ""
}

// A field is one member of an object.
type field struct {
	name  string
	value []byte
}

// fields returns the members of obj that are compared. whole says that obj is a whole
// message, whose id is not compared.
func (c *comparison) fields(obj []byte, whole bool) (list []field) {
	proto.Members(obj, func(name string, value []byte) bool {
		if !(whole && name == "id") && !slices.Contains(c.ignore, name) {
			list = append(list, field{name, value})
		}
		return true
	})
	return list
}

func elements(arr []byte) (list [][]byte) {
	proto.Elements(arr, func(value []byte) bool {
		list = append(list, value)
		return true
	})
	return list
}

// hide returns sent, with each value replaced by "***" that is masked in the recording,
// for errors.
func hide(recorded, sent []byte) []byte {
	switch {
	case string(recorded) == masked:
		return recorded
	case proto.IsObject(recorded) && proto.IsObject(sent):
		return replaceMembers(sent, func(name string, value []byte) []byte {
			proto.Members(recorded, func(other string, was []byte) bool {
				if other == name {
					value = hide(was, value)
				}
				return true
			})
			return value
		})
	case proto.IsArray(recorded) && proto.IsArray(sent):
		want, parts := elements(recorded), []string{}
		for i, value := range elements(sent) {
			if i < len(want) {
				value = hide(want[i], value)
			}
			parts = append(parts, string(value))
		}
		return []byte("[" + strings.Join(parts, ",") + "]")
	}
	return sent
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func orWhole(path string) string {
	if path == "" {
		return "the message"
	}
	return path
}
