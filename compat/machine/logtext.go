package machine

import (
	"fmt"
	"slices"
)

// A logText holds the beginning and the end of a text of any length: its first
// quarter is what was written first, the rest what was written last.
type logText struct {
	limit   int    // in bytes; negative: no limit
	head    []byte // at most a quarter of limit
	ring    []byte // what came last; at most the rest of limit
	oldest  int    // where ring begins, once it is full
	dropped int64  // how many bytes are missing between the two
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
	t.dropped += int64(len(b)) // each byte takes the place of one
	b = b[max(0, len(b)-len(t.ring)):]
	for len(b) > 0 {
		n = copy(t.ring[t.oldest:], b)
		t.oldest, b = (t.oldest+n)%len(t.ring), b[n:]
	}
}

// render appends the text to dst, with a line in place of what is missing. Of the
// end it has at most so many bytes, unless most is negative.
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
