package syntax

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrIncomplete is the cause of an [*Error] that further lines can mend: a transaction, a
// quote, an object or a list is not closed.
var ErrIncomplete = errors.New("the command is not complete")

// ErrEmpty says that a text has no command.
var ErrEmpty = errors.New("no command")

// An Error says where a text is wrong.
type Error struct {
	Text   string // everything that was parsed
	Offset int    // where the fault is, in bytes; len(Text) is the end
	Reason string // what is wrong, such as "expected KEY=VALUE, got "x""
	Hint   string // what to do, or ""

	incomplete bool
}

// Error returns the position, the reason and the hint on one line.
func (e *Error) Error() string {
	line, column := e.Position()
	where := fmt.Sprintf("column %d", column)
	if strings.Contains(e.Text, "\n") {
		where = fmt.Sprintf("line %d, %s", line, where)
	}
	text := where + ": " + e.Reason
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// Is reports whether target is [ErrIncomplete] and further lines can mend the text.
func (e *Error) Is(target error) bool { return target == ErrIncomplete && e.incomplete }

// Position returns the line and the column of the fault. Both begin with 1. A column is
// one character.
func (e *Error) Position() (line, column int) {
	before := e.Text[:e.Offset]
	begin := strings.LastIndexByte(before, '\n') + 1
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[begin:])
}

// Line returns the line of the text that has the fault.
func (e *Error) Line() string {
	begin := strings.LastIndexByte(e.Text[:e.Offset], '\n') + 1
	line, _, _ := strings.Cut(e.Text[begin:], "\n")
	return line
}

// fail returns an error at an offset of the text.
func (p *parser) fail(offset int, reason, hint string) error {
	return &Error{Text: p.text, Offset: offset, Reason: reason, Hint: hint}
}

// incomplete returns an error at an offset of the text that further lines can mend.
func (p *parser) incomplete(offset int, reason, hint string) error {
	return &Error{Text: p.text, Offset: offset, Reason: reason, Hint: hint, incomplete: true}
}

// valid returns an error unless a part of the text is Unicode.
func (p *parser) valid(start, end int) error {
	for i, r := range p.text[start:end] {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(p.text[start+i:]); n == 1 {
				return p.fail(start+i, "this is not UTF-8 text", "")
			}
		}
	}
	return nil
}

// quote returns text in quotes for an error, shortened.
func quote(text string) string {
	const most = 40
	if len(text) > most {
		cut := most
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "..."
	}
	return fmt.Sprintf("%q", text)
}
