package terminal

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// A buffer is the text that is being typed, with a cursor in it. The text may have
// several lines. It has no control characters except line ends.
//
// The cursor is always between two grapheme clusters, so that what a person sees as
// one character is one.
type buffer struct {
	text string
	pos  int // the cursor, in bytes

	killed string  // what the last deletion of more than a character has taken; yank inserts it
	past   []state // for undo, oldest first
	typing bool    // the last change has inserted a single character: the next one joins it for undo
}

// A state is a text and the place of the cursor.
type state struct {
	text string
	pos  int
}

// mostUndo is how many changes can be undone.
const mostUndo = 200

// set replaces the text, and puts the cursor to its end.
func (b *buffer) set(text string) { b.replace(0, len(b.text), text) }

// clear makes the buffer empty, and forgets the changes.
func (b *buffer) clear() {
	b.text, b.pos, b.past, b.typing = "", 0, nil, false
}

// replace replaces text[from:to], and puts the cursor after what is new. Control
// characters in the new text are removed.
func (b *buffer) replace(from, to int, text string) {
	text = clean(text)
	if from == to && text == "" {
		b.pos = from
		return
	}
	if single := from == to && len(b.rest(text)) == 0 && text != " "; !single || !b.typing {
		b.past = append(b.past, state{b.text, b.pos})
		if len(b.past) > mostUndo {
			b.past = b.past[1:]
		}
		b.typing = single
	}
	b.text = b.text[:from] + text + b.text[to:]
	b.pos = from + len(text)
	b.settle()
}

// rest returns text without its first cluster.
func (*buffer) rest(text string) string {
	return text[len(first(text)):]
}

// settle moves the cursor to the end of the cluster that it is in: what was inserted may
// have joined the character after it.
func (b *buffer) settle() {
	at := b.lineStart()
	for at < b.pos {
		at += len(first(b.text[at:]))
	}
	b.pos = at
}

// insert inserts text at the cursor.
func (b *buffer) insert(text string) { b.replace(b.pos, b.pos, text) }

// kill removes text[from:to] and keeps it for yank.
func (b *buffer) kill(from, to int) {
	if from < to {
		b.killed = b.text[from:to]
		b.replace(from, to, "")
	}
}

// yank inserts what was killed last.
func (b *buffer) yank() { b.insert(b.killed) }

// undo takes back the last change.
func (b *buffer) undo() {
	if n := len(b.past); n > 0 {
		b.text, b.pos = b.past[n-1].text, b.past[n-1].pos
		b.past = b.past[:n-1]
		b.typing = false
	}
}

// move puts the cursor to a place that one of the functions below returns.
func (b *buffer) move(to int) { b.pos, b.typing = to, false }

// before returns where the cluster before the cursor begins.
func (b *buffer) before() int {
	at := b.lineStart()
	if at == b.pos {
		return max(at-1, 0) // the end of the line above
	}
	for {
		next := at + len(first(b.text[at:]))
		if next >= b.pos {
			return at
		}
		at = next
	}
}

// after returns where the cluster after the cursor ends.
func (b *buffer) after() int { return b.pos + len(first(b.text[b.pos:])) }

// lineStart returns where the cursor's line begins.
func (b *buffer) lineStart() int { return strings.LastIndexByte(b.text[:b.pos], '\n') + 1 }

// lineEnd returns where the cursor's line ends.
func (b *buffer) lineEnd() int {
	if n := strings.IndexByte(b.text[b.pos:], '\n'); n >= 0 {
		return b.pos + n
	}
	return len(b.text)
}

// wordStart returns where the word before the cursor begins.
func (b *buffer) wordStart() int {
	head := strings.TrimRightFunc(b.text[:b.pos], notInWord)
	return len(strings.TrimRightFunc(head, inWord))
}

// wordEnd returns where the word after the cursor ends.
func (b *buffer) wordEnd() int {
	tail := strings.TrimLeftFunc(b.text[b.pos:], notInWord)
	return len(b.text) - len(strings.TrimLeftFunc(tail, inWord))
}

// argumentStart returns where the text before the cursor begins that has no white space:
// Ctrl-W deletes it.
func (b *buffer) argumentStart() int {
	head := strings.TrimRightFunc(b.text[:b.pos], unicode.IsSpace)
	return len(strings.TrimRightFunc(head, func(r rune) bool { return !unicode.IsSpace(r) }))
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

func notInWord(r rune) bool { return !inWord(r) }

// up moves the cursor to the line above, to the same column as far as that is long
// enough. It reports false if there is none.
func (b *buffer) up() bool {
	start := b.lineStart()
	if start == 0 {
		return false
	}
	column := ansi.StringWidth(b.text[start:b.pos])
	b.move(start - 1)
	b.toColumn(column)
	return true
}

// down moves the cursor to the line below, as up does.
func (b *buffer) down() bool {
	end := b.lineEnd()
	if end == len(b.text) {
		return false
	}
	column := ansi.StringWidth(b.text[b.lineStart():b.pos])
	b.move(end + 1)
	b.toColumn(column)
	return true
}

// toColumn puts the cursor to a column of its line.
func (b *buffer) toColumn(column int) {
	at, end := b.lineStart(), b.lineEnd()
	for width := 0; at < end; {
		c := first(b.text[at:])
		if width += ansi.StringWidth(c); width > column {
			break
		}
		at += len(c)
	}
	b.pos = at
}

// transpose swaps the two characters around the cursor, or the last two at the end of a
// line.
func (b *buffer) transpose() {
	start, end := b.lineStart(), b.lineEnd()
	if b.pos == start {
		return
	}
	saved := b.pos
	if b.pos == end {
		b.pos = b.before()
	}
	middle := b.pos
	from := b.before()
	if from < start || middle == start {
		b.pos = saved
		return
	}
	to := b.after()
	b.replace(from, to, b.text[middle:to]+b.text[from:middle])
}

// first returns the first grapheme cluster of text. A line end is always one of its own.
func first(text string) string {
	if text == "" || text[0] == '\n' {
		return text[:min(len(text), 1)]
	}
	c, _ := ansi.FirstGraphemeCluster(text, ansi.GraphemeWidth)
	return c
}

// clean returns text without control characters, except line ends. A tab becomes a
// space, and a line end of two bytes one of one byte.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r':
			return '\n'
		case r == '\t':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, text)
}
