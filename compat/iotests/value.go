package iotests

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/proto"
)

// normalize turns v into what JSON is decoded to: Dict, []any, string, bool, nil,
// int64, uint64, *big.Int, float64. Ordered objects stay async.Members, values in
// them are normalized.
func normalize(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, string, int64, uint64, *big.Int, float64:
		return v, nil
	case int:
		return int64(v), nil
	case Dict:
		return normalizeDict(v)
	case []any:
		return normalizeList(v)
	case async.Members:
		out := make(async.Members, len(v))
		for i, m := range v {
			value, err := normalize(m.Value)
			if err != nil {
				return nil, err
			}
			out[i] = async.Member{Name: m.Name, Value: value}
		}
		return out, nil
	}
	// An object around it, since nothing else is encoded.
	raw, err := proto.AppendObject(nil, Dict{"v": v})
	if err != nil {
		return nil, err
	}
	decoded, err := proto.Decode(raw)
	obj, _ := decoded.(Dict)
	return obj["v"], err
}

func normalizeDict(d Dict) (any, error) {
	out := make(Dict, len(d))
	for name, member := range d {
		value, err := normalize(member)
		if err != nil {
			return nil, err
		}
		out[name] = value
	}
	return out, nil
}

func normalizeList(list []any) (any, error) {
	out := make([]any, len(list))
	for i, member := range list {
		value, err := normalize(member)
		if err != nil {
			return nil, err
		}
		out[i] = value
	}
	return out, nil
}

// members returns an object's members, sorted by name unless it has an order of
// its own. ok is false for what is no object.
func members(v any) (ms async.Members, ok bool) {
	switch v := v.(type) {
	case async.Members:
		return v, true
	case Dict:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			ms = append(ms, async.Member{Name: name, Value: v[name]})
		}
		return ms, true
	}
	return nil, false
}

// FormatJSON returns a value as JSON on one line, as QEMU itself writes it: with a
// blank behind commas and colons, in ASCII. Members are sorted by name, unless v
// is an async.Members. What cannot be encoded is shown as Go does.
func FormatJSON(v any) string { return formatJSON(v, "") }

// FormatJSONIndent is FormatJSON over several lines, two blanks a level.
func FormatJSONIndent(v any) string { return formatJSON(v, "\n") }

func formatJSON(v any, newline string) string {
	n, err := normalize(v)
	if err != nil {
		return fmt.Sprintf("%v", v)
	}
	var b strings.Builder
	writeJSON(&b, n, newline)
	return b.String()
}

// writeJSON writes a normalized value. newline is a line end with the indentation
// so far, or "" for all on one line.
func writeJSON(b *strings.Builder, v any, newline string) {
	if ms, ok := members(v); ok {
		writeAll(b, "{}", len(ms), newline, func(i int, inner string) {
			writeText(b, ms[i].Name)
			b.WriteString(": ")
			writeJSON(b, ms[i].Value, inner)
		})
		return
	}
	switch v := v.(type) {
	case []any:
		writeAll(b, "[]", len(v), newline, func(i int, inner string) { writeJSON(b, v[i], inner) })
	case string:
		writeText(b, v)
	case nil:
		b.WriteString("null")
	case float64:
		b.WriteString(formatFloat(v))
	default:
		fmt.Fprint(b, v)
	}
}

// formatFloat returns the shortest text that means v, in the form that Python
// gives it: with an exponent below 1e-4 and from 1e16 on, else with a point.
func formatFloat(v float64) string {
	if size := math.Abs(v); size != 0 && (size < 1e-4 || size >= 1e16) {
		return strconv.FormatFloat(v, 'e', -1, 64)
	}
	text := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(text, ".") && !math.IsNaN(v) {
		text += ".0"
	}
	return text
}

// writeAll writes what an object or a list has between its brackets.
func writeAll(b *strings.Builder, brackets string, n int, newline string, write func(i int, inner string)) {
	b.WriteByte(brackets[0])
	inner, separator := newline, ", "
	if newline != "" {
		inner, separator = newline+"  ", ","
	}
	for i := range n {
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(inner)
		write(i, inner)
	}
	if n > 0 {
		b.WriteString(newline)
	}
	b.WriteByte(brackets[1])
}

// writeText writes a text as JSON, in ASCII.
func writeText(b *strings.Builder, text string) {
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\b':
			b.WriteString(`\b`)
		case r == '\f':
			b.WriteString(`\f`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r >= ' ' && r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
}

// An object collects members as a Python dict does: each name is there once, at
// the place where it came first, with the value that came last.
type object struct {
	members async.Members
	at      map[string]int // the index of each name in members
}

func newObject(size int) *object {
	return &object{members: make(async.Members, 0, size), at: make(map[string]int, size)}
}

func (o *object) set(name string, value any) {
	if i, ok := o.at[name]; ok {
		o.members[i].Value = value
		return
	}
	o.at[name] = len(o.members)
	o.members = append(o.members, async.Member{Name: name, Value: value})
}

// FlattenQMP makes one level of a value of many: members get their whole path as
// a name, parts separated by dots, and lists count from 0. Objects and lists that
// are empty leave nothing. Where two members get the same name, the value of the
// later one is kept, at the place of the earlier one.
func FlattenQMP(v any) async.Members {
	n, err := normalize(v)
	if err != nil {
		n = fmt.Sprint(v)
	}
	flat := newObject(0)
	flatten(n, "", flat)
	return flat.members
}

// flatten adds v to flat. prefix is the path to v with a dot at its end, or "" at
// the top.
func flatten(v any, prefix string, flat *object) {
	if ms, ok := members(v); ok {
		for _, m := range ms {
			flatten(m.Value, prefix+m.Name+".", flat)
		}
		return
	}
	if list, ok := v.([]any); ok {
		for i, member := range list {
			flatten(member, prefix+strconv.Itoa(i)+".", flat)
		}
		return
	}
	flat.set(strings.TrimSuffix(prefix, "."), v)
}

// QMPToOpts returns a value as the text of an option on the command line:
// "driver=qcow2,file.driver=file". Numbers, truth values (on, off) and null (no
// text) are converted. Texts are taken as they are: in one with a comma of its own,
// double it with [machine.Escape].
func QMPToOpts(v any) string {
	var opts []string
	for _, m := range FlattenQMP(v) {
		var text string
		switch v := m.Value.(type) {
		case nil:
		case string:
			text = v
		case bool:
			text = "off"
			if v {
				text = "on"
			}
		default:
			text = fmt.Sprint(v)
		}
		opts = append(opts, m.Name+"="+text)
	}
	return strings.Join(opts, ",")
}

// OrderedQMP returns a message as an iotests log shows it: members sorted by name,
// and underscores in their names turned into dashes. That goes for objects in
// lists, too, but not for objects in objects, whose names may be somebody else's,
// such as the properties of a device. Without dashes the names of v itself stay as
// well. Where two names become one, such as a_b and a-b, the value of the one that
// is sorted last is kept.
func OrderedQMP(v any, dashes bool) any {
	n, err := normalize(v)
	if err != nil {
		return v
	}
	return ordered(n, dashes)
}

func ordered(v any, dashes bool) any {
	if list, ok := v.([]any); ok {
		out := make([]any, len(list))
		for i, member := range list {
			out[i] = ordered(member, true)
		}
		return out
	}
	ms, ok := members(v)
	if !ok {
		return v
	}
	// By the names as they were: a golden file depends on it.
	ms = slices.SortedStableFunc(slices.Values(ms), func(a, b async.Member) int { return strings.Compare(a.Name, b.Name) })
	out := newObject(len(ms))
	for _, m := range ms {
		if dashes {
			m.Name = strings.ReplaceAll(m.Name, "_", "-")
		}
		out.set(m.Name, ordered(m.Value, false))
	}
	return out.members
}
