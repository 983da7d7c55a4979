package transcripts

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/internal/proto"
)

// answering puts ids into what a script sends.
//
// The recorded client sent most commands without an id, and the recorded server
// answered them without one. This library puts an id on every command. So a
// reply without an id, in whatever pieces it is sent, gets the id of the oldest
// command that was recorded without one and has not been answered, as a real
// server would have given it. What is no such reply passes unchanged.
type answering struct {
	// unattributed says that error replies without an id are those of a server
	// that could not tell what it refused. They pass unchanged, too.
	unattributed bool

	waiting  []waiting         // those commands on this connection, oldest first
	literals map[string]string // ids that the recording has literally, and what stands for them

	// Where the stream is. A message is everything from a bracket at the top to
	// the one that closes it.
	under    bool   // one is under way
	message  []byte // what earlier steps have sent of it
	depth    int
	inString bool
	escaped  bool

	events  int  // whole ones sent so far, over all connections
	spoiled bool // something was sent that ends the connection
}

// waiting is a command that was recorded without an id.
type waiting struct {
	id        string // its id here, as JSON
	handshake bool   // it is qmp_capabilities, which any reply answers
}

// connected begins a new connection.
func (a *answering) connected() {
	a.waiting, a.message = nil, nil
	a.under, a.depth, a.inString, a.escaped, a.spoiled = false, 0, false, false, false
}

// received notes a command of the client: its name, the id that it carries, and
// the one that the recording has.
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

// answer returns what is to be sent for b.
func (a *answering) answer(b []byte) []byte {
	var out []byte
	for len(b) > 0 {
		n := a.step(b)
		piece := b[:n]
		b = b[n:]
		switch {
		case !a.under: // between messages
		case a.depth > 0: // more of it will come
			a.message = append(a.message, piece...)
		default: // piece ends it
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
			return piece // as it was given
		}
		out = append(out, piece...)
	}
	return out
}

// step takes in b up to and including the bracket that ends a message, or all of
// it, and returns how much that was.
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

// ended looks at a whole message and returns what to put in front of its last
// bracket.
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

// isAutomatic reports whether an id of a recording stands for any id of the
// engine's.
func isAutomatic(id string) bool {
	return id == "$id" || len(id) > len(reserved) && id[:len(reserved)] == reserved
}

// reserved begins the ids that the recorded client made.
const reserved = "__qmp#"
