package qmptest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/internal/proto"
)

// A Message is one JSON object that a client sent. Its bytes must not be
// changed.
type Message struct {
	Conn int       // the number of the connection it came over, counted from 0
	Time time.Time // when its last byte was read
	Raw  []byte    // as it was on the wire, without white space around it

	Name      string          // the command that execute or exec-oob names; "" if neither is a string
	OOB       bool            // it came as exec-oob
	Arguments json.RawMessage // nil if absent
	ID        json.RawMessage // as it came, nil if absent
	FDs       int             // how many file descriptors came with it
}

func newMessage(conn int, raw []byte, fds int) Message {
	raw = bytes.Clone(raw)
	c := proto.ParseCommand(raw)
	return Message{
		Conn: conn, Time: time.Now(), Raw: raw,
		Name: c.Name, OOB: c.OOB, Arguments: c.Arguments, ID: c.RawID, FDs: fds,
	}
}

// String returns the message as it was on the wire, shortened.
func (m Message) String() string { return shorten(m.Raw) }

// shorten returns b, or the beginning of a long b. It is for error texts, which
// should not hold megabytes.
func shorten(b []byte) string {
	const most = 300
	if len(b) > most {
		return fmt.Sprintf("%s... (%d bytes)", harmless.Line(string(b[:most])), len(b))
	}
	return harmless.Line(string(b))
}

// A history keeps what clients sent. The zero history is empty.
type history struct {
	mu      sync.Mutex    // guards the fields below; nobody waits while holding it
	msgs    []Message     // only ever appended to
	changed chan struct{} // nil, or a channel that the next add closes and replaces by nil
}

func (h *history) add(m Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.msgs = append(h.msgs, m)
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// sofar returns the messages so far.
func (h *history) sofar() []Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clip(h.msgs)
}

// all returns the messages so far, and a channel that the next one closes.
func (h *history) all() ([]Message, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.changed == nil {
		h.changed = make(chan struct{})
	}
	return slices.Clip(h.msgs), h.changed
}

// await waits until done returns true for the messages so far.
func (h *history) await(ctx context.Context, done func([]Message) bool) ([]Message, error) {
	for {
		msgs, changed := h.all()
		if done(msgs) {
			return msgs, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return msgs, fmt.Errorf("qmptest: waiting for messages from a client, %d so far: %w", len(msgs), context.Cause(ctx))
		}
	}
}
