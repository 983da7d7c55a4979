package proto

// EventParts are the members of a message that is an event, in less memory than those
// of a [Message].
type EventParts struct {
	Raw                   []byte
	name, data, timestamp span
	own                   bool // Raw belongs to it alone
}

// Parts returns the members of m as those of an event. They share the bytes of m.
func (m *Message) Parts() EventParts {
	return EventParts{m.Raw, m.at[memberEvent], m.at[memberData], m.at[memberTimestamp], m.own}
}

// Name returns the value of the member event; nil if it is absent.
func (e *EventParts) Name() []byte { return e.name.of(e.Raw) }

// Data returns the value of the member data; nil if it is absent.
func (e *EventParts) Data() []byte { return e.data.of(e.Raw) }

// Timestamp returns the value of the member timestamp; nil if it is absent.
func (e *EventParts) Timestamp() []byte { return e.timestamp.of(e.Raw) }

// sharedSize is the size of the memory that several short events share.
const sharedSize = 2 << 10

// Keep makes e stay valid: it copies the bytes, unless they belong to e alone. Short
// events share memory: their bytes go to room, if that is long enough. Keep returns
// what is left of it for the next event. size is the length of e and of the events that
// come after it.
func (e *EventParts) Keep(room []byte, size int) (rest []byte) {
	n := len(e.Raw)
	if e.own {
		return room
	}
	e.own = true
	if n > sharedSize/8 {
		e.Raw = append(make([]byte, 0, n), e.Raw...)
		return room
	}
	if len(room) < n {
		room = make([]byte, min(size, sharedSize))
	}
	copy(room, e.Raw)
	e.Raw = room[:n:n]
	return room[n:]
}
