package async

import (
	"encoding/json"
	"time"

	"github.com/goqmp/qmp/internal/proto"
)

// An Event is a message that the server sent by itself (QMP specification,
// "Asynchronous events"). Its bytes are shared by all listeners: do not change
// them.
type Event struct {
	Name      string          // such as "STOP"; "" if the server sent no string
	Data      json.RawMessage // nil if there is none
	Timestamp time.Time       // of the server's clock; zero if it could not tell
	Raw       json.RawMessage // the whole object, as it came
}

// Decode stores the event's data in v, by the rules of [Call]. Without data it
// leaves v alone.
func (e Event) Decode(v any) error {
	if e.Data == nil {
		return nil
	}
	return decode(e.Data, v)
}

// newEvent copies the message's bytes: those are the framer's.
func newEvent(name string, m proto.Message) Event {
	m = m.Clone()
	return Event{Name: name, Data: m.Data, Timestamp: proto.ParseTimestamp(m.Timestamp), Raw: m.Raw}
}
