package proto

import (
	"encoding/binary"
	"math/bits"
)

// A scanner checks that bytes are one JSON value, and notes where the members of a
// [Message] are, all in one pass. The bytes may come in pieces of any size. It accepts
// what package jsontext accepts with AllowDuplicateNames and AllowInvalidUTF8. The zero
// scanner is ready for use.
type scanner struct {
	state  scanState
	pos    int               // how many bytes of the value it has read
	depth  int               // how many objects and arrays are open
	object bool              // the innermost open one is an object
	kinds  uint64            // has a bit for each open one that the innermost is in, up to 64 levels: whether it is an object
	outer  []uint64          // what was in kinds, for each 64 levels
	word   string            // in inLiteral: what must follow
	digits int               // in inHex: how many digits must follow
	isName bool              // in a string: it is the name of a member
	at     [memberCount]span // where the members of the outermost object are

	// About the member of the outermost object that is being read.
	member int    // which one it is
	start  int    // where its name begins, and after that its value
	cut    bool   // the name began in an earlier piece
	name   []byte // the part of the name that was in earlier pieces
	long   bool   // that part is longer than maxMemberName, and not kept
}

// reset makes s ready for the next value.
func (s *scanner) reset() { *s = scanner{outer: s.outer[:0], name: s.name[:0]} }

// maxMemberName is the length of the longest name of a member of a Message in JSON:
// timestamp, if each letter is an escape.
const maxMemberName = len(`"timestamp"`) + 5*len("timestamp")

// A scanState is what comes next.
type scanState uint8

const (
	wantValue      scanState = iota // a value
	wantValueOrEnd                  // a value, or the end of the array: after [
	wantNameOrEnd                   // a name, or the end of the object: after {
	wantName                        // a name: after a comma in an object
	wantColon                       // a colon
	wantCommaOrEnd                  // a comma, or the end of the object or array
	inString                        // the rest of a string
	inEscape                        // the byte after a backslash
	inHex                           // a hexadecimal digit of an escape
	inLiteral                       // the rest of true, false or null
	afterMinus                      // the first digit of a number
	afterZero                       // anything but a digit, after a leading zero
	inInteger                       // more digits before the point
	afterPoint                      // the first digit after the point
	inFraction                      // more digits after the point
	afterE                          // the sign or the first digit of an exponent
	afterExpSign                    // the first digit of an exponent
	inExponent                      // more digits of an exponent
)

// A verdict is what a scanner says about the bytes that it has read.
type verdict uint8

const (
	incomplete verdict = iota // the value needs more bytes
	complete                  // the value has ended
	invalid                   // not JSON
	tooDeep                   // more than MaxDepth levels
)

// scan reads the next piece. It returns how much of it belongs to the value.
//
// Most strings, names and integers are whole in one piece: the switch reads them at
// once. The states from inString on are for the others.
func (s *scanner) scan(b []byte) (n int, v verdict) {
	i, end := 0, 0
	for i < len(b) {
		c := b[i]
		if c <= ' ' && s.state <= wantCommaOrEnd {
			if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
				return i, invalid
			}
			i++
			continue
		}
		switch s.state {
		case wantValueOrEnd:
			if c == ']' {
				i++
				s.pop()
				goto ended
			}
			fallthrough
		case wantValue:
			if s.depth == 1 {
				s.start = s.pos + i
			}
			i++
			switch {
			case c == '"':
				if end = plainEnd(b, i); end < len(b) && b[end] == '"' {
					i = end + 1
					goto ended
				}
				s.state, s.isName = inString, false
			case '1' <= c && c <= '9':
				for i < len(b) && isDigit(b[i]) {
					i++
				}
				if i < len(b) && b[i] != '.' && b[i]|0x20 != 'e' {
					goto ended
				}
				s.state = inInteger
			case c == '{' || c == '[':
				if s.depth == MaxDepth {
					return i, tooDeep
				}
				s.push(c == '{')
			default:
				if !s.begin(c) {
					return i, invalid
				}
			}
		case wantNameOrEnd:
			if c == '}' {
				i++
				s.pop()
				goto ended
			}
			fallthrough
		case wantName:
			if c != '"' {
				return i, invalid
			}
			if s.depth == 1 {
				s.start, s.cut, s.long, s.name = s.pos+i, false, false, s.name[:0]
			}
			i++
			if end = plainEnd(b, i); end+2 < len(b) && b[end] == '"' && b[end+1] == ':' {
				s.nameEnded(b[:end+1])
				s.state = wantValue
				if i = end + 2; b[i] == ' ' {
					i++
				}
				continue
			}
			s.state, s.isName = inString, true
		case wantColon:
			if c != ':' {
				return i, invalid
			}
			i++
			s.state = wantValue
		case wantCommaOrEnd:
			i++
			switch {
			case c == ',':
				if s.state = wantValue; s.object {
					s.state = wantName
				}
				if i < len(b) && b[i] == ' ' {
					i++
				}
			case c == '}' && s.object, c == ']' && !s.object:
				s.pop()
				goto ended
			default:
				return i, invalid
			}
		case inString:
			if i = plainEnd(b, i); i == len(b) {
				break
			}
			c = b[i]
			i++
			switch {
			case c == '"' && s.isName:
				s.nameEnded(b[:i])
				s.state = wantColon
			case c == '"':
				goto ended
			case c == '\\':
				s.state = inEscape
			default:
				return i, invalid
			}
		case inEscape:
			i++
			switch c {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				s.state = inString
			case 'u':
				s.state, s.digits = inHex, 4
			default:
				return i, invalid
			}
		case inHex:
			if !isHex(c) {
				return i, invalid
			}
			i++
			if s.digits--; s.digits == 0 {
				s.state = inString
			}
		case inLiteral:
			if c != s.word[0] {
				return i, invalid
			}
			i++
			if s.word = s.word[1:]; s.word == "" {
				goto ended
			}
		default:
			if i, v = s.number(b, i); v == invalid {
				return i, v
			} else if v == complete {
				goto ended
			}
		}
		continue

	ended: // a value has ended before b[i]
		switch s.depth {
		case 0:
			s.pos += i
			return i, complete
		case 1:
			s.at[s.member] = span{s.start, s.pos + i}
		}
		s.state = wantCommaOrEnd
	}
	s.keepName(b)
	s.pos += i
	return i, incomplete
}

// begin begins a literal, or a number that does not begin with 1 to 9. It returns false
// if c does not begin one.
func (s *scanner) begin(c byte) bool {
	switch c {
	case '0':
		s.state = afterZero
	case '-':
		s.state = afterMinus
	case 't':
		s.state, s.word = inLiteral, "rue"
	case 'f':
		s.state, s.word = inLiteral, "alse"
	case 'n':
		s.state, s.word = inLiteral, "ull"
	default:
		return false
	}
	return true
}

// push begins an object or array, and notes what kind the one is that it is in.
func (s *scanner) push(object bool) {
	if s.depth%64 == 0 && s.depth > 0 {
		s.outer = append(s.outer, s.kinds)
	}
	s.kinds <<= 1
	if s.object {
		s.kinds |= 1
	}
	s.depth++
	s.object = object
	if s.state = wantValueOrEnd; object {
		s.state = wantNameOrEnd
	}
}

// pop ends the innermost object or array.
func (s *scanner) pop() {
	s.object = s.kinds&1 != 0
	s.kinds >>= 1
	s.depth--
	if s.depth%64 == 0 && s.depth > 0 {
		last := len(s.outer) - 1
		s.kinds, s.outer = s.outer[last], s.outer[:last]
	}
}

// number reads on in the number at b[i]. The verdict is complete if it has ended.
func (s *scanner) number(b []byte, i int) (int, verdict) {
	for ; i < len(b); i++ {
		c := b[i]
		digit := isDigit(c)
		switch s.state {
		case afterMinus:
			switch {
			case c == '0':
				s.state = afterZero
			case digit:
				s.state = inInteger
			default:
				return i, invalid
			}
			continue
		case inInteger:
			if digit {
				continue
			}
			fallthrough
		case afterZero:
			if c == '.' {
				s.state = afterPoint
				continue
			}
			if c|0x20 == 'e' {
				s.state = afterE
				continue
			}
		case afterPoint:
			if !digit {
				return i, invalid
			}
			s.state = inFraction
			continue
		case inFraction:
			if digit {
				continue
			}
			if c|0x20 == 'e' {
				s.state = afterE
				continue
			}
		case afterE:
			if c == '+' || c == '-' {
				s.state = afterExpSign
				continue
			}
			fallthrough
		case afterExpSign:
			if !digit {
				return i, invalid
			}
			s.state = inExponent
			continue
		case inExponent:
			if digit {
				continue
			}
		}
		// The number has ended. What comes next sees whether c may follow it.
		return i, complete
	}
	return i, incomplete
}

// keepName keeps what the piece b has of a name that goes on in the next piece.
func (s *scanner) keepName(b []byte) {
	if s.depth != 1 || !s.isName || s.state < inString || s.state > inHex {
		return
	}
	if !s.cut {
		b = b[s.start-s.pos:]
	}
	s.cut = true
	if s.long = s.long || len(s.name)+len(b) > maxMemberName; !s.long {
		s.name = append(s.name, b...)
	}
}

// nameEnded notes which member of the outermost object has the name that ends at the end
// of the piece b.
func (s *scanner) nameEnded(b []byte) {
	switch {
	case s.depth != 1:
	case !s.cut:
		s.member = memberOf(b[s.start-s.pos:])
	case s.long:
		s.member = memberOther
	default:
		s.member = memberOf(append(s.name, b...))
	}
}

// plainEnd returns the index of the first byte of b, from b[i] on, that does not stand
// for itself in a string: a quote, a backslash or a control character. It is len(b) if
// there is none.
func plainEnd(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(b)-i >= 8; i += 8 {
		// In found, the lowest bit that is set belongs to the first such byte.
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^'"'*ones, w^'\\'*ones
		found := ((w-' '*ones)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & tops
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < ' ' {
			break
		}
	}
	return i
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }
