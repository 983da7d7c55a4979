package record

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/internal/proto"
)

// A writer turns entries into lines. Only the goroutine that writes uses it.
type writer struct {
	r      *Recorder
	w      io.Writer
	buf    []byte // lines that are not written yet
	size   int64  // how many bytes of lines there were, written or in buf
	full   bool   // MaxSize is reached
	stable stable
}

const (
	writeSize = 32 << 10 // bytes of lines that are collected for one Write
	keepBatch = 64 << 10 // the largest buffers that are kept for the next batch, in bytes
)

// write is the goroutine that writes. It ends after Close.
func (r *Recorder) write(w *writer) {
	defer close(r.done)
	w.buf = appendHeader(w.buf, r.header())
	w.size = int64(len(w.buf))
	w.flush()
	for {
		<-r.wake
		r.mu.Lock()
		b, closed := r.queue, r.closed
		if closed {
			r.noteLost(0)
			b = r.queue
		}
		r.queue, r.spare = r.spare, batch{}
		r.mu.Unlock()
		for i := range b.items {
			w.item(&b, &b.items[i])
		}
		w.flush()
		for _, f := range b.flushes {
			close(f)
		}
		if closed {
			w.end()
			return
		}
		r.mu.Lock()
		if cap(b.data) <= keepBatch && cap(b.items)*itemSize <= 4*keepBatch {
			clear(b.items)
			r.spare = batch{items: b.items[:0], data: b.data[:0]}
		}
		r.mu.Unlock()
	}
}

func (r *Recorder) header() Header {
	h := Header{Version: FormatVersion, Masked: !r.opts.Unmasked, Stable: r.opts.Stable}
	if !h.Stable {
		h.Time = r.start
	}
	return h
}

// item appends the line of an item to buf.
func (w *writer) item(b *batch, it *item) {
	e := it.entry
	if it.n > 0 {
		e.Message = b.data[it.at : it.at+it.n : it.at+it.n]
	}
	if tooDeep(e.Message) {
		e.Message, e.Omitted = essence(e.Message), len(e.Message)
	}
	if w.r.opts.Stable {
		w.stable.entry(&e)
	}
	if f := w.r.opts.Filter; f != nil && e.Kind != Missing {
		var ok bool
		if e, ok = f(e); !ok {
			return
		}
		if err := check(&e); err != nil {
			w.r.fail(fmt.Errorf("recording: what record.Options.Filter returned: %w", err))
			return
		}
	}
	if w.full {
		w.miss(1)
		return
	}
	start := len(w.buf)
	w.buf = appendEntry(w.buf, &e)
	if limit := w.r.opts.MaxSize; limit >= 0 && w.size+int64(len(w.buf)-start) > limit {
		gap := &Gap{Reason: fmt.Sprintf("the recording has reached record.Options.MaxSize, %d bytes", limit)}
		w.buf = appendEntry(w.buf[:start], &Entry{Kind: Missing, Time: e.Time, Gap: gap})
		w.full = true
		w.miss(1)
	}
	w.size += int64(len(w.buf) - start)
	if len(w.buf) >= writeSize {
		w.flush()
	}
}

// miss counts entries that are left out.
func (w *writer) miss(n int) {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	w.r.missed += n
}

// flush writes buf. After an error nothing is written any more.
func (w *writer) flush() {
	if len(w.buf) == 0 || w.r.Err() != nil {
		w.buf = w.buf[:0]
		return
	}
	n, err := w.w.Write(w.buf)
	if err == nil && n < len(w.buf) {
		err = io.ErrShortWrite
	}
	if err != nil {
		w.r.fail(fmt.Errorf("recording: %w", err))
	}
	w.buf = w.buf[:0]
	if cap(w.buf) > 4*writeSize {
		w.buf = nil
	}
}

// end writes the last line and closes the file.
func (w *writer) end() {
	w.r.mu.Lock()
	missed := w.r.missed
	w.r.mu.Unlock()
	w.buf = appendComplete(w.buf, missed)
	w.flush()
	if w.r.file == nil {
		return
	}
	if err := w.r.file.Close(); err != nil {
		w.r.fail(fmt.Errorf("recording: %w", err))
	}
}

// check returns an error if a line cannot have e.
func check(e *Entry) error {
	switch e.Kind {
	case Connected:
	case Ended:
		if e.End == nil {
			return errors.New("an entry of kind ended without End")
		}
	case Missing:
		if e.Gap == nil {
			return errors.New("an entry of kind missing without Gap")
		}
	case Sent, Unsent, Received:
		if e.Message == nil {
			if e.Kind == Received {
				return errors.New("an entry of kind received without a Message")
			}
			return nil
		}
		v := jsontext.Value(e.Message)
		if !v.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) || v.Kind() != '{' || tooDeep(e.Message) {
			return fmt.Errorf("a Message that is not a JSON object: %q", shorten(e.Message))
		}
	default:
		return fmt.Errorf("an entry of the unknown kind %q", e.Kind)
	}
	return nil
}

// essence returns the part of a large message that a recording keeps: the name of the
// command or event, and the id.
func essence(msg []byte) []byte {
	dst := []byte{'{'}
	proto.Members(msg, func(name string, value []byte) bool {
		switch name {
		case "execute", "exec-oob", "event", "id":
			if len(value) > maxEssence {
				return true
			}
			if len(dst) > 1 {
				dst = append(dst, ',')
			}
			dst = proto.AppendText(dst, name)
			dst = append(dst, ':')
			dst = append(dst, value...)
		}
		return true
	})
	return append(dst, '}')
}

// maxEssence is how long the name or the id of a large message may be, in bytes.
const maxEssence = 1 << 10

// tooDeep reports whether a line with msg in it would have more levels than a reader
// takes.
func tooDeep(msg []byte) bool {
	if len(msg) < 2*(proto.MaxDepth-1) {
		return false
	}
	return proto.Depth(msg) > proto.MaxDepth-1
}

// shorten returns b, or the beginning of a long b, for an error.
func shorten(b []byte) string {
	const most = 500
	if len(b) > most {
		return harmless.Line(string(b[:most])) + "..."
	}
	return harmless.Line(string(b))
}
