package qmptest

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/socket"
)

// Expect waits for a message and requires it to be the command name, not out of
// band. args is nothing or one JSON object. If it is given, the message's
// arguments must equal it as in ExpectJSON; "" requires that the message has no
// arguments.
func Expect(name string, args ...string) Step {
	label := fmt.Sprintf("Expect(%q)", name)
	if len(args) > 0 {
		label = fmt.Sprintf("Expect(%q, %s)", name, shortText(args[0]))
	}
	return step(label, func(s *Peer) error { return s.expect(name, false, args) })
}

// ExpectOOB is Expect for a command that comes as exec-oob.
func ExpectOOB(name string, args ...string) Step {
	return step(fmt.Sprintf("ExpectOOB(%q)", name), func(s *Peer) error { return s.expect(name, true, args) })
}

func (s *Peer) expect(name string, oob bool, args []string) error {
	m, err := s.Next()
	if err != nil {
		return err
	}
	verb := map[bool]string{false: "execute", true: "exec-oob"}
	c := proto.ParseCommand(m.Raw)
	switch {
	case c.HasName && m.Name == name && m.OOB == oob:
	default:
		return fmt.Errorf("want %s %q, got %s", verb[oob], name, m)
	}
	if len(args) > 0 {
		if args[0] == "" && m.Arguments == nil {
			return nil
		}
		if args[0] == "" || m.Arguments == nil || !equalJSON([]byte(args[0]), m.Arguments) {
			return fmt.Errorf("want arguments %s, got %s", shortText(args[0]), m)
		}
	}
	return nil
}

// ExpectJSON waits for a message and requires it to equal want: the same members
// in the same order, numbers written the same way, and strings of the same
// characters, whether escaped or not. If want has no id, the message may have any
// id or none. If want's id is "$id", the message must have an id, which may be
// any.
func ExpectJSON(want string) Step {
	return step("ExpectJSON("+shortText(want)+")", func(s *Peer) error {
		m, err := s.Next()
		if err != nil {
			return err
		}
		if !equalMessage([]byte(want), m) {
			return fmt.Errorf("want %s, got %s", shorten([]byte(want)), m)
		}
		return nil
	})
}

// ExpectRaw waits for a message and requires it to be, byte for byte, want.
func ExpectRaw(want string) Step {
	return step("ExpectRaw("+shortText(want)+")", func(s *Peer) error {
		m, err := s.Next()
		if err != nil {
			return err
		}
		if string(m.Raw) != want {
			return fmt.Errorf("want %q, got %q", shorten([]byte(want)), shorten(m.Raw))
		}
		return nil
	})
}

// ExpectFunc waits for a message and calls check with it. An error of check fails
// the script. name is for the failure's text.
func ExpectFunc(name string, check func(Message) error) Step {
	return step(fmt.Sprintf("ExpectFunc(%q)", name), func(s *Peer) error {
		m, err := s.Next()
		if err != nil {
			return err
		}
		if err := check(m); err != nil {
			return fmt.Errorf("%w, got %s", err, m)
		}
		return nil
	})
}

// ExpectWithFDs is Expect for a command that must come with n file descriptors.
// It closes them.
func ExpectWithFDs(name string, n int) Step {
	return step(fmt.Sprintf("ExpectWithFDs(%q, %d)", name, n), func(s *Peer) error {
		if err := s.expect(name, false, nil); err != nil {
			return err
		}
		if m, _ := s.Last(0); m.FDs != n {
			return fmt.Errorf("want %d file descriptors with it, got %d", n, m.FDs)
		}
		return nil
	})
}

// ExpectFDs waits for n file descriptors that come without a command, and with
// data: the bytes that the client sent in the same call. It closes the
// descriptors. If data is white space, ExpectFDs consumes it. Otherwise data is
// left for the next steps to read.
func ExpectFDs(n int, data string) Step {
	return Step{
		name: fmt.Sprintf("ExpectFDs(%d, %q)", n, data), waits: "file descriptors from the client",
		play: func(s *Peer) error {
			if _, err := s.Conn(); err != nil {
				return err
			}
			r := s.rcv
			for len(r.Arrivals) == 0 {
				if r.Blank() < len(r.Buf) {
					return fmt.Errorf("want file descriptors, got only %s", shorten(r.Buf))
				}
				if err := r.Fill(); err != nil {
					return s.explain(err)
				}
			}
			a := r.Arrivals[0]
			r.Arrivals = r.Arrivals[1:]
			socket.CloseFDs(a.FDs)
			if len(a.FDs) != n || string(a.Data) != data {
				return fmt.Errorf("want %d file descriptors with %q, got %d with %q", n, data, len(a.FDs), shorten(a.Data))
			}
			if r.Blank() >= a.End {
				r.Consume(a.End)
			}
			return nil
		},
	}
}

// ExpectNothing requires that for the time d the client sends nothing but white
// space, and does not hang up.
func ExpectNothing(d time.Duration) Step {
	return Step{
		name: fmt.Sprintf("ExpectNothing(%v)", d), waits: "that time to pass",
		play: func(s *Peer) error {
			conn, err := s.Conn()
			if err != nil {
				return err
			}
			until := time.Now().Add(d)
			if s.p.deadline.Before(until) {
				return fmt.Errorf("that is longer than what is left of the script's time limit: %w", os.ErrDeadlineExceeded)
			}
			conn.SetReadDeadline(until)
			defer conn.SetReadDeadline(s.p.deadline)
			for s.rcv.Blank() == len(s.rcv.Buf) {
				switch err := s.rcv.Fill(); {
				case err == nil:
				case isTimeout(err):
					return nil
				default:
					return s.explain(err)
				}
			}
			return fmt.Errorf("got %s", shorten(s.rcv.Buf))
		},
	}
}

// ExpectEOF waits for the client to hang up, and requires that before that it
// sends nothing but white space. A reset counts as hanging up: a client that
// closes a connection on which it has unread bytes causes one.
func ExpectEOF() Step {
	return Step{name: "ExpectEOF", waits: hangUpWait, play: func(s *Peer) error {
		if _, err := s.Conn(); err != nil {
			return err
		}
		for s.rcv.Blank() == len(s.rcv.Buf) {
			if err := s.rcv.Fill(); err != nil {
				return s.ended(err)
			}
		}
		return fmt.Errorf("got %s", shorten(s.rcv.Buf))
	}}
}

// impliedEOF is the last step of every script. It does nothing if no connection
// is open.
func impliedEOF() Step {
	end := ExpectEOF()
	return Step{name: "the implied ExpectEOF", waits: end.waits, play: func(s *Peer) error {
		if s.conn == nil || s.closed {
			return nil
		}
		return end.play(s)
	}}
}

// ended is for a step that waits for the client to hang up. It returns nil, and
// closes the connection, if err, of a read, says that the client hung up.
// Otherwise it returns err.
func (s *Peer) ended(err error) error {
	if !isGone(err) {
		return err
	}
	s.closed = true
	return s.conn.Close()
}

// equalMessage reports whether m equals want; see ExpectJSON.
func equalMessage(want []byte, m Message) bool {
	wantID := proto.ParseCommand(want).RawID
	switch {
	case wantID == nil:
		return equalMembers(want, m.Raw, "id")
	case string(wantID) == `"$id"`:
		return m.ID != nil && equalMembers(want, m.Raw, "id")
	}
	return equalJSON(want, m.Raw)
}

// A pair is one member of an object.
type pair struct {
	name  string
	value []byte
}

// members returns the members of obj in their order, except those named without.
// "" leaves out none.
func members(obj []byte, without string) (list []pair) {
	proto.Members(obj, func(name string, value []byte) bool {
		if name != without || without == "" {
			list = append(list, pair{name, value})
		}
		return true
	})
	return list
}

func elements(arr []byte) (list [][]byte) {
	proto.Elements(arr, func(value []byte) bool {
		list = append(list, value)
		return true
	})
	return list
}

// equalMembers compares two objects, except the members named without.
func equalMembers(a, b []byte, without string) bool {
	as, bs := members(a, without), members(b, without)
	if len(as) != len(bs) {
		return false
	}
	for i := range as {
		if as[i].name != bs[i].name || !equalJSON(as[i].value, bs[i].value) {
			return false
		}
	}
	return true
}

// equalJSON compares two values of well-formed JSON. The order of members
// counts.
func equalJSON(a, b []byte) bool {
	a = []byte(strings.Trim(string(a), whitespace))
	b = []byte(strings.Trim(string(b), whitespace))
	switch {
	case proto.IsObject(a) && proto.IsObject(b):
		return equalMembers(a, b, "")
	case proto.IsArray(a) && proto.IsArray(b):
		as, bs := elements(a), elements(b)
		if len(as) != len(bs) {
			return false
		}
		for i := range as {
			if !equalJSON(as[i], bs[i]) {
				return false
			}
		}
		return true
	}
	if ta, ok := proto.Text(a); ok {
		tb, ok := proto.Text(b)
		return ok && ta == tb
	}
	return string(a) == string(b)
}
