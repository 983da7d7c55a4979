package syntax

import "strings"

// A kind is what a word is.
type kind int

const (
	plain     kind = iota // a name, or key=value
	opening               // the "(" of a transaction
	closing               // the ")" of a transaction
	endOfText             // no word
)

// A word is a part of the text that ends at a space. An object, a list or a text in
// quotes may contain spaces.
type word struct {
	kind       kind
	start, end int
	eq         int  // where the = between key and value is, or -1
	line       bool // whether it is the first word on its line
	open       bool // the text ended in a literal or in quotes
}

// words divides text into words. It does not fail: what is wrong in a word shows when the
// word is parsed.
func words(text string) []word {
	var found []word
	inTransaction := false
	for i, line := 0, true; i < len(text); {
		switch c := text[i]; {
		case c == '\n':
			line = true
			i++
			continue
		case isSpace(c):
			i++
			continue
		case c == '#' && line:
			if i = skipLine(text, i); i == len(text) {
				return found
			}
			continue
		}
		var w word
		switch {
		case text[i] == '(' && len(found) > 0:
			w = word{kind: opening, start: i, end: i + 1, eq: -1}
			inTransaction = true
		case text[i] == ')':
			w = word{kind: closing, start: i, end: i + 1, eq: -1}
			inTransaction = false
		default:
			w = scan(text, i, len(found) == 0)
			if inTransaction && isBare(text, w) && closesTransaction(text[w.start:w.end]) {
				w.end--
			}
		}
		w.line, line = line, false
		found = append(found, w)
		i = w.end
	}
	return found
}

// scan returns the word that begins at start. The name of a command ends at a "(".
func scan(text string, start int, isCommand bool) word {
	w := word{start: start, eq: -1}
	i := start
	if text[i] == '{' || text[i] == '[' || text[i] == '"' || text[i] == '\'' {
		i, w.open = skipLiteral(text, i)
	}
	for ; i < len(text) && !isSpace(text[i]); i++ {
		switch c := text[i]; {
		case c == '(' && w.eq < 0 && isCommand:
			w.end = i
			return w
		case c == '=' && w.eq < 0:
			w.eq = i
			if i+1 < len(text) && strings.IndexByte("{[\"'", text[i+1]) >= 0 {
				i, w.open = skipLiteral(text, i+1)
				i-- // the loop adds one
			}
		case (c == '"' || c == '\'') && w.eq >= 0:
			if end := closingQuote(text, i); end > 0 {
				i = end
			}
		}
	}
	w.end = min(i, len(text))
	return w
}

// closesTransaction reports whether a word ends with the ")" of its transaction: one more
// than the word has of "(".
func closesTransaction(word string) bool {
	return len(word) > 1 && word[len(word)-1] == ')' && strings.Count(word, ")") > strings.Count(word, "(")
}

// isBare reports whether a word has no literal and no text in quotes at its end.
func isBare(text string, w word) bool {
	begin := max(w.start, w.eq+1)
	return begin == w.end || strings.IndexByte("{[\"'", text[begin]) < 0
}

// closingQuote returns where a part in quotes ends that begins at start, in the middle of
// a word, or 0 if it does not end on the same line. Then the quote is an ordinary
// character.
func closingQuote(text string, start int) int {
	for i := start + 1; i < len(text) && text[i] != '\n'; i++ {
		switch text[i] {
		case '\\':
			i++
		case text[start]:
			return i
		}
	}
	return 0
}

// skipLiteral returns where the literal ends that begins at start: an object, a list or a
// text in quotes. open says that the text ends in it.
func skipLiteral(text string, start int) (end int, open bool) {
	depth := 0
	var quote byte
	for i := start; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0 && c == '\\':
			i++
			continue
		case quote != 0 && c != quote:
			continue
		case quote != 0:
			quote = 0
		case c == '"' || c == '\'':
			quote = c
			continue
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
		if depth <= 0 {
			return i + 1, false
		}
	}
	return len(text), true
}

// skipLine returns where the line ends that has the offset i.
func skipLine(text string, i int) int {
	if n := strings.IndexByte(text[i:], '\n'); n >= 0 {
		return i + n
	}
	return len(text)
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
