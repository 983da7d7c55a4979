package proto

import (
	"bytes"
	"strconv"
	"time"
)

// An IDKind says what an id is on the wire.
type IDKind uint8

// The kinds of id. A null counts as none, as in QEMU's own client.
const (
	NoID     IDKind = iota
	NumberID        // an integer from 0 to 2^64-1, written plainly
	TextID          // a string
	OtherID         // any other JSON value, which this library never sends
)

// An ID names a command and its reply. It is comparable.
type ID struct {
	Kind   IDKind
	Number uint64
	Text   string
}

// Number returns the id n.
func Number(n uint64) ID { return ID{Kind: NumberID, Number: n} }

// TextualID returns the id s.
func TextualID(s string) ID { return ID{Kind: TextID, Text: s} }

// Append appends the id as JSON.
func (id ID) Append(dst []byte) []byte {
	switch id.Kind {
	case NumberID:
		return strconv.AppendUint(dst, id.Number, 10)
	case TextID:
		return AppendText(dst, id.Text)
	}
	return append(dst, "null"...)
}

func parseID(value []byte) ID {
	switch {
	case len(value) == 0 || string(value) == "null":
		return ID{}
	case value[0] == '"':
		return TextualID(unquote(value))
	}
	// A peer may send a number of any length. One that is too long for 64 bits
	// is refused without a copy.
	if len(value) <= maxUint64Len {
		if n, err := strconv.ParseUint(string(value), 10, 64); err == nil {
			return Number(n)
		}
	}
	return ID{Kind: OtherID}
}

const (
	maxUint64Len = len("18446744073709551615")
	// maxSeconds is the last second of the year 9999. A later time.Time cannot
	// be written as JSON.
	maxSeconds = 253402300799
)

// A Message is one object from a server, with the members that QMP defines (QMP
// specification, "Server Responses"). The members are parts of Raw. A member that is
// absent is nil. If a member is repeated, the last one counts.
type Message struct {
	Raw       []byte
	QMP       []byte
	Event     []byte
	Data      []byte
	Timestamp []byte
	Return    []byte
	Error     []byte
	ID        ID

	at  [memberCount]span // where the members above are in Raw
	own bool              // Raw belongs to this message alone
}

// The members of a Message.
const (
	memberOther = iota // any other member
	memberQMP
	memberEvent
	memberData
	memberTimestamp
	memberReturn
	memberError
	memberID
	memberCount
)

// memberOf returns which member has the name quoted, a JSON string.
func memberOf(quoted []byte) int {
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		name = []byte(unquote(quoted))
	}
	switch string(name) {
	case "QMP":
		return memberQMP
	case "event":
		return memberEvent
	case "data":
		return memberData
	case "timestamp":
		return memberTimestamp
	case "return":
		return memberReturn
	case "error":
		return memberError
	case "id":
		return memberID
	}
	return memberOther
}

// ParseMessage returns the message in raw, one validated JSON object.
func ParseMessage(raw []byte) Message {
	var s scanner
	s.scan(raw)
	var m Message
	m.set(raw, &s.at, false)
	return m
}

// set makes m the message in raw, whose members are where at says. own says that raw
// belongs to m alone.
func (m *Message) set(raw []byte, at *[memberCount]span, own bool) {
	m.Raw, m.at, m.own = raw, *at, own
	m.cut()
	m.ID = parseID(m.at[memberID].of(raw))
}

// cut sets the members of m to the parts of Raw that at names.
func (m *Message) cut() {
	m.QMP = m.at[memberQMP].of(m.Raw)
	m.Event = m.at[memberEvent].of(m.Raw)
	m.Data = m.at[memberData].of(m.Raw)
	m.Timestamp = m.at[memberTimestamp].of(m.Raw)
	m.Return = m.at[memberReturn].of(m.Raw)
	m.Error = m.at[memberError].of(m.Raw)
}

// ParseError returns the class and the description of a reply's error member.
// ok is false unless both are there and are strings.
func ParseError(value []byte) (class, desc string, ok bool) {
	var hasClass, hasDesc bool
	Members(value, func(name string, v []byte) bool {
		switch name {
		case "class":
			class, hasClass = Text(v)
		case "desc":
			desc, hasDesc = Text(v)
		}
		return true
	})
	return class, desc, hasClass && hasDesc
}

// ParseTimestamp returns the time in an event's timestamp member. It is the
// zero time where that is missing, malformed, after the year 9999, or says
// that the server could not tell (QEMU then sends -1).
func ParseTimestamp(value []byte) time.Time {
	sec, usec := int64(-1), int64(-1)
	Members(value, func(name string, v []byte) bool {
		switch name {
		case "seconds":
			sec = parseCount(v)
		case "microseconds":
			usec = parseCount(v)
		}
		return true
	})
	if sec < 0 || sec > maxSeconds || usec < 0 || usec >= 1_000_000 {
		return time.Time{}
	}
	return time.Unix(sec, usec*1000)
}

// parseCount returns the integer value, or -1 if it is not an integer or too large.
func parseCount(value []byte) int64 {
	if len(value) <= maxUint64Len {
		if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
			return n
		}
	}
	return -1
}

// A Command is one object from a client, with its members (QMP specification, "Issuing
// Commands"). If a member is repeated, the last one counts.
type Command struct {
	Raw       []byte
	Name      string // the value of execute or exec-oob; "" if that is not a string
	HasName   bool   // whether there is execute or exec-oob, and it is a string
	OOB       bool   // whether it is exec-oob
	Arguments []byte // nil if absent
	ID        ID
	RawID     []byte // nil if absent; a server sends it back unchanged
	Unknown   string // a member that the specification does not know, or ""
}

// ParseCommand returns the command in raw, one validated JSON object.
func ParseCommand(raw []byte) Command {
	c := Command{Raw: raw}
	Members(raw, func(name string, value []byte) bool {
		switch name {
		case "execute", "exec-oob":
			c.Name, c.HasName = Text(value)
			c.OOB = name == "exec-oob"
		case "arguments":
			c.Arguments = value
		case "id":
			c.RawID = value
			c.ID = parseID(value)
		default:
			c.Unknown = name
		}
		return true
	})
	return c
}

// Keep returns a message that stays valid, without parsing it again. It copies the
// bytes of m, unless they belong to m alone.
func (m Message) Keep() Message {
	if m.own {
		return m
	}
	m.Raw = bytes.Clone(m.Raw)
	m.cut()
	m.own = true
	return m
}
