package proto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of one message, either way.
const (
	// DefaultMaxMessage is the largest message, in bytes, where nothing else
	// is configured.
	DefaultMaxMessage = 64 << 20
	// MaxDepth is how deeply an incoming message may nest, the outer object
	// included. It is jsontext's own bound.
	MaxDepth = 10_000
	// MaxSendDepth is how deeply an outgoing message may nest, the outer
	// object included. QEMU's parser gives up a little above it.
	MaxSendDepth = 1_000

	// keepBuffer is the largest buffer that an idle Framer holds on to.
	keepBuffer = 64 << 10
	// excerptLen bounds the bytes that an error shows.
	excerptLen = 80
)

// A Fault is what can be wrong with a message as a piece of JSON.
type Fault int

// The faults.
const (
	NotJSON   Fault = iota // no JSON value
	NotObject              // JSON, but no object
	TooLarge               // more bytes than the limit
	TooDeep                // more levels than the limit
	Truncated              // the stream ended inside the message
	BadNumber              // a number too long to convert
)

// A FrameError says why bytes are no message.
type FrameError struct {
	Fault   Fault
	Limit   int    // the bound crossed, for TooLarge, TooDeep and BadNumber
	Excerpt []byte // how the message begins, shortened
	Err     error  // the parser's error, or nil
}

func (e *FrameError) Error() string {
	var what string
	switch e.Fault {
	case NotJSON:
		what = "not JSON"
	case NotObject:
		what = "not a JSON object"
	case TooLarge:
		return fmt.Sprintf("larger than the limit of %d bytes", e.Limit)
	case TooDeep:
		return fmt.Sprintf("nested deeper than the limit of %d levels", e.Limit)
	case Truncated:
		what = "cut off"
	case BadNumber:
		return fmt.Sprintf("a number of more than %d digits", e.Limit)
	}
	if e.Err != nil && e.Fault == NotJSON {
		// Errors take one line; a parser may quote what it has read.
		what += " (" + strings.ReplaceAll(e.Err.Error(), "\n", " ") + ")"
	}
	return fmt.Sprintf("%s: %q", what, e.Excerpt)
}

func (e *FrameError) Unwrap() error { return e.Err }

// errMaxDepth is how jsontext says that its bound is crossed. It keeps that
// error to itself, so it is asked for it once, when first needed.
var errMaxDepth = sync.OnceValue(func() error {
	dec := jsontext.NewDecoder(strings.NewReader(strings.Repeat("[", MaxDepth+1)))
	_, err := dec.ReadValue()
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return syntax.Err
	}
	return err
})

// A Framer cuts a stream into messages. It is for one goroutine.
//
// Messages may be split and joined in any way, end in CRLF, LF or nothing, and
// be spread over many lines.
type Framer struct {
	src source
	dec *jsontext.Decoder
	err error // sticky
}

// NewFramer returns a Framer that reads from r. max is the largest message in
// bytes; 0 means DefaultMaxMessage, a negative number no limit. beforeRead,
// unless nil, is called when everything received has been given out and the
// Framer is about to wait for more.
func NewFramer(r io.Reader, max int, beforeRead func()) *Framer {
	if max == 0 {
		max = DefaultMaxMessage
	}
	f := &Framer{src: source{r: r, max: max, beforeRead: beforeRead}}
	f.reset()
	return f
}

func (f *Framer) reset() {
	f.dec = jsontext.NewDecoder(&f.src,
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// Next returns the next message, one JSON object without white space around
// it. It is valid until the next call. The error is io.EOF when the stream ends
// between messages, a *FrameError for bytes that are no message, and otherwise
// the reader's own. An error is final.
func (f *Framer) Next() ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	msg, err := f.next()
	if err != nil {
		f.err = err
		return nil, err
	}
	return msg, nil
}

func (f *Framer) next() ([]byte, error) {
	rest := bytes.TrimLeft(f.dec.UnreadBuffer(), whitespace)
	f.src.start(len(rest))

	switch f.dec.PeekKind() {
	case '[', '"', '0':
		// Said at once: the rest of such a value may be long in coming.
		return nil, &FrameError{Fault: NotObject, Excerpt: f.excerpt()}
	}
	msg, err := f.dec.ReadValue()
	if err != nil {
		return nil, f.explain(err)
	}
	if f.src.max > 0 && len(msg) > f.src.max {
		return nil, f.tooLarge()
	}
	if msg.Kind() != '{' {
		return nil, &FrameError{Fault: NotObject, Excerpt: excerpt(msg)}
	}
	if len(msg) > keepBuffer {
		// Give the grown buffer back with this message.
		f.src.unread(f.dec.UnreadBuffer())
		f.reset()
	}
	return msg, nil
}

// explain turns an error of the decoder into one of ours. What the reader said
// counts for more than what the decoder made of it.
func (f *Framer) explain(err error) error {
	switch srcErr := f.src.err; {
	case errors.Is(srcErr, errFull):
		return f.tooLarge()
	case srcErr == io.EOF:
		if err == io.EOF {
			return io.EOF
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return &FrameError{Fault: Truncated, Excerpt: f.excerpt(), Err: io.ErrUnexpectedEOF}
		}
	case srcErr != nil:
		return srcErr
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) && syntax.Err == errMaxDepth() {
		return &FrameError{Fault: TooDeep, Limit: MaxDepth, Excerpt: f.excerpt(), Err: err}
	}
	return &FrameError{Fault: NotJSON, Excerpt: f.excerpt(), Err: err}
}

func (f *Framer) tooLarge() error {
	return &FrameError{Fault: TooLarge, Limit: f.src.max, Excerpt: f.excerpt()}
}

func (f *Framer) excerpt() []byte {
	return excerpt(bytes.TrimLeft(f.dec.UnreadBuffer(), whitespace))
}

// excerpt copies how b begins, for an error.
func excerpt(b []byte) []byte {
	if len(b) > excerptLen {
		b = append(b[:excerptLen:excerptLen], "..."...)
	}
	return bytes.Clone(b)
}

const whitespace = " \t\r\n"

var errFull = errors.New("message too large")

// source feeds the decoder: it counts the bytes of the message being read,
// keeps blank space between messages out, and remembers the reader's error.
type source struct {
	r          io.Reader
	max        int
	beforeRead func()

	pre   []byte // read already, to be read again
	left  int    // bytes that the current message may still take
	begun bool   // its first byte has been seen
	err   error
}

// start begins a message of which n bytes have been read already.
func (s *source) start(n int) {
	s.left, s.begun = s.max-n, n > 0
}

// unread puts a copy of b in front of what is still to come.
func (s *source) unread(b []byte) {
	s.pre = append(bytes.Clone(b), s.pre...)
}

func (s *source) Read(p []byte) (int, error) {
	for {
		if s.max > 0 && len(p) > s.left {
			if s.left <= 0 {
				s.err = errFull
				return 0, s.err
			}
			p = p[:s.left]
		}
		n, err := s.read(p)
		if n == 0 && err != nil {
			s.err = err
			return 0, err
		}
		if !s.begun {
			n = copy(p, bytes.TrimLeft(p[:n], whitespace))
			s.begun = n > 0
		}
		if n > 0 {
			s.left -= n
			return n, nil
		}
	}
}

func (s *source) read(p []byte) (int, error) {
	if len(s.pre) > 0 {
		n := copy(p, s.pre)
		if s.pre = s.pre[n:]; len(s.pre) == 0 {
			s.pre = nil
		}
		return n, nil
	}
	if s.beforeRead != nil {
		s.beforeRead()
	}
	return s.r.Read(p)
}
