package agent

import (
	"encoding/json"
	"strings"
	"sync"

	"github.com/goqmp/qmp/internal/proto"
)

// A wire is what this side knows about ids on the present connection. Agents of QEMU 3.0
// and later send the id of a command back. Earlier ones refuse a command with an id, and
// an agent that does not know ids may leave it out of its reply. For these agents the
// wire removes the id from each command, and adds it to the reply. The client executes
// one command at a time then.
//
// Its methods sent and received run inside the engine, as hooks.
type wire struct {
	mu     sync.Mutex // guards the fields below
	noIDs  bool       // the agent does not send ids back
	known  bool       // a reply with an id has come, so noIDs does not change any more
	last   proto.ID   // the id of the newest command
	syncID *int64     // the number of the newest command if that is guest-sync, otherwise nil
}

// reset begins a new connection.
func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noIDs, w.known, w.last, w.syncID = false, false, proto.ID{}, nil
}

// one reports whether commands have to be executed one at a time.
func (w *wire) one() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.noIDs
}

// sent takes a command that the engine is about to write. It returns the message that is
// written instead, or nil.
func (w *wire) sent(message json.RawMessage) json.RawMessage {
	w.mu.Lock()
	defer w.mu.Unlock()
	cmd := proto.ParseCommand(message)
	w.last, w.syncID = cmd.ID, nil
	if cmd.Name == "guest-sync" {
		var args struct{ ID *int64 }
		_ = json.Unmarshal(cmd.Arguments, &args) // the agent refuses arguments that do not fit
		w.syncID = args.ID
	}
	if !w.noIDs {
		return nil
	}
	return withoutID(message)
}

// withoutID returns the object message without its member id.
func withoutID(message []byte) []byte {
	out := []byte{'{'}
	proto.Members(message, func(name string, value []byte) bool {
		if name == "id" {
			return true
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(proto.AppendText(out, name), ':')
		out = append(out, value...)
		return true
	})
	return append(out, '}')
}

// received takes a message of the agent. It returns the message that the engine handles
// instead, or nil.
func (w *wire) received(message json.RawMessage) json.RawMessage {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := proto.ParseMessage(message)
	switch {
	case m.ID.Kind != proto.NoID:
		w.known = w.known || m.ID == w.last
		return nil
	case m.Return == nil && m.Error == nil:
		return nil // not a reply
	case !w.noIDs && w.known:
		return nil // the agent could not read a command
	case !w.noIDs && m.Error != nil:
		_, desc, _ := proto.ParseError(m.Error)
		w.noIDs = strings.Contains(desc, "'id' is unexpected")
		return nil // the only command takes an error without an id
	}
	w.noIDs = true
	if w.late(m) {
		return proto.AppendWithID(nil, message, proto.Number(0)) // the engine's ids begin at 1, so it drops this
	}
	return proto.AppendWithID(nil, message, w.last)
}

// late reports whether m answers an earlier command than the newest. That can be known if
// the newest is guest-sync, which comes after each command whose caller has given up.
func (w *wire) late(m proto.Message) bool {
	if w.syncID == nil {
		return false
	}
	var number int64
	return m.Return == nil || json.Unmarshal(m.Return, &number) != nil || number != *w.syncID
}
