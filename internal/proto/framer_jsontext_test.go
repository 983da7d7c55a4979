package proto

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

const whitespace = " \t\r\n"

// An jsontextFramer is the Framer as it was before it had a scanner of its own: it reads with
// package jsontext. FuzzScanner compares the two.
//
// Messages may be split and joined in any way, end in CRLF, LF or nothing, and
// be spread over many lines.
type jsontextFramer struct {
	src   source
	dec   *jsontext.Decoder
	start int64 // where the current message begins, as dec counts
	err   error // sticky
}

// newJSONTextFramer returns a jsontextFramer that reads from r. max is the largest message in
// bytes; 0 means DefaultMaxMessage, a negative number no limit. beforeRead,
// unless nil, is called before the jsontextFramer reads from r. By then it has returned
// every whole message that it received.
func newJSONTextFramer(r io.Reader, max int, beforeRead func()) *jsontextFramer {
	if max == 0 {
		max = DefaultMaxMessage
	}
	f := &jsontextFramer{src: source{r: r, max: max, beforeRead: beforeRead}}
	f.reset()
	return f
}

func (f *jsontextFramer) reset() {
	f.dec = jsontext.NewDecoder(&f.src,
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// Next returns the next message, one JSON object without white space around
// it. The bytes are valid until the next call. The error is io.EOF when the stream
// ends between messages, a *FrameError for bytes that are not a message, and
// otherwise the reader's own. Every later call returns the same error.
func (f *jsontextFramer) Next() ([]byte, error) {
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

func (f *jsontextFramer) next() ([]byte, error) {
	unread := f.dec.UnreadBuffer()
	rest := bytes.TrimLeft(unread, whitespace)
	f.start = f.dec.InputOffset() + int64(len(unread)-len(rest))
	f.src.left = f.src.max - len(rest)
	if len(rest) == 0 {
		// Wait for a message here, not in the decoder: white space between
		// messages must not count as part of one, nor fill a buffer.
		var err error
		if rest, err = f.src.first(); err != nil {
			return nil, err
		}
	}

	// Report a wrong first byte immediately: the rest of such a value may
	// come late, or never.
	switch c := rest[0]; {
	case c == '[' || c == '"' || c == '-' || '0' <= c && c <= '9':
		return nil, &FrameError{Fault: NotObject, Excerpt: excerpt(rest)}
	case c == ',' || c == ':':
		return nil, &FrameError{Fault: NotJSON, Excerpt: excerpt(rest), Err: errDelim}
	}
	msg, err := f.dec.ReadValue()
	if err != nil {
		return nil, f.explain(err)
	}
	if msg[0] != '{' { // a literal
		return nil, &FrameError{Fault: NotObject, Excerpt: excerpt(msg)}
	}
	if len(msg) > (8 << 10) {
		// The message keeps the grown buffer. The decoder starts with a new one.
		f.src.unread(f.dec.UnreadBuffer())
		f.reset()
	}
	return msg, nil
}

// explain turns an error of the decoder into one of this package. An error of
// the reader is the cause, whatever the decoder makes of it.
func (f *jsontextFramer) explain(err error) error {
	switch f.src.err {
	case nil:
	case errFull:
		return &FrameError{Fault: TooLarge, Limit: f.src.max, Excerpt: f.excerpt()}
	case io.EOF:
		return &FrameError{Fault: Truncated, Excerpt: f.excerpt(), Err: io.ErrUnexpectedEOF}
	default:
		return f.src.err
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		if syntax.Err == errMaxDepth() {
			return &FrameError{Fault: TooDeep, Limit: MaxDepth, Excerpt: f.excerpt(), Err: syntax.Err}
		}
		// The decoder counts offsets from its own beginning, not from the
		// message's. Its path holds member names, which can be very long.
		short := &jsontext.SyntacticError{ByteOffset: syntax.ByteOffset - f.start, Err: syntax.Err}
		if len(syntax.JSONPointer) <= excerptLen {
			short.JSONPointer = syntax.JSONPointer
		}
		err = short
	}
	return &FrameError{Fault: NotJSON, Excerpt: f.excerpt(), Err: err}
}

func (f *jsontextFramer) excerpt() []byte {
	return excerpt(bytes.TrimLeft(f.dec.UnreadBuffer(), whitespace))
}

var errFull = errors.New("message too large")

// source feeds the decoder. It counts the bytes of the message being read, so
// that the decoder never holds more of one than max, and remembers the reader's
// error.
type source struct {
	r          io.Reader
	max        int // no limit if negative
	beforeRead func()

	buf     []byte // bytes that were read
	off     int    // how many of buf have been passed on
	left    int    // how many more bytes the current message may have
	pending error  // came together with bytes: returned after they are passed on
	err     error  // the error that was returned
}

// Read passes bytes of the current message, and of later ones, to the decoder.
// Short reads are served from buf. A long one, for a large message, reads from
// the reader directly.
func (s *source) Read(p []byte) (int, error) {
	if s.max > 0 && len(p) > s.left {
		if s.left <= 0 {
			s.err = errFull
			return 0, s.err
		}
		p = p[:s.left]
	}
	if s.off == len(s.buf) {
		if len(p) >= smallBuffer {
			s.buf, s.off = s.buf[:0], 0 // so that unread does not find older bytes there
			n, err := s.fetch(p)
			s.left -= n
			return n, err
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.buf[s.off:])
	s.off += n
	s.left -= n
	return n, nil
}

// first skips white space, waits for the first byte of a message, and returns
// the bytes that are there. It does not count them as passed on.
func (s *source) first() ([]byte, error) {
	for {
		s.off = skipSpace(s.buf, s.off)
		if s.off < len(s.buf) {
			return s.buf[s.off:], nil
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads into buf. All bytes in it must have been passed on.
func (s *source) fill() error {
	if cap(s.buf) != smallBuffer {
		s.buf = make([]byte, 0, smallBuffer)
	}
	n, err := s.fetch(s.buf[:smallBuffer])
	s.buf, s.off = s.buf[:n], 0
	return err
}

// unread takes back b, the last bytes that were passed on.
func (s *source) unread(b []byte) {
	if len(b) <= s.off {
		s.off -= len(b) // they are still in buf
		return
	}
	s.buf, s.off = append(bytes.Clone(b), s.buf[s.off:]...), 0
}

// fetch reads from the reader, at least one byte unless there is an error.
func (s *source) fetch(p []byte) (int, error) {
	if s.err = s.pending; s.err != nil {
		return 0, s.err
	}
	if s.beforeRead != nil {
		s.beforeRead()
	}
	for range maxEmptyReads {
		n, err := s.r.Read(p)
		if n < 0 || n > len(p) {
			n, err = 0, errCount // a Conn that breaks the rules must not break the program
		}
		s.pending = err
		if n > 0 {
			return n, nil
		}
		if err != nil {
			s.err = err
			return 0, err
		}
	}
	s.pending, s.err = io.ErrNoProgress, io.ErrNoProgress
	return 0, s.err
}
