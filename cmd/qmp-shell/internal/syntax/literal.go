package syntax

import (
	"fmt"
	"iter"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is the number of levels that QEMU's parser takes.
const maxDepth = 1024

// A literal reads a JSON or Python literal and writes it as JSON.
type literal struct {
	text string
	pos  int
}

func (l *literal) fail(offset int, reason, hint string) error {
	return (&parser{text: l.text}).fail(offset, reason, hint)
}

func (l *literal) incomplete(offset int, reason, hint string) error {
	return (&parser{text: l.text}).incomplete(offset, reason, hint)
}

// space skips white space, and reports whether something follows.
func (l *literal) space() bool {
	for l.pos < len(l.text) && isSpace(l.text[l.pos]) {
		l.pos++
	}
	return l.pos < len(l.text)
}

// value appends the value at l.pos to dst.
func (l *literal) value(dst []byte, depth int) (jsontext.Value, error) {
	if !l.space() {
		return nil, l.incomplete(l.pos, "a value is missing", "")
	}
	switch c := l.text[l.pos]; c {
	case '{', '[':
		if depth == maxDepth {
			return nil, l.fail(l.pos, fmt.Sprintf("more than %d levels", maxDepth), "QEMU does not take that many")
		}
		return l.container(dst, depth)
	case '"', '\'':
		s, err := l.string()
		if err != nil {
			return nil, err
		}
		return appendText(dst, s), nil
	default:
		return l.word(dst)
	}
}

// container appends an object or a list.
func (l *literal) container(dst []byte, depth int) (jsontext.Value, error) {
	begin := l.pos
	open, end, what := l.text[begin], byte('}'), "object"
	if open == '[' {
		end, what = ']', "list"
	}
	unclosed := func() error {
		return l.incomplete(begin, "the "+what+" is not closed", fmt.Sprintf("end it with %q", string(end)))
	}
	names := make(map[string]bool)
	dst = append(dst, open)
	l.pos++
	for first := true; ; first = false {
		if !l.space() {
			return nil, unclosed()
		}
		if l.text[l.pos] == end {
			break
		}
		if !first {
			dst = append(dst, ',')
		}
		var err error
		if open == '{' {
			if dst, err = l.name(dst, names, unclosed); err != nil {
				return nil, err
			}
		}
		if dst, err = l.value(dst, depth+1); err != nil {
			return nil, err
		}
		if !l.space() {
			return nil, unclosed()
		}
		if c := l.text[l.pos]; c == ',' {
			l.pos++
		} else if c != end {
			return nil, l.fail(l.pos, fmt.Sprintf("expected \",\" or %q in the %s", string(end), what), "")
		}
	}
	l.pos++
	return append(dst, end), nil
}

// name appends the name of a member and the colon.
func (l *literal) name(dst []byte, names map[string]bool, unclosed func() error) ([]byte, error) {
	at := l.pos
	if c := l.text[at]; c != '"' && c != '\'' {
		return nil, l.fail(at, "expected the name of a member in quotes", `such as {"name": 1}`)
	}
	name, err := l.string()
	if err != nil {
		return nil, err
	}
	if names[name] {
		return nil, l.fail(at, fmt.Sprintf("%s is in the object twice", quote(name)), "leave one out")
	}
	names[name] = true
	if !l.space() {
		return nil, unclosed()
	}
	if l.text[l.pos] != ':' {
		return nil, l.fail(l.pos, `expected ":" after the name of a member`, `such as {"name": 1}`)
	}
	l.pos++
	return append(appendText(dst, name), ':'), nil
}

// word appends a number or a constant.
func (l *literal) word(dst []byte) (jsontext.Value, error) {
	begin := l.pos
	for l.pos < len(l.text) && !isSpace(l.text[l.pos]) && strings.IndexByte(",:{}[]\"'()", l.text[l.pos]) < 0 {
		l.pos++
	}
	text := l.text[begin:l.pos]
	switch text {
	case "true", "True":
		return append(dst, "true"...), nil
	case "false", "False":
		return append(dst, "false"...), nil
	case "null", "None":
		return append(dst, "null"...), nil
	}
	if n, ok := number(text); ok {
		return append(dst, n...), nil
	}
	if text == "" {
		return nil, l.fail(begin, fmt.Sprintf("expected a value, got %q", l.text[begin:begin+1]), "")
	}
	return nil, l.fail(begin, fmt.Sprintf("expected a value, got %s", quote(text)), "put a text into quotes")
}

// number returns a number of JSON or Python as JSON. Its digits stay as they are, except
// that a whole number becomes decimal.
func number(text string) (string, bool) {
	unsigned := strings.TrimPrefix(text, "+")
	if v := jsontext.Value(unsigned); v.Kind() == '0' && v.IsValid() && len(strings.TrimSpace(unsigned)) == len(unsigned) {
		return unsigned, true
	}
	if n, ok := decimal(text); ok {
		return n, true
	}
	rest := strings.TrimLeft(strings.ToLower(text), "+-")
	if len(text)-len(rest) > 1 || len(rest) < 3 || strings.Contains(rest, "_") || rest[0] != '0' || strings.IndexByte("xob", rest[1]) < 0 {
		return "", false
	}
	n, ok := new(big.Int).SetString(text, 0)
	if !ok {
		return "", false
	}
	return n.String(), true
}

// decimal returns a whole number in decimal notation as JSON.
func decimal(text string) (string, bool) {
	digits := strings.TrimLeft(text, "+-")
	if digits == "" || len(text)-len(digits) > 1 || strings.Trim(digits, "0123456789") != "" {
		return "", false
	}
	digits = strings.TrimLeft(digits, "0")
	switch {
	case digits == "":
		return "0", true
	case text[0] == '-':
		return "-" + digits, true
	}
	return digits, true
}

// bare returns the value of a word that is neither in quotes nor a literal.
func bare(text string) jsontext.Value {
	if n, ok := decimal(text); ok {
		return jsontext.Value(n)
	}
	switch {
	case strings.EqualFold(text, "true"):
		return jsontext.Value("true")
	case strings.EqualFold(text, "false"):
		return jsontext.Value("false")
	case text == "null" || text == "None":
		return jsontext.Value("null")
	}
	return appendText(nil, text)
}

// string returns the text in quotes at l.pos.
func (l *literal) string() (string, error) {
	begin := l.pos
	var s strings.Builder
	for l.pos++; l.pos < len(l.text); {
		c := l.text[l.pos]
		switch {
		case c == l.text[begin]:
			l.pos++
			return s.String(), nil
		case c == '\\':
			if l.pos+1 == len(l.text) {
				return "", l.incomplete(begin, "the quote is not closed", "")
			}
			r, n, ok := unescape(l.text[l.pos:])
			if !ok {
				return "", l.fail(l.pos, "unknown escape", `\\ is a backslash`)
			}
			s.WriteString(r)
			l.pos += n
		default:
			r, n := utf8.DecodeRuneInString(l.text[l.pos:])
			if r == utf8.RuneError && n == 1 {
				return "", l.fail(l.pos, "this is not UTF-8 text", "")
			}
			s.WriteString(l.text[l.pos : l.pos+n])
			l.pos += n
		}
	}
	return "", l.incomplete(begin, "the quote is not closed", fmt.Sprintf("end it with %c", l.text[begin]))
}

// escapes are the escapes of one letter in JSON and Python.
var escapes = map[byte]string{
	'"': `"`, '\'': "'", '\\': `\`, '/': "/", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t",
	'a': "\a", 'v': "\v", '\n': "",
}

// digits are how many hexadecimal digits follow an escape.
var digits = map[byte]int{'x': 2, 'u': 4, 'U': 8}

// unescape returns the text of the escape at the beginning of text, and its length.
func unescape(text string) (s string, n int, ok bool) {
	if s, ok := escapes[text[1]]; ok {
		return s, 2, true
	}
	r, n, ok := unescapeRune(text)
	if !ok {
		return "", 0, false
	}
	if utf16.IsSurrogate(r) {
		if len(text) < n+2 || text[n] != '\\' {
			return "", 0, false
		}
		low, m, ok := unescapeRune(text[n:])
		if !ok {
			return "", 0, false
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return "", 0, false
		}
		n += m
	}
	return string(r), n, true
}

// unescapeRune returns the number of an escape with hexadecimal digits.
func unescapeRune(text string) (r rune, n int, ok bool) {
	count, ok := digits[text[1]]
	if !ok || len(text) < 2+count {
		return 0, 0, false
	}
	v, err := strconv.ParseUint(text[2:2+count], 16, 32)
	if err != nil || v > utf8.MaxRune {
		return 0, 0, false
	}
	return rune(v), 2 + count, true
}

// appendText appends a text as JSON.
func appendText(dst []byte, s string) []byte {
	dst, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		// Texts are checked before; AppendQuote wrote the replacement character.
		return dst
	}
	return dst
}

// textOf returns the text of a JSON string.
func textOf(v jsontext.Value) string {
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return ""
	}
	return string(b)
}

// members yields the members of a valid JSON object.
func members(obj jsontext.Value) iter.Seq2[string, jsontext.Value] {
	return func(yield func(string, jsontext.Value) bool) {
		dec := jsontext.NewDecoder(strings.NewReader(string(obj)))
		if _, err := dec.ReadToken(); err != nil {
			return
		}
		for dec.PeekKind() == '"' {
			name, err := dec.ReadToken()
			if err != nil {
				return
			}
			text := name.String()
			value, err := dec.ReadValue()
			if err != nil || !yield(text, slices.Clone(value)) {
				return
			}
		}
	}
}

// Integer returns a whole number, in decimal notation or with 0x, 0o or 0b, in decimal
// notation. ok is false if text is not one.
func Integer(text string) (n string, ok bool) {
	n, ok = number(text)
	return n, ok && strings.Trim(n, "-0123456789") == ""
}
