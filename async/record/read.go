package record

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// A FormatError says what is wrong with a recording, and where. If the recording is cut
// off, it matches [io.ErrUnexpectedEOF].
type FormatError struct {
	Line int // the number of the line, from 1
	Err  error
}

// Error returns the line's number and what is wrong.
func (e *FormatError) Error() string { return fmt.Sprintf("recording: line %d: %v", e.Line, e.Err) }

// Unwrap returns Err.
func (e *FormatError) Unwrap() error { return e.Err }

// A Recording is what a file has.
type Recording struct {
	Header  Header
	Entries []Entry

	// Complete is false if the last line, which [Recorder.Close] writes, was missing.
	Complete bool

	// Missing is how many entries the Recorder left out, by its last line.
	Missing int
}

// Load reads a whole recording. It copies what it keeps.
//
// The error is a [*FormatError], or that of r. If the recording is cut off, because the
// program that recorded ended suddenly, the disk was full, or somebody removed the last
// lines, then the error matches [io.ErrUnexpectedEOF], and the Recording has what comes
// before, and can be used. For every other error the Recording is nil.
func Load(r io.Reader) (*Recording, error) {
	rd := newReader(r)
	if err := rd.readHeader(); err != nil {
		return nil, err
	}
	rec := &Recording{Header: rd.header}
	for {
		e, err := rd.next()
		switch {
		case err == nil:
			rec.Entries = append(rec.Entries, e)
		case err == io.EOF:
			rec.Complete, rec.Missing = true, rd.missing
			return rec, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return rec, err
		default:
			return nil, err
		}
	}
}

// LoadFile is [Load] for a file. Errors name it.
func LoadFile(path string) (*Recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	defer f.Close()
	rec, err := Load(f)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return rec, err
}

// Read returns the entries of a recording one by one, for a recording that is too large
// for memory. An error comes last, with the zero Entry: it is one of those of [Load].
func Read(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		rd := newReader(r)
		if err := rd.readHeader(); err != nil {
			yield(Entry{}, err)
			return
		}
		for {
			e, err := rd.next()
			if err == io.EOF {
				return
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// WriteTo writes the recording in the form that [Load] reads: after a change of its
// Entries, say. It implements [io.WriterTo]. The error is that of w, or says which
// entry has something that no line can have.
func (rec *Recording) WriteTo(w io.Writer) (int64, error) {
	h := rec.Header
	h.Version = FormatVersion
	buf := appendHeader(nil, h)
	var written int64
	flush := func() error {
		n, err := w.Write(buf)
		written += int64(n)
		buf = buf[:0]
		return err
	}
	for i := range rec.Entries {
		e := &rec.Entries[i]
		if err := check(e); err != nil {
			return written, fmt.Errorf("recording: entry %d: %w", i, err)
		}
		buf = appendEntry(buf, e)
		if len(buf) >= writeSize {
			if err := flush(); err != nil {
				return written, err
			}
		}
	}
	if rec.Complete {
		buf = appendComplete(buf, rec.Missing)
	}
	return written, flush()
}

// A reader reads a recording line by line.
type reader struct {
	r       *bufio.Reader
	line    int
	header  Header
	missing int
	order   order
}

func newReader(r io.Reader) *reader { return &reader{r: bufio.NewReaderSize(r, 64<<10)} }

// errCutOff says that a recording has no last line.
var errCutOff = fmt.Errorf("the recording is cut off after this line: %w. "+
	"The program that recorded has not closed its Recorder, or could not write, or the end was removed. "+
	`A complete recording ends with {"%s":true}`, io.ErrUnexpectedEOF, completeName)

// errHalfLine says that the last line ends in the middle.
var errHalfLine = fmt.Errorf("the recording is cut off inside this line: %w", io.ErrUnexpectedEOF)

// text returns the next line that is not blank, without its end. At the end of the file
// the error is errCutOff, since the caller has not seen the last line of a recording. The
// line is valid until the next call.
func (rd *reader) text() ([]byte, error) {
	for {
		line, err := rd.r.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			head := bytes.Clone(line)
			var rest []byte
			rest, err = rd.r.ReadBytes('\n')
			line = append(head, rest...)
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("recording: after line %d: %w", rd.line, err)
		}
		whole := err == nil
		if !whole && len(line) == 0 {
			return nil, &FormatError{Line: rd.line, Err: errCutOff}
		}
		rd.line++
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if !whole && !valid(line) {
			return nil, &FormatError{Line: rd.line, Err: errHalfLine}
		}
		return line, nil
	}
}

func (rd *reader) readHeader() error {
	line, err := rd.text()
	if errors.Is(err, errCutOff) && rd.line == 0 {
		return &FormatError{Line: 1, Err: fmt.Errorf("the file is empty: %w", io.ErrUnexpectedEOF)}
	}
	if err == nil {
		err = rd.at(parseHeader(line, &rd.header))
	}
	return err
}

// next returns the next entry. After the last line of a recording the error is io.EOF.
func (rd *reader) next() (Entry, error) {
	line, err := rd.text()
	if err != nil {
		return Entry{}, err
	}
	var e Entry
	complete, err := parseLine(line, &e, &rd.missing)
	if err != nil {
		return Entry{}, rd.at(err)
	}
	if complete {
		switch line, err := rd.text(); {
		case err == nil:
			return Entry{}, rd.at(fmt.Errorf("after the last line of the recording comes %q: the file has two recordings", shorten(line)))
		case errors.Is(err, errCutOff):
			return Entry{}, io.EOF
		default:
			return Entry{}, err
		}
	}
	if err := rd.order.add(&e); err != nil {
		return Entry{}, rd.at(err)
	}
	e.Line = rd.line
	return e, nil
}

// at adds the line's number to err.
func (rd *reader) at(err error) error {
	if err == nil {
		return nil
	}
	return &FormatError{Line: rd.line, Err: err}
}

// An order checks that the entries of each session come in an order that a Recorder
// writes. The zero order is ready to use.
type order struct {
	clients map[string]*sessions
	gap     bool // entries are missing: connects and ends may be among them
}

// sessions are those of one client. A client that connects again may begin a session a
// moment before the end of the one before is recorded.
type sessions struct {
	latest uint64
	open   map[uint64]*progress
}

// progress is how far a session is.
type progress struct {
	sent bool // a Sent may be followed by an Unsent
}

func (o *order) add(e *Entry) error {
	if e.Kind == Missing {
		o.gap = true
		return nil
	}
	if o.clients == nil {
		o.clients = make(map[string]*sessions)
	}
	c := o.clients[e.Client]
	if c == nil {
		c = &sessions{open: make(map[uint64]*progress)}
		o.clients[e.Client] = c
	}
	p := c.open[e.Session]
	if !o.gap {
		if err := c.refuses(e, p); err != nil {
			return err
		}
	}
	if p == nil {
		p = &progress{}
		c.open[e.Session] = p
	}
	c.latest = max(c.latest, e.Session)
	switch e.Kind {
	case Sent:
		p.sent = true
	case Unsent:
		p.sent = false
	case Ended:
		delete(c.open, e.Session)
	}
	return nil
}

// refuses returns why e cannot come here. p is nil if its session is not open.
func (c *sessions) refuses(e *Entry, p *progress) error {
	who := fmt.Sprintf("session %d", e.Session)
	if e.Client != "" {
		who += fmt.Sprintf(" of client %q", e.Client)
	}
	switch {
	case e.Session == 0:
		return errors.New("sessions are counted from 1")
	case e.Kind == Connected && e.Session < c.latest:
		return fmt.Errorf("%s begins after session %d has begun", who, c.latest)
	case e.Kind == Connected && e.Session == c.latest:
		return fmt.Errorf("%s has already begun", who)
	case e.Kind == Connected:
		return nil
	case p == nil && e.Session > c.latest:
		return fmt.Errorf("%s has not begun: there is no line with %q for it", who, Connected)
	case p == nil:
		return fmt.Errorf("%s has already ended, or has never begun", who)
	case e.Kind == Unsent && !p.sent:
		return fmt.Errorf("%s: %q comes without a %q before it", who, Unsent, Sent)
	}
	return nil
}
