package syntax

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/internal/proto"
)

// A Place is what a person types at the cursor.
type Place int

const (
	Nowhere     Place = iota // nothing that can be completed, such as a comment
	CommandName              // the name of a command
	Name                     // the name of an argument, or of a member in it
	Value                    // the value of an argument, or of a member in it
)

// A Cursor says what a person types at a position of a text. Everything is seen as
// arguments of one command: the name of the second action of a transaction is the value
// at the path actions, 1, type.
type Cursor struct {
	Place   Place
	Command string // the command; "" if Place is CommandName or Nowhere

	// Path leads from the command's arguments to the object whose member is typed, if
	// Place is Name; or to the value that is typed. The elements of lists are numbers.
	Path []string

	Prefix     string // what is typed before the cursor, without quotes and escapes
	Start, End int    // the part of the text that has this prefix; End is the cursor

	// Given has the arguments that the text has already, without what is typed at the
	// cursor, in the types of JSON: map[string]any, []any, string and so on. A list may
	// be a map with the numbers of its elements as keys. In an []any, nil stands for an
	// element that is not known.
	Given map[string]any

	Quote   byte // the quote in which the cursor is, or 0
	Literal bool // whether the cursor is in an object or a list of JSON
}

// At returns what a person types at an offset of text. A wrong text does not make it fail:
// the result says as much as can be known.
func At(text string, cursor int) Cursor {
	cursor = min(max(cursor, 0), len(text))
	c := Cursor{Start: cursor, End: cursor}
	before := words(text[:cursor])
	if inComment(text[:cursor]) {
		return c
	}
	typed := word{start: cursor, end: cursor, eq: -1, line: strings.TrimSpace(text[lineStart(text, cursor):cursor]) == ""}
	if n := len(before) - 1; n >= 0 && before[n].end == cursor && before[n].kind == plain {
		typed, before = before[n], before[:n]
	}
	if len(before) == 0 && strings.HasPrefix(text[typed.start:cursor], "{") {
		return c.inMessage(text, typed)
	}
	if len(before) > 0 && text[before[0].start:before[0].end] == "exec-oob" {
		before = before[1:]
	}
	if len(before) == 0 {
		if typed.eq < 0 {
			c.Place, c.Start, c.Prefix = CommandName, typed.start, text[typed.start:cursor]
		}
		return c
	}
	c.Command = text[before[0].start:before[0].end]
	after := following(text, typed, cursor)
	if len(before) > 1 && before[1].kind == opening && c.Command == "transaction" {
		return c.inTransaction(text, typed, before[2:], after)
	}
	if slices.ContainsFunc(before, func(w word) bool { return w.kind != plain }) {
		return Cursor{Start: cursor, End: cursor}
	}
	c.Given = given(text, slices.Concat(before[1:], after))
	return c.inArguments(text, typed, len(before) == 1)
}

// inComment reports whether the last line of text is a comment.
func inComment(text string) bool {
	line := strings.TrimLeft(text[lineStart(text, len(text)):], " \t\r")
	if !strings.HasPrefix(line, "#") {
		return false
	}
	ws := words(text[:len(text)-len(line)])
	return len(ws) == 0 || !ws[len(ws)-1].open
}

func lineStart(text string, i int) int { return strings.LastIndexByte(text[:i], '\n') + 1 }

// following returns the words after the one that is typed at the cursor.
func following(text string, typed word, cursor int) []word {
	if typed.open {
		return nil
	}
	for cursor < len(text) && !isSpace(text[cursor]) {
		cursor++
	}
	after := words(text[cursor:])
	for i := range after {
		after[i].start += cursor
		after[i].end += cursor
		if after[i].eq >= 0 {
			after[i].eq += cursor
		}
	}
	return after
}

// given returns the arguments that ws has, as far as it is key=value pairs.
func given(text string, ws []word) map[string]any {
	args := &tree{}
	p := &parser{text: text}
	for i, w := range ws {
		if i == 0 && strings.HasPrefix(text[w.start:w.end], "{") {
			if object, ok := decode(text, w.start).(map[string]any); ok {
				return object
			}
		}
		if w.eq <= w.start {
			continue
		}
		if value, err := p.value(w); err == nil {
			// A key that contradicts another one is left out.
			_ = args.set(p, w.start, strings.Split(text[w.start:w.eq], "."), value)
		}
	}
	object, _ := args.decoded().(map[string]any)
	return object
}

// decode returns the literal that begins at start, or nil if it is wrong.
func decode(text string, start int) any {
	lit := literal{text: text, pos: start}
	raw, err := lit.value(nil, 0)
	if err != nil {
		return nil
	}
	v, err := proto.Decode(raw)
	if err != nil {
		return nil
	}
	return v
}

// inTransaction is At after "transaction(". before has the words after that.
func (c Cursor) inTransaction(text string, typed word, before, after []word) Cursor {
	if slices.ContainsFunc(before, func(w word) bool { return w.kind != plain }) {
		return Cursor{Start: c.End, End: c.End} // after the ")"
	}
	var actions []any
	begin := 0 // where the words of the last action begin
	for i, w := range before {
		if w.eq < 0 && !strings.HasPrefix(text[w.start:w.end], "{") {
			actions = append(actions, map[string]any{"type": text[w.start:w.end]})
			begin = i
		}
	}
	if typed.eq < 0 && (typed.line || len(actions) == 0) {
		c.Place, c.Path = Value, []string{"actions", itoa(len(actions)), "type"}
		c.Start, c.Prefix = typed.start, text[typed.start:c.End]
		c.Given = map[string]any{"actions": append(actions, map[string]any{})}
		return c
	}
	if end := slices.IndexFunc(after, func(w word) bool { return w.eq < 0 }); end >= 0 {
		after = after[:end]
	}
	if len(actions) == 0 {
		return c
	}
	action := actions[len(actions)-1].(map[string]any)
	data := given(text, slices.Concat(before[begin+1:], after))
	if data == nil {
		data = map[string]any{}
	}
	action["data"] = data
	c.Path = []string{"actions", itoa(len(actions) - 1), "data"}
	c.Given = map[string]any{"actions": actions}
	return c.inArguments(text, typed, begin+1 == len(before))
}

// inArguments is At where arguments stand. first says that no argument comes before.
func (c Cursor) inArguments(text string, typed word, first bool) Cursor {
	begin := typed.start
	if typed.eq >= 0 {
		c.Path = slices.Concat(c.Path, strings.Split(text[typed.start:typed.eq], "."))
		begin = typed.eq + 1
	}
	switch value := text[begin:c.End]; {
	case typed.eq < 0 && strings.HasPrefix(value, "{") && first, typed.eq >= 0 && value != "" && strings.IndexByte("{[", value[0]) >= 0:
		return c.inLiteral(text, begin)
	case typed.eq < 0:
		dot := strings.LastIndexByte(value, '.') + 1
		c.Place, c.Start, c.Prefix = Name, begin+dot, value[dot:]
		if dot > 0 {
			c.Path = slices.Concat(c.Path, strings.Split(value[:dot-1], "."))
		}
	case value != "" && (value[0] == '"' || value[0] == '\''):
		if !typed.open {
			return Cursor{Start: c.End, End: c.End} // after the closing quote
		}
		c.Place, c.Start, c.Quote = Value, begin+1, value[0]
		c.Prefix = lenient(value)
	default:
		c.Place, c.Start, c.Prefix = Value, begin, value
	}
	return c
}

// inMessage is At in a whole message.
func (c Cursor) inMessage(text string, typed word) Cursor {
	c = c.inLiteral(text, typed.start)
	message := c.Given
	for _, name := range []string{"execute", "exec-oob"} {
		if s, ok := message[name].(string); ok {
			c.Command = s
		}
		if c.Place == Value && slices.Equal(c.Path, []string{name}) {
			c.Place, c.Path, c.Given, c.Command = CommandName, nil, nil, ""
			return c
		}
	}
	if len(c.Path) == 0 || c.Path[0] != "arguments" || c.Command == "" {
		return Cursor{Start: c.End, End: c.End}
	}
	c.Path = c.Path[1:]
	c.Given, _ = message["arguments"].(map[string]any)
	return c
}

// lenient returns the text of a quoted text that has no end yet.
func lenient(quoted string) string {
	for {
		lit := literal{text: quoted + quoted[:1]}
		if s, err := lit.string(); err == nil {
			return s
		}
		if len(quoted) == 1 {
			return ""
		}
		quoted = quoted[:len(quoted)-1] // it ends in the middle of an escape
	}
}

// Name returns how the name of a member is written at the cursor, so that its value can
// follow.
func (c Cursor) Name(name string) string {
	switch {
	case c.Quote != 0:
		return inQuotes(name, c.Quote) + string(c.Quote) + ": "
	case c.Literal:
		return `"` + inQuotes(name, '"') + `": `
	}
	return name + "="
}

// Value returns how a text is written at the cursor as a value, without what follows it.
func (c Cursor) Value(text string) string {
	switch {
	case c.Quote != 0:
		return inQuotes(text, c.Quote) + string(c.Quote)
	case c.Literal:
		return `"` + inQuotes(text, '"') + `"`
	}
	return Quote(text)
}

// Quote returns how a text is written as a value of a key=value pair: as it is, or in
// quotes if it would mean something else.
func Quote(text string) string {
	w := scan("k="+text, 0, false)
	plain := text != "" && w.end == len(text)+2 && isBare("k="+text, w) && !strings.HasSuffix(text, ")") &&
		string(bare(text)) == string(appendText(nil, text))
	if plain {
		return text
	}
	return `"` + inQuotes(text, '"') + `"`
}

// inQuotes escapes a text for between quotes.
func inQuotes(text string, quote byte) string {
	escaped := string(jsontext.Value(appendText(nil, text)))
	escaped = escaped[1 : len(escaped)-1]
	if quote == '\'' {
		escaped = strings.ReplaceAll(strings.ReplaceAll(escaped, `\"`, `"`), "'", `\'`)
	}
	return escaped
}
