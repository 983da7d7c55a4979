package record

import (
	"strconv"

	"github.com/goqmp/qmp/internal/proto"
)

// A stable leaves out of entries what differs from run to run. The zero stable is ready
// to use.
type stable struct {
	ids map[string]*numbers // by client
}

// numbers has the numbers that stand for the ids of one client.
type numbers struct {
	last  uint64
	known map[string]uint64 // by the id as it is in the message; of commands without a reply
}

// entry changes e.
func (s *stable) entry(e *Entry) {
	e.Time, e.Address = 0, ""
	if e.End != nil {
		end := *e.End
		end.Error = ""
		e.End = &end
	}
	if e.Message == nil {
		return
	}
	e.Message = replaceMembers(e.Message, func(name string, value []byte) []byte {
		switch {
		case name == "id" && string(value) != "null":
			return strconv.AppendUint(nil, s.number(e, string(value)), 10)
		case name == "timestamp" && e.Kind == Received:
			return []byte(`{"seconds":0,"microseconds":0}`)
		}
		return value
	})
}

// number returns the number for the id of e. A reply's id is forgotten after it: no id
// is used again.
func (s *stable) number(e *Entry, id string) uint64 {
	if s.ids == nil {
		s.ids = make(map[string]*numbers)
	}
	c := s.ids[e.Client]
	if c == nil {
		c = &numbers{known: make(map[string]uint64)}
		s.ids[e.Client] = c
	}
	n, ok := c.known[id]
	if !ok {
		c.last++
		n = c.last
	}
	if e.Kind == Received {
		delete(c.known, id)
	} else {
		c.known[id] = n
	}
	return n
}

// replaceMembers returns the object obj with the values of its members replaced by what
// replace returns for them.
func replaceMembers(obj []byte, replace func(name string, value []byte) []byte) []byte {
	dst := make([]byte, 0, len(obj)+16)
	dst = append(dst, '{')
	proto.Members(obj, func(name string, value []byte) bool {
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = proto.AppendText(dst, name)
		dst = append(dst, ':')
		dst = append(dst, replace(name, value)...)
		return true
	})
	return append(dst, '}')
}
