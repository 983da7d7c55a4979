package async

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/goqmp/qmp/internal/proto"
)

// An Event is a message that the server sent by itself (QMP specification,
// "Asynchronous events"). Its bytes are valid JSON. They are shared by all
// listeners: do not change them. Any number of goroutines may use one at the same
// time.
type Event struct {
	Name      string          // such as "STOP"; "" if the server sent no string
	Data      json.RawMessage // nil if there is none
	Timestamp time.Time       // of the server's clock; zero if it could not tell

	raw json.RawMessage
}

// ParseEvent makes an Event of one that was received elsewhere: raw is the whole
// object, which is copied.
//
// What is not one JSON object, nested no deeper than 10,000 levels, and an object
// without a member event, is a [*MessageError].
func ParseEvent(raw []byte) (Event, error) {
	m, err := parseMessage(raw)
	if err != nil {
		return Event{}, err
	}
	if m.Event == nil {
		return Event{}, &MessageError{Reason: NotEvent, Err: errors.New("not an event: there is no member event")}
	}
	return event(m), nil
}

// Raw returns the whole object, as it came.
func (e Event) Raw() json.RawMessage { return e.raw }

// Object returns the whole event as a map, with its members event, data and
// timestamp. The values have the types that [Call] has for an any. The error is a
// [*MessageError] if a number has more than 4,300 digits. The map is the caller's
// own. An Event that was not received gives nil.
func (e Event) Object() (map[string]any, error) {
	m, err := decodeObject(e.raw)
	if err != nil {
		return nil, fmt.Errorf("qmp: event %s: %w", e.Name, err)
	}
	return m, nil
}

// Decode stores the event's data in v, a pointer, by the rule of [Call]. Without
// data it leaves v alone. What does not fit v is an error that names the event.
func (e Event) Decode(v any) error {
	if e.Data == nil {
		return nil
	}
	return misfit(decode(e.Data, v), "event "+e.Name+": data", v)
}

// newEvent copies the message's bytes: those are the framer's.
func newEvent(m proto.Message) Event { return event(m.Clone()) }

func event(m proto.Message) Event {
	name, _ := proto.Text(m.Event)
	return Event{Name: name, Data: m.Data, Timestamp: proto.ParseTimestamp(m.Timestamp), raw: m.Raw}
}
