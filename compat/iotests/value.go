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

// normalize converts v into the types that JSON is decoded to: Dict, []any, string,
// bool, nil, int64, uint64, *big.Int, float64. An async.Members stays one, with its
// values converted.
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
	// AppendObject encodes only objects, so v becomes the member of one.
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

// members returns the members of an object. Those of a Dict are sorted by name, those of
// an async.Members stay in their order. ok is false if v is not an object.
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

// FormatJSON returns a value as JSON on one line, in ASCII, with a blank after each comma
// and colon, as QEMU writes it. Members of an object are sorted by name, except those of
// an async.Members. A value that cannot be encoded is formatted by fmt's %v.
func FormatJSON(v any) string { return formatJSON(v, "") }

// FormatJSONIndent is [FormatJSON] on several lines, indented by two blanks for each
// level.
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

// writeJSON writes a normalized value. newline is a line end with the indentation of the
// present level. If it is "", everything is written on one line.
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

// formatFloat returns the shortest text for v, in Python's form: with an exponent if the
// absolute value is below 1e-4 or at least 1e16, otherwise with a decimal point.
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

// writeAll writes an object or a list of n items, with its brackets. write writes item i;
// inner is newline for the level of the items.
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

// writeText writes a text as a JSON string, in ASCII.
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

// An object collects members as a Python dict does. Each name occurs once: it has the
// place of its first occurrence, and the value of its last.
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

// FlattenQMP turns nested objects and lists into one object. The name of each member is
// its path, the parts separated by dots; the items of a list are counted from 0. Empty
// objects and lists are left out. If two members get the same name, the result has the
// value of the later one at the place of the earlier one.
func FlattenQMP(v any) async.Members {
	n, err := normalize(v)
	if err != nil {
		n = fmt.Sprint(v)
	}
	flat := newObject(0)
	flatten(n, "", flat)
	return flat.members
}

// flatten adds v to flat. prefix is the path to v with a dot at its end. For the
// outermost value it is "".
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

// QMPToOpts returns a value as the text of an option of the command line, such as
// "driver=qcow2,file.driver=file". true and false become on and off, and null becomes an
// empty text. Texts are not changed: if one may have a comma, pass it through
// [machine.Escape] before.
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

// OrderedQMP returns a message as the log of an iotest shows it. The members of all
// objects are sorted by name. Underscores in names become dashes in two places: in v
// itself, if dashes is true, and in objects that are items of a list. Names in objects
// that are values of members stay, since they may be those of a device's properties,
// say. If two names become one, such as a_b and a-b, the member that is sorted last
// wins. A value that cannot be encoded as JSON is returned unchanged.
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
	// Sort by the names before dashes replace underscores, as Python does: golden files
	// depend on that order.
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
