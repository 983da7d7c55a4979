package record

import (
	"encoding/json"

	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/socket"
)

// A client of the guest agent first makes sure that the agent is in step with it: it sends
// a byte 0xFF and guest-sync-delimited, with a number that it has just drawn. It usually
// does so before the engine has the connection, so no tracer sees it. The Player plays an
// agent that is in step.

const delimiter = 0xff

// skipDelimiters drops delimiters before the next message, and returns how many
// descriptors came with what it dropped.
func (s *playing) skipDelimiters() (files int, err error) {
	for {
		i := s.rcv.Blank()
		if i < len(s.rcv.Buf) {
			if s.rcv.Buf[i] != delimiter {
				return files, nil
			}
			fds := s.rcv.Consume(i + 1)
			socket.CloseFDs(fds)
			files += len(fds)
			continue
		}
		if err := s.rcv.Fill(); err != nil {
			return files, err
		}
	}
}

// sync answers msg if it is a guest-sync-delimited that the recording does not have at
// this place.
func (s *playing) sync(msg []byte) (answered bool, err error) {
	if e := s.awaited; e != nil && sameSync(e.Message, msg) {
		return false, nil
	}
	cmd, number := proto.ParseCommand(msg), syncNumber(msg)
	if number == nil || cmd.Name != "guest-sync-delimited" {
		return false, nil
	}
	b := proto.AppendReturn([]byte{delimiter}, number, cmd.RawID)
	return true, s.write(append(b, '\n'))
}

// syncNumber returns the number of a guest-sync or guest-sync-delimited, or nil for other
// messages.
func syncNumber(msg []byte) (number json.RawMessage) {
	cmd := proto.ParseCommand(msg)
	if cmd.Name != "guest-sync" && cmd.Name != "guest-sync-delimited" {
		return nil
	}
	proto.Members(cmd.Arguments, func(name string, value []byte) bool {
		if name == "id" {
			number = json.RawMessage(value)
		}
		return true
	})
	return number
}

// sameSync reports whether two messages are the same command of these two. Their numbers
// differ from run to run.
func sameSync(a, b []byte) bool {
	return syncNumber(a) != nil && syncNumber(b) != nil && proto.ParseCommand(a).Name == proto.ParseCommand(b).Name
}
