package transcripts

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/internal/proto"
)

// answering adds ids to the replies that a script sends.
//
// The recorded client sent most commands without an id, and the recorded server
// answered without one. This library sends every command with an id. So a reply
// without an id gets the id of the oldest unanswered command that was recorded
// without one, as a real server would answer. A reply may be sent in pieces.
// Everything else is sent unchanged.
type answering struct {
	// unattributed says that an error reply without an id is from a server that
	// does not know which command it refuses. Such replies are sent unchanged.
	unattributed bool

	waiting  []waiting         // unanswered commands of this connection that were recorded without an id, oldest first
	literals map[string]string // from an id in the recording to the id that this library used, as JSON

	// The state of the stream. A message is everything from a bracket outside of
	// all others to the bracket that closes it.
	under    bool   // a message has begun and has not ended
	message  []byte // the part of it that earlier steps have sent
	depth    int
	inString bool
	escaped  bool

	events  int  // how many whole events were sent, over all connections
	spoiled bool // bytes were sent that make the client end the connection
}

// waiting is a command that was recorded without an id.
type waiting struct {
	id        string // the id that this library gave it, as JSON
	handshake bool   // it is qmp_capabilities: any reply answers it
}

// connected begins a new connection.
func (a *answering) connected() {
	a.waiting, a.message = nil, nil
	a.under, a.depth, a.inString, a.escaped, a.spoiled = false, 0, false, false, false
}

// received notes a command of the client: its name, its id, and the id in the
// recording, nil if there is none.
func (a *answering) received(name, id string, recorded any) {
	switch recorded := recorded.(type) {
	case nil:
		a.waiting = append(a.waiting, waiting{id, name == "qmp_capabilities"})
	case string:
		if isAutomatic(recorded) && recorded != "$id" {
			if a.literals == nil {
				a.literals = make(map[string]string)
			}
			a.literals[recorded] = id
		}
	}
}

// answer returns b with the ids that it lacks.
func (a *answering) answer(b []byte) []byte {
	var out []byte
	for len(b) > 0 {
		n := a.step(b)
		piece := b[:n]
		b = b[n:]
		switch {
		case !a.under: // between messages
		case a.depth > 0: // within a message
			a.message = append(a.message, piece...)
		default: // piece ends a message
			message := piece
			if len(a.message) > 0 {
				message = append(a.message, piece...)
			}
			a.under, a.message = false, nil
			if id := a.ended(message); id != "" {
				out = append(slices.Grow(out, len(b)+n+len(id)), piece[:n-1]...)
				out = append(out, id...)
				piece = piece[n-1:]
			}
		}
		if out == nil && len(b) == 0 {
			return piece // unchanged, without a copy
		}
		out = append(out, piece...)
	}
	return out
}

// step updates the state of the stream for b, up to and including the bracket that
// ends a message, or else for all of b. It returns how many bytes that were.
func (a *answering) step(b []byte) int {
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case a.escaped:
			a.escaped = false
		case a.inString:
			n := bytes.IndexAny(b[i:], `"\\`)
			if n < 0 {
				return len(b)
			}
			i += n
			a.escaped = b[i] == '\\'
			a.inString = a.escaped
		case c == '"' && a.depth > 0:
			a.inString = true
		case c == '{' || c == '[':
			a.under = true
			a.depth++
		case (c == '}' || c == ']') && a.depth > 0:
			if a.depth--; a.depth == 0 {
				return i + 1
			}
		case a.depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n':
			a.spoiled = true
		}
	}
	return len(b)
}

// ended updates the state for a whole message, and returns what to insert before
// its last bracket.
func (a *answering) ended(message []byte) string {
	text := jsontext.Value(bytes.TrimLeft(message, " \t\r\n"))
	if !text.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) || text.Kind() != '{' {
		a.spoiled = true
		return ""
	}
	m := proto.ParseMessage(text)
	switch {
	case m.QMP != nil:
		return ""
	case m.Event != nil:
		a.events++
		return ""
	case m.ID.Kind != proto.NoID:
		id := string(m.ID.Append(nil))
		a.waiting = slices.DeleteFunc(a.waiting, func(w waiting) bool { return w.id == id || w.handshake })
		return ""
	case m.Error != nil && len(a.waiting) == 0:
		a.spoiled = true
		return ""
	case len(a.waiting) == 0:
		return ""
	}
	id := a.waiting[0].id
	a.waiting = a.waiting[1:]
	if m.Error != nil && a.unattributed {
		return ""
	}
	comma := ""
	proto.Members(text, func(string, []byte) bool {
		comma = ", "
		return false
	})
	return comma + `"id": ` + id
}

// isAutomatic reports whether an id in a recording was made by the recorded client.
// It stands for any id that this library makes.
func isAutomatic(id string) bool {
	return id == "$id" || len(id) > len(reserved) && id[:len(reserved)] == reserved
}

// reserved begins the ids that the recorded client made.
const reserved = "__qmp#"
