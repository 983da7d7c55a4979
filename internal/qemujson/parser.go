package qemujson

import (
	"fmt"
	"slices"
)

// Limits of one message.
const (
	MaxBytes  = 64 << 20 // of its tokens together
	MaxTokens = 2 << 20  // each bracket, comma, colon, string, number and word is one
	MaxDepth  = 1024     // levels of objects and arrays
)

// A Result is what QEMU makes of the bytes of one message.
type Result struct {
	// Value is the message as JSON, if Fault is "". Strings are in ASCII, and members are
	// separated as QEMU separates them. Numbers are as they came. It belongs to the caller.
	Value []byte

	// Fault is why QEMU refuses the message, in QEMU's words. Bytes in it may not be UTF-8.
	Fault string

	// End is where the message ended, in the bytes that were given to Feed.
	End int
}

// A Parser reads the bytes that one client sends. It is for one goroutine.
type Parser struct {
	// Positions says that faults are found as in QEMU 11.1, and have a position: the line
	// and the column, counted from the beginning of the connection.
	Positions bool

	// MaxBytes limits a message. Zero means QEMU's limit.
	MaxBytes int

	scan  scanner
	line  int // of the next byte, from 0
	col   int // of the next byte, from 0
	begun place

	braces, brackets int
	bytes, tokens    int
	fault            string // of the present message
	told             bool   // the fault has been returned already
	skipping         bool   // a limit was exceeded

	stack []level
	next  expected
	out   []byte
}

// A place is where a token begins.
type place struct{ line, col int }

// A level is an object or an array that is open.
type level struct {
	object bool
	isKey  bool                // it stands where a key should be
	key    string              // of the value that comes next
	keys   map[string]struct{} // those that the object has
}

// An expected is what may come next.
type expected uint8

const (
	aValue       expected = iota
	aValueOrEnd           // in an array that has just been opened
	aKeyOrEnd             // in an object that has just been opened
	aKey                  // after a comma in an object
	aColon                //
	aCommaOrEnd           // after a value in an object or an array
	nothingAtAll          // the message is complete
)

// Feed takes what the client has sent next. It calls emit for each message that ends in b,
// in order.
func (p *Parser) Feed(b []byte, emit func(Result)) {
	again := false // b[i] has ended a token, and does not belong to it
	for i := 0; i < len(b); {
		if n := p.scan.skip(b[i:], p.limit()+1-len(p.scan.token)); n > 0 {
			i += n
			p.col += n
			if p.scan.state != recovering {
				p.tooLong(i, emit)
			}
			continue
		}
		if p.scan.state == between {
			p.begun = place{p.line, p.col}
			if again {
				p.begun.col++ // QEMU has counted this byte already
			}
		}
		k, used := p.scan.step(b[i])
		again = !used
		if used {
			if b[i] == '\n' {
				p.line++
				p.col = 0
			} else {
				p.col++
			}
			i++
		}
		if k != noToken {
			p.token(k, i, emit)
		} else {
			p.tooLong(i, emit)
		}
	}
}

func (p *Parser) limit() int {
	if p.MaxBytes > 0 {
		return min(p.MaxBytes, MaxBytes)
	}
	return MaxBytes
}

// tooLong ends a token that is larger than a message may be.
func (p *Parser) tooLong(end int, emit func(Result)) {
	if p.scan.state == between || len(p.scan.token) <= p.limit() {
		return
	}
	p.token(text, end, emit) // it is over the limit: nothing looks into it
	p.scan = scanner{}
}

// token takes the token of the scanner, which ends before b[end].
func (p *Parser) token(k kind, end int, emit func(Result)) {
	token := p.scan.token
	if k == stray {
		if !p.told {
			emit(Result{Fault: p.at("stray '" + cText(token) + "'"), End: end})
		}
		p.reset()
		return
	}
	switch k {
	case openBrace:
		p.braces++
	case closeBrace:
		p.braces--
	case openBracket:
		p.brackets++
	case closeBracket:
		p.brackets--
	}
	limit := ""
	switch {
	case p.bytes+len(token)+1 > p.limit():
		limit = "JSON token size limit exceeded"
	case p.tokens+1 > MaxTokens:
		limit = "JSON token count limit exceeded"
	case p.braces+p.brackets > MaxDepth:
		limit = "JSON nesting depth limit exceeded"
	}
	if limit != "" && !p.Positions {
		emit(Result{Fault: limit, End: end})
		p.reset()
		return
	}
	switch {
	case p.skipping:
	case limit != "":
		p.fault, p.skipping = limit, true
		p.out, p.stack = nil, nil
	default:
		p.bytes += len(token)
		p.tokens++
		if p.fault == "" {
			if why := p.push(k, token); why != "" {
				p.fault = p.at(why)
				p.out, p.stack = nil, nil
			}
		}
	}
	if p.fault != "" && p.Positions && !p.told {
		p.told = true
		emit(Result{Fault: p.fault, End: end})
	}
	if (p.braces > 0 || p.brackets > 0) && p.braces >= 0 && p.brackets >= 0 {
		return
	}
	switch {
	case p.told:
	case p.fault != "":
		emit(Result{Fault: p.fault, End: end})
	default:
		emit(Result{Value: slices.Clip(p.out), End: end})
	}
	p.reset()
}

// at returns the fault of a token as QEMU says it.
func (p *Parser) at(why string) string {
	why = "JSON parse error, " + why
	if p.Positions {
		return fmt.Sprintf("%d:%d: %s", p.begun.line+1, p.begun.col+1, why)
	}
	return why
}

// reset begins a new message.
func (p *Parser) reset() {
	p.braces, p.brackets, p.bytes, p.tokens = 0, 0, 0, 0
	p.fault, p.told, p.skipping = "", false, false
	p.stack, p.next, p.out = p.stack[:0], aValue, nil
	if cap(p.scan.token) > 64<<10 {
		p.scan.token = nil
	}
}

// push takes one token of a message that has no fault so far, and returns the fault, or "".
func (p *Parser) push(k kind, token []byte) string {
	switch p.next {
	case aColon:
		if k != colon {
			return p.words("missing : in object pair", "expecting ':'")
		}
		p.out = append(p.out, ": "...)
		p.next = aValue
		return ""
	case aCommaOrEnd:
		return p.separator(k)
	case aValueOrEnd:
		if k == closeBracket {
			return p.close(']')
		}
	case aKeyOrEnd:
		if k == closeBrace {
			return p.close('}')
		}
	}
	if key := p.next == aKeyOrEnd || p.next == aKey; key && p.Positions && k != text {
		return "expecting key"
	}
	return p.value(k, token)
}

// words returns the older or the newer words for a fault.
func (p *Parser) words(older, newer string) string {
	if p.Positions {
		return newer
	}
	return older
}

// separator takes what comes after a value in an object or an array.
func (p *Parser) separator(k kind) string {
	top := &p.stack[len(p.stack)-1]
	switch {
	case k == comma:
		p.out = append(p.out, ", "...)
		if p.next = aValue; top.object {
			p.next = aKey
		}
		return ""
	case k == closeBrace && top.object:
		return p.close('}')
	case k == closeBracket && !top.object:
		return p.close(']')
	case top.object:
		return p.words("expected separator in dict", "expected ',' or '}'")
	}
	return p.words("expected separator in list", "expected ',' or ']'")
}

// value takes the first token of a value, which may stand where a key should be.
func (p *Parser) value(k kind, token []byte) string {
	isKey := p.next == aKeyOrEnd || p.next == aKey
	if p.Positions && !isKey {
		if why := p.duplicate(); why != "" {
			return why
		}
	}
	switch k {
	case openBrace:
		p.out = append(p.out, '{')
		p.stack = append(p.stack, level{object: true, isKey: isKey})
		p.next = aKeyOrEnd
		return ""
	case openBracket:
		p.out = append(p.out, '[')
		p.stack = append(p.stack, level{isKey: isKey})
		p.next = aValueOrEnd
		return ""
	case number:
		p.out = append(p.out, token...)
	case keyword:
		switch string(token) {
		case "true", "false", "null":
			p.out = append(p.out, token...)
		default:
			return "invalid keyword '" + string(token) + "'"
		}
	case text:
		s, fault := unquote(nil, token)
		if fault != "" {
			return fault
		}
		p.out = appendQuoted(p.out, s)
		if isKey {
			p.stack[len(p.stack)-1].key = string(s)
			p.next = aColon
			return ""
		}
	default:
		return "expecting value"
	}
	return p.ended(isKey)
}

// close ends the innermost object or array.
func (p *Parser) close(bracket byte) string {
	top := p.stack[len(p.stack)-1]
	p.stack = p.stack[:len(p.stack)-1]
	p.out = append(p.out, bracket)
	return p.ended(top.isKey)
}

// ended notes that a value has ended. isKey says that it stands where a key should be, and
// is not a string.
func (p *Parser) ended(isKey bool) string {
	if isKey {
		return "key is not a string in object"
	}
	if !p.Positions {
		if why := p.duplicate(); why != "" {
			return why
		}
	}
	if len(p.stack) == 0 {
		p.next = nothingAtAll
		return ""
	}
	p.next = aCommaOrEnd
	return ""
}

// duplicate notes the key of the value, and returns a fault if the object has it already.
func (p *Parser) duplicate() string {
	if len(p.stack) == 0 || !p.stack[len(p.stack)-1].object {
		return ""
	}
	top := &p.stack[len(p.stack)-1]
	if _, ok := top.keys[top.key]; ok {
		return "duplicate key"
	}
	if top.keys == nil {
		top.keys = make(map[string]struct{})
	}
	top.keys[top.key] = struct{}{}
	return ""
}

// appendQuoted appends a text that unquote has returned as a JSON string.
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	for len(s) > 0 {
		r, n := decode(s)
		dst = appendEscaped(dst, r)
		s = s[n:]
	}
	return append(dst, '"')
}

// cText returns b up to its first 0 byte.
func cText(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
