package async

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/goqmp/qmp/internal/proto"
)

// An Event is a message that is not a reply: the server says that something has
// happened (QMP specification, "Asynchronous events"). Its bytes are valid JSON. All
// listeners share them: do not change them. Any number of goroutines may use an Event
// at the same time.
type Event struct {
	Name      string          // such as "STOP"; "" if the member event is not a string
	Data      json.RawMessage // nil if there is none
	Timestamp time.Time       // by the server's clock; the zero time if the event has none that is valid
	Session   uint64          // the number of the connection that it came from: see [Client.Session]; 0 for one of ParseEvent

	raw json.RawMessage
}

// ParseEvent returns the Event in raw, the whole JSON object, which was received
// elsewhere. raw is copied.
//
// The error is a [*MessageError] if raw is not exactly one JSON object, if it nests
// deeper than 10,000 levels, or if it has no member event.
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

// Raw returns the whole event as it came. Do not change it.
func (e Event) Raw() json.RawMessage { return e.raw }

// Object returns the whole event as a map, with its members event, data and
// timestamp. The values have the types that [Call] has for an any. The error is a
// [*MessageError] if a number has more than 4,300 digits, or if the event has more than
// 2,097,152 values. The map belongs to the caller. For the zero Event it is nil.
func (e Event) Object() (map[string]any, error) {
	m, err := decodeObject(e.raw)
	if err != nil {
		return nil, fmt.Errorf("qmp: event %s: %w", words(e.Name), err)
	}
	return m, nil
}

// Decode stores the event's data in v, a pointer, by the rules of [Call]. If there is
// no data, it does not change v. If the data does not fit v, the error says so and
// names the event.
func (e Event) Decode(v any) error {
	if e.Data == nil {
		return nil
	}
	return misfit(decode(e.Data, v), "event "+e.Name+": data", v)
}

// event returns the Event of m, whose bytes it shares.
func event(m proto.Message) Event {
	name, _ := proto.Text(m.Event)
	return Event{Name: name, Data: m.Data, Timestamp: proto.ParseTimestamp(m.Timestamp), raw: m.Raw}
}
