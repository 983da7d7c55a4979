package machine

import (
	"fmt"
	"slices"
)

// A logText holds the beginning and the end of a text, limit bytes at most. A quarter
// of them is for what was written first, the rest for what was written last. What is
// between them is dropped.
type logText struct {
	limit   int    // in bytes; negative: no limit
	head    []byte // what was written first; at most a quarter of limit
	ring    []byte // what was written last, as a ring; at most the rest of limit
	oldest  int    // the index of the oldest byte in ring; 0 until ring is full
	dropped int64  // how many bytes between head and ring were dropped
}

func (t *logText) write(b []byte) {
	if t.limit < 0 {
		t.head = append(t.head, b...)
		return
	}
	n := min(len(b), t.limit/4-len(t.head))
	t.head, b = append(t.head, b[:n]...), b[n:]

	n = min(len(b), t.limit-t.limit/4-len(t.ring))
	t.ring, b = append(t.ring, b[:n]...), b[n:]
	t.dropped += int64(len(b)) // the ring is full: each new byte replaces an old one
	b = b[max(0, len(b)-len(t.ring)):]
	for len(b) > 0 {
		n = copy(t.ring[t.oldest:], b)
		t.oldest, b = (t.oldest+n)%len(t.ring), b[n:]
	}
}

// render appends the text to dst, with a line that says how many bytes were dropped.
// Of the ring it appends at most most bytes, the newest ones. A negative most means
// all of it.
func (t *logText) render(dst []byte, most int) []byte {
	older, newer := t.ring[t.oldest:], t.ring[:t.oldest]
	dropped := t.dropped
	if extra := len(t.ring) - most; most >= 0 && extra > 0 {
		dropped += int64(extra)
		n := min(extra, len(older))
		older, newer = older[n:], newer[extra-n:]
	}
	dst = slices.Grow(dst, len(t.head)+len(older)+len(newer)+200)
	dst = append(dst, t.head...)
	if dropped > 0 {
		dst = fmt.Appendf(dst, "\n[%d bytes are missing here: the log's limit is %d bytes (machine.Options.LogLimit)]\n", dropped, t.limit)
	}
	return append(append(dst, older...), newer...)
}
