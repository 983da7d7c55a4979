package qapigen

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A ParseError is a fault in a schema file.
type ParseError struct {
	File   string
	Line   int // the first line is 1
	Column int // in bytes; the first one is 1
	Err    string
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Err)
}

// A place is where something begins in a schema file. The zero place is unknown.
type place struct{ line, column int }

// The limits of a schema file. QEMU's own files are far below them.
const (
	maxFileSize = 16 << 20
	maxNesting  = 100
)

// A tree is one expression of a schema file: a string, a boolean, a list or an object.
type tree struct {
	place
	kind    treeKind
	text    string   // the value of a string
	flag    bool     // the value of a boolean
	list    []tree   // the elements of a list, or the values of an object's members
	names   []string // the names of an object's members, in order
	comment string   // the documentation block before a top-level expression
}

type treeKind int

const (
	treeString treeKind = iota
	treeBool
	treeList
	treeObject
)

func (k treeKind) String() string {
	return [...]string{"a string", "a boolean", "a list", "an object"}[k]
}

// get returns the member name of an object.
func (t *tree) get(name string) (*tree, bool) {
	for i, n := range t.names {
		if n == name {
			return &t.list[i], true
		}
	}
	return nil, false
}

// A lexer reads the syntax of schema files (QEMU, "How to use the QAPI code
// generator", "Schema syntax"): JSON with comments and strings in single quotes,
// without numbers and null.
type lexer struct {
	file    string
	src     string
	pos     int
	line    int
	start   int    // the position of the line's first byte
	comment string // the newest documentation block
}

// parseFile returns the top-level expressions of a file.
func parseFile(file, src string) (_ []tree, err error) {
	l := &lexer{file: file, src: src, line: 1}
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(*ParseError)
			if !ok {
				panic(r)
			}
			err = fault
		}
	}()
	if len(src) > maxFileSize {
		l.fail("the file is larger than %d bytes", maxFileSize)
	}
	if !utf8.ValidString(src) {
		l.fail("the file is not valid UTF-8")
	}
	var trees []tree
	for l.space(); l.pos < len(l.src); l.space() {
		comment := l.comment
		l.comment = ""
		t := l.value(0)
		if t.kind != treeObject {
			l.failAt(t.place, "want an object at the top level, and not %v", t.kind)
		}
		t.comment = comment
		trees = append(trees, t)
	}
	return trees, nil
}

// here returns the current place.
func (l *lexer) here() place {
	return place{l.line, l.pos - l.start + 1}
}

// newLine moves after a line end.
func (l *lexer) newLine() {
	l.pos++
	l.line++
	l.start = l.pos
}

// fail ends parseFile with a [*ParseError] at the current place.
func (l *lexer) fail(format string, args ...any) { l.failAt(l.here(), format, args...) }

func (l *lexer) failAt(at place, format string, args ...any) {
	panic(&ParseError{File: l.file, Line: at.line, Column: at.column, Err: fmt.Sprintf(format, args...)})
}

// space skips white space and comments. It stores a documentation block in l.comment.
func (l *lexer) space() {
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; c {
		case ' ', '\t', '\r':
			l.pos++
		case '\n':
			l.newLine()
		case '#':
			line := l.restOfLine()
			if line != "##" {
				continue
			}
			l.block()
		default:
			return
		}
	}
}

// restOfLine returns what is left of the line, and moves to its end.
func (l *lexer) restOfLine() string {
	end := strings.IndexByte(l.src[l.pos:], '\n')
	if end < 0 {
		end = len(l.src) - l.pos
	}
	line := l.src[l.pos : l.pos+end]
	l.pos += end
	return strings.TrimRight(line, " \t\r")
}

// block reads a documentation block up to its closing ##.
func (l *lexer) block() {
	var b strings.Builder
	for l.pos < len(l.src) && l.src[l.pos] == '\n' {
		l.newLine()
		if l.pos == len(l.src) || l.src[l.pos] != '#' {
			break // a block without ## at its end ends with its last comment line
		}
		line := l.restOfLine()
		if line == "##" {
			break
		}
		b.WriteString(strings.TrimPrefix(strings.TrimPrefix(line, "#"), " "))
		b.WriteByte('\n')
	}
	l.comment = b.String()
}

// value reads one value.
func (l *lexer) value(depth int) tree {
	l.space()
	if depth > maxNesting {
		l.fail("nested more than %d levels deep", maxNesting)
	}
	if l.pos >= len(l.src) {
		l.fail("the file ends where a value is expected")
	}
	t := tree{place: l.here()}
	switch c := l.src[l.pos]; c {
	case '\'':
		t.text = l.text()
	case '{':
		t.kind = treeObject
		l.members(&t, depth)
	case '[':
		t.kind = treeList
		l.elements(&t, depth)
	default:
		t.kind = treeBool
		switch {
		case strings.HasPrefix(l.src[l.pos:], "true"):
			t.flag = true
			l.pos += len("true")
		case strings.HasPrefix(l.src[l.pos:], "false"):
			l.pos += len("false")
		default:
			l.fail("want a string in single quotes, a boolean, a list or an object, and not %q", c)
		}
	}
	return t
}

// text reads a string. A backslash escapes a quote and a backslash.
func (l *lexer) text() string {
	var b strings.Builder
	for i := l.pos + 1; i < len(l.src); i++ {
		switch c := l.src[i]; {
		case c == '\'':
			l.pos = i + 1
			return b.String()
		case c == '\n':
			l.fail("a string is not closed on its line")
		case c == '\\' && i+1 < len(l.src) && (l.src[i+1] == '\\' || l.src[i+1] == '\''):
			i++
			b.WriteByte(l.src[i])
		default:
			b.WriteByte(c)
		}
	}
	l.fail("a string is not closed")
	return ""
}

// members reads the members of an object into t.
func (l *lexer) members(t *tree, depth int) {
	l.sequence('}', func() {
		l.space()
		if l.pos >= len(l.src) || l.src[l.pos] != '\'' {
			l.fail("want the name of a member, in single quotes")
		}
		at := l.here()
		name := l.text()
		if _, twice := t.get(name); twice {
			l.failAt(at, "the object has the member %q twice", name)
		}
		l.space()
		if l.pos >= len(l.src) || l.src[l.pos] != ':' {
			l.fail("want a colon after the name %q", name)
		}
		l.pos++
		v := l.value(depth + 1)
		t.names, t.list = append(t.names, name), append(t.list, v)
	})
}

// elements reads the elements of a list into t.
func (l *lexer) elements(t *tree, depth int) {
	l.sequence(']', func() { t.list = append(t.list, l.value(depth+1)) })
}

// sequence calls element for each of the elements, which commas separate, up to end.
func (l *lexer) sequence(end byte, element func()) {
	l.pos++
	l.space()
	if l.pos < len(l.src) && l.src[l.pos] == end {
		l.pos++
		return
	}
	for {
		element()
		l.space()
		switch {
		case l.pos >= len(l.src):
			l.fail("the file ends before %q", end)
		case l.src[l.pos] == end:
			l.pos++
			return
		case l.src[l.pos] != ',':
			l.fail("want a comma or %q, and not %q", end, l.src[l.pos])
		}
		l.pos++
	}
}
