package terminal

import (
	"strings"
	"testing"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
)

// press calls what the keys are for. A key in brackets has a name; any other character is
// typed.
func press(b *buffer, keys string) {
	for keys != "" {
		if rest, ok := strings.CutPrefix(keys, "["); ok {
			name, after, _ := strings.Cut(rest, "]")
			if run, ok := edits[name]; ok {
				run(b)
			} else if name == "up" {
				b.up()
			} else if name == "down" {
				b.down()
			} else {
				panic(name)
			}
			keys = after
			continue
		}
		c := first(keys)
		b.insert(c)
		keys = keys[len(c):]
	}
}

func TestEditing(t *testing.T) {
	for keys, want := range map[string]string{ // | is the cursor
		"abc[left][left]X":                            "aX|bc",
		"abc[home]X[end]Y":                            "XabcY|",
		"abc[ctrl+a][right]X":                         "aX|bc",
		"abc[backspace][ctrl+h]":                      "a|",
		"abc[home][delete]":                           "|bc",
		"[backspace][delete][left][right]":            "|",
		"query-block a.b=1[alt+b][alt+b]":             "query-block a.|b=1",
		"query-block a=1[ctrl+left][ctrl+left]X":      "query-block X|a=1",
		"query-block[home][alt+f]":                    "query|-block",
		"one two[ctrl+w]":                             "one |",
		"one a.b=c[ctrl+w][ctrl+w]":                   "|",
		"one a.b[alt+backspace]":                      "one a.|",
		"one two[home][alt+d]":                        "| two",
		"one two[ctrl+u]x[ctrl+y]":                    "xone two|",
		"one two[alt+b][ctrl+k]":                      "one |",
		"one two[alt+b][ctrl+k][home][ctrl+y]":        "two|one ",
		"ab[ctrl+t]":                                  "ba|",
		"abc[left][ctrl+t]":                           "acb|",
		"a[ctrl+t]":                                   "a|",
		"abc[home][ctrl+t]":                           "|abc",
		"abc[ctrl+_]":                                 "|",
		"abc [ctrl+_]":                                "abc|",
		"abc[ctrl+w][ctrl+_]":                         "abc|",
		"abc[ctrl+_][ctrl+_]":                         "|",
		"one[alt+enter]two":                           "one\ntwo|",
		"one[alt+enter]two[up]X":                      "oneX|\ntwo",
		"one[alt+enter]t[up]X":                        "oX|ne\nt",
		"one[alt+enter]t[up][end][down]X":             "one\ntX|",
		"one[alt+enter]two[home][backspace]":          "one|two",
		"one[alt+enter]two[up][end][ctrl+k]":          "one|two",
		"one[alt+enter]two[alt+<]X[alt+>]Y":           "Xone\ntwoY|",
		"one[alt+enter]two[ctrl+u]":                   "one\n|",
		"e\u0301x[left][backspace]":                   "|x",
		"世界[left]x":                                   "世x|界",
		"世界[alt+enter]abc[up]x":                       "世x|界\nabc",
		"👩‍👩‍👧[backspace]":                            "|",
		"a[up][down]b":                                "ab|",
		"one two[ctrl+b][ctrl+f][ctrl+e][ctrl+right]": "one two|",
	} {
		var b buffer
		press(&b, keys)
		if got := b.text[:b.pos] + "|" + b.text[b.pos:]; got != want {
			t.Errorf("%s: got %q, want %q", keys, got, want)
		}
	}
}

func TestUndoHasALimit(t *testing.T) {
	var b buffer
	for range 3 * mostUndo {
		b.insert("ab")
	}
	for range 3 * mostUndo {
		b.undo()
	}
	if got, want := len(b.text), 2*2*mostUndo; got != want {
		t.Errorf("%d bytes are left, want %d", got, want)
	}
}

func TestControlCharactersAreNotTyped(t *testing.T) {
	var b buffer
	b.insert("a\x1b[2J\tb\r\nc\x00\x9b\xff")
	if got, want := b.text, "a[2J b\nc\uFFFD"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Whatever is typed: the cursor stays inside the text and between two characters, and each
// row of the frame has room on the screen.
func FuzzEditing(f *testing.F) {
	f.Add("query-block \x01\x02", "(QEMU) ", 20)
	f.Add("e\u0301世\n👩‍👩‍👧\x05\x06", "", 1)
	names := []string{
		"left", "right", "home", "end", "backspace", "delete", "alt+b", "alt+f", "ctrl+w", "ctrl+u", "ctrl+k", "ctrl+y", "ctrl+t",
		"ctrl+_", "alt+enter", "alt+d", "alt+<", "alt+>", "up", "down", "enter", "tab", "shift+tab", "esc", "ctrl+r", "ctrl+c", "ctrl+l",
	}
	f.Fuzz(func(t *testing.T, typed, prompt string, width int) {
		width = min(max(width, 1), 300)
		h := &History{}
		m := &model{opts: Options{Handle: func(Input) {}, History: h}, screen: &screen{w: &strings.Builder{}}, prompt: clean(strings.ReplaceAll(prompt, "\n", ""))}
		m.Update(tea.WindowSizeMsg{Width: width, Height: 10})
		for typed != "" {
			c := first(typed)
			typed = typed[len(c):]
			if r := c[0]; int(r) < len(names) {
				if !m.named(names[r]) {
					t.Fatalf("the key %s has no meaning", names[r])
				}
			} else {
				m.Update(tea.PasteMsg{Content: c})
			}
			if b := &m.line; b.pos < 0 || b.pos > len(b.text) || !utf8.ValidString(b.text[:b.pos]) || !utf8.ValidString(b.text) {
				t.Fatalf("the cursor is at %d of %q", b.pos, b.text)
			}
			fr := m.frame()
			if fr.row < 0 || fr.row >= len(fr.rows) || len(fr.rows) > 10 || fr.col > width {
				t.Fatalf("the cursor is at row %d, column %d of %q", fr.row, fr.col, fr.rows)
			}
		}
	})
}

// named does what the key of that name is for.
func (m *model) named(name string) bool {
	if m.search != nil && m.searchKey(name, "") {
		return true
	}
	if run, ok := edits[name]; ok {
		run(&m.line)
		return true
	}
	_, ok := m.command(name)
	return ok || name == "esc" || name == "shift+tab" // they mean something in a menu
}
