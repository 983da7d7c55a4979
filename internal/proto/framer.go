package proto

import (
	"errors"
	"io"
	"slices"
	"sync"
)

// Bounds of one message, either way.
const (
	// DefaultMaxMessage is the default of the largest message, in bytes. It is
	// larger than any reply of QEMU's own programs. The largest is that of
	// guest-file-read: at most 48 MiB, which are 64 MiB in base64, and the rest of
	// the message. (guest-exec-status returns at most twice 16 MiB.)
	DefaultMaxMessage = 80 << 20
	// MaxDepth is how deeply an incoming message may nest, the outer object
	// included. It is jsontext's own bound.
	MaxDepth = 10_000
	// MaxSend is the largest message, in bytes, that QEMU reads: its parser gives
	// up at 64 MiB.
	MaxSend = 64<<20 - 1
	// MaxSendDepth is how deeply an outgoing message may nest, the outer
	// object included. QEMU's parser gives up above 1,024.
	MaxSendDepth = 1_000
	// MaxSendTokens is how many tokens an outgoing message may have: each
	// bracket, comma, colon, string, number and literal is one. QEMU's parser
	// gives up above it.
	MaxSendTokens = 2 << 20

	// smallBuffer is the size of the buffer that a Framer keeps, and busyBuffer that of
	// the one that it uses while one read brings much.
	smallBuffer = 4 << 10
	busyBuffer  = 8 << 10
	// pieceSize is the size of the pieces in which a message is received that does
	// not fit into a busyBuffer.
	pieceSize = 64 << 10
	// maxEmptyReads is how often in a row the reader may return no bytes and no
	// error.
	maxEmptyReads = 100
	// excerptLen bounds the bytes that an error shows, and the path in it.
	excerptLen = 80
)

// A Framer cuts a stream into messages. It is for one goroutine at a time.
//
// Messages may be split and joined in any way, end in CRLF, LF or nothing, and
// be spread over many lines.
type Framer struct {
	r          io.Reader
	max        int // no limit if negative
	beforeRead func()
	pending    error // came together with bytes: returned after they are used up
	err        error // sticky

	small []byte // nil until it is needed
	buf   []byte // the buffer in use: small, a busy one, or a piece of a large message
	off   int    // buf[off:end] was received, and no message that was returned has it
	end   int
	busy  bool // the last read brought more than small has room for

	// About the message that has begun.
	begun   bool
	scan    scanner
	scanned int      // how much of it is in buf: buf[off:off+scanned]
	pieces  [][]byte // what came before that, if it is a large one
	size    int      // the length of pieces
}

// NewFramer returns a Framer that reads from r. max is the largest message in
// bytes; 0 means DefaultMaxMessage, a negative number no limit. beforeRead,
// unless nil, is called before the Framer reads from r. By then it has returned
// every whole message that it received.
func NewFramer(r io.Reader, max int, beforeRead func()) *Framer {
	if max == 0 {
		max = DefaultMaxMessage
	}
	return &Framer{r: r, max: max, beforeRead: beforeRead}
}

// Next is [Framer.Message] that returns only the bytes of the message.
func (f *Framer) Next() ([]byte, error) {
	var m Message
	err := f.Message(&m)
	return m.Raw, err
}

// Message stores the next message, one JSON object without white space around it, in m. It
// is valid until the next call, or, if there is a beforeRead, until that returns: see
// [Message.Keep]. The error is io.EOF when the stream ends between messages, a *FrameError
// for bytes that are not a message, and otherwise the reader's own. Every later call
// returns the same error. With an error m is not changed.
func (f *Framer) Message(m *Message) error {
	if f.err == nil {
		f.err = f.next(m)
		if f.err != nil {
			f.drop()
			f.small, f.buf, f.off, f.end = nil, nil, 0, 0
		}
	}
	return f.err
}

// next stores the next message in m.
func (f *Framer) next(m *Message) error {
	if !f.begun {
		if err := f.begin(); err != nil {
			return err
		}
	}
	for {
		received := f.buf[f.off+f.scanned : f.end]
		left := f.max - f.size - f.scanned
		if f.max > 0 && len(received) > left {
			received = received[:left]
		}
		n, v := f.scan.scan(received)
		f.scanned += n
		switch {
		case v == complete:
			return f.finish(m)
		case v != incomplete:
			return faultOf(f.received(), v)
		case f.max > 0 && n == left:
			return f.fault(TooLarge, f.max, nil)
		}
		switch err := f.fill(); err {
		case nil:
		case io.EOF:
			return f.fault(Truncated, 0, io.ErrUnexpectedEOF)
		default:
			return err
		}
	}
}

// begin waits for the first byte of a message. White space before it does not count as
// a part of the message.
func (f *Framer) begin() error {
	for {
		if f.off = skipSpace(f.buf[:f.end], f.off); f.off < f.end {
			break
		}
		if err := f.fill(); err != nil {
			return err
		}
	}
	// Report a wrong first byte immediately: the rest of such a value may
	// come late, or never.
	switch c := f.buf[f.off]; {
	case c == '[' || c == '"' || c == '-' || '0' <= c && c <= '9':
		return f.fault(NotObject, 0, nil)
	case c == ',' || c == ':':
		return f.fault(NotJSON, 0, errDelim)
	}
	f.begun, f.scanned = true, 0
	f.scan.reset()
	return nil
}

var errDelim = errors.New("a comma or colon at start of value")

// fault returns an error for the message that has begun.
func (f *Framer) fault(fault Fault, limit int, err error) *FrameError {
	return &FrameError{Fault: fault, Limit: limit, Excerpt: excerpt(f.received()), Err: err}
}

// finish stores the message, which has ended, in m.
func (f *Framer) finish(m *Message) error {
	raw := f.buf[f.off : f.off+f.scanned : f.off+f.scanned]
	large := f.size > 0
	if large {
		raw = slices.Clip(slices.Concat(append(f.pieces, raw)...))
	}
	f.off += f.scanned
	f.drop()
	if raw[0] != '{' { // a literal
		return &FrameError{Fault: NotObject, Excerpt: excerpt(raw)}
	}
	m.set(raw, &f.scan.at, large)
	return nil
}

// drop drops what the Framer knows about the message that has begun.
func (f *Framer) drop() {
	for _, p := range f.pieces {
		putPiece(p)
	}
	f.begun, f.pieces, f.size, f.scanned = false, nil, 0, 0
}

// received returns what was received of the message that has begun, and of what comes
// after it.
func (f *Framer) received() []byte {
	if f.size == 0 {
		return f.buf[f.off:f.end]
	}
	return slices.Concat(append(f.pieces, f.buf[f.off:f.end])...)
}

// piecePool has pieces of large messages.
var piecePool = sync.Pool{New: func() any { return new([pieceSize]byte) }}

// putPiece puts b into the pool, if it is a whole piece.
func putPiece(b []byte) {
	if len(b) == pieceSize {
		piecePool.Put((*[pieceSize]byte)(b))
	}
}

// chooseBuffer makes buf a buffer without bytes of a message.
func (f *Framer) chooseBuffer() {
	switch {
	case !f.busy:
		putPiece(f.buf)
		if f.small == nil {
			f.small = make([]byte, smallBuffer)
		}
		f.buf = f.small
	case len(f.buf) != busyBuffer:
		putPiece(f.buf)
		f.buf = make([]byte, busyBuffer)
	}
}

// makeRoom makes room in buf for more bytes. All bytes in it were scanned.
func (f *Framer) makeRoom() {
	part := f.buf[f.off:f.end] // of a message that has begun
	switch {
	case f.size > 0 && f.end < len(f.buf):
		return // the piece is not full
	case f.size == 0 && len(part) == 0:
		f.chooseBuffer()
	case f.size == 0 && f.off <= len(f.buf)/2 && f.end < len(f.buf):
		return
	case f.size == 0 && len(part) <= len(f.buf)/2:
		copy(f.buf, part)
	case f.size == 0 && len(f.buf) < busyBuffer:
		f.buf = make([]byte, busyBuffer)
		copy(f.buf, part)
	default:
		f.pieces = append(f.pieces, part)
		f.size += len(part)
		f.scanned -= len(part)
		f.buf, part = piecePool.Get().(*[pieceSize]byte)[:], nil
	}
	f.off, f.end = 0, len(part)
}

var errCount = errors.New("a Read reported more bytes than there was room for")

// fill reads more bytes into buf. All bytes in it must have been scanned.
func (f *Framer) fill() error {
	if f.pending != nil {
		return f.pending
	}
	if f.beforeRead != nil {
		f.beforeRead()
	}
	f.makeRoom()
	for range maxEmptyReads {
		room := f.buf[f.end:]
		n, err := f.r.Read(room)
		if n < 0 || n > len(room) {
			n, err = 0, errCount // a Conn that breaks the rules must not break the program
		}
		f.pending = err
		if n > 0 {
			f.end += n
			f.busy = n >= smallBuffer
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}
