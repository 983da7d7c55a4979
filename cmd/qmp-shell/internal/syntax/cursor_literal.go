package syntax

import (
	"slices"

	"github.com/goqmp/qmp/internal/proto"
)

// A level is an object or a list that is open at the cursor.
type level struct {
	object map[string]any // nil for a list
	list   []any
	name   string // the name of the member whose value comes next, if named
	named  bool
	ended  bool // a value is complete; a comma or the end must follow
}

// put adds a value.
func (v *level) put(value any) {
	if v.object == nil {
		v.list = append(v.list, value)
	} else if v.named {
		v.object[v.name] = value
	}
	v.named, v.ended = false, true
}

// inLiteral is At in an object or a list that begins at begin. The levels that are open
// at the cursor become the end of the path, and what is known of them goes into Given.
func (c Cursor) inLiteral(text string, begin int) Cursor {
	c.Literal = true
	lit := literal{text: text[:c.End], pos: begin}
	var levels []*level
	nowhere := Cursor{Start: c.End, End: c.End}
	for lit.space() {
		at := lit.pos
		top := &level{}
		if len(levels) > 0 {
			top = levels[len(levels)-1]
		}
		switch ch := lit.text[at]; ch {
		case '{', '[':
			next := &level{}
			if ch == '{' {
				next.object = map[string]any{}
			}
			levels = append(levels, next)
			lit.pos++
		case '}', ']':
			if levels = levels[:len(levels)-1]; len(levels) == 0 {
				return nowhere // the literal is complete
			}
			var value any = top.list
			if top.object != nil {
				value = top.object
			}
			levels[len(levels)-1].put(value)
			lit.pos++
		case ',':
			top.ended = false
			lit.pos++
		case ':':
			lit.pos++
		case '"', '\'':
			s, err := lit.string()
			if err != nil {
				c.Start, c.Quote, c.Prefix = at+1, ch, lenient(lit.text[at:])
				return c.open(levels)
			}
			if top.object != nil && !top.named && !top.ended {
				top.name, top.named = s, true
			} else {
				top.put(s)
			}
		default:
			raw, err := lit.word(nil)
			if lit.pos == c.End {
				c.Start, c.Prefix = at, lit.text[at:]
				return c.open(levels)
			}
			if lit.pos == at {
				return nowhere
			}
			value, decodeErr := proto.Decode(raw)
			if err != nil || decodeErr != nil {
				value = nil
			}
			top.put(value)
		}
	}
	c.Start = c.End
	return c.open(levels)
}

// open says where the cursor is in the levels that are open.
func (c Cursor) open(levels []*level) Cursor {
	if len(levels) == 0 || levels[len(levels)-1].ended {
		return Cursor{Start: c.End, End: c.End}
	}
	c.Place = Value
	path := slices.Clone(c.Path)
	var root any
	insert := func(v any) { root = v }
	for i, v := range levels {
		var name string
		var into func(any)
		if v.object != nil {
			insert(v.object)
			name = v.name
			into = func(value any) { v.object[name] = value }
		} else {
			list := append(v.list, nil)
			insert(list)
			name = itoa(len(list) - 1)
			into = func(value any) { list[len(list)-1] = value }
		}
		if i == len(levels)-1 && v.object != nil && !v.named {
			c.Place = Name
			break
		}
		path = append(path, name)
		insert = into
	}
	c.Given, _ = place(c.Given, c.Path, root).(map[string]any)
	c.Path = path
	return c
}

// place returns object with value at path. It makes the objects that are missing.
func place(object any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	in, ok := object.(map[string]any)
	if !ok || in == nil {
		in = map[string]any{}
		list, _ := object.([]any)
		for i, element := range list {
			in[itoa(i)] = element
		}
	}
	in[path[0]] = place(in[path[0]], path[1:], value)
	return in
}
