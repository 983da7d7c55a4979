package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/receiver"
	"github.com/goqmp/qmp/internal/socket"
)

// past is a deadline that ends what waits for the connection.
var past = time.Unix(1, 0)

// A playing plays one session. It belongs to the goroutine of Player.Serve.
type playing struct {
	p       *Player
	ctx     context.Context
	conn    net.Conn
	rcv     *receiver.Receiver
	entries []Entry
	done    []bool    // which entries were played
	before  time.Time // when the entry before was played
	files   int       // how many descriptors the entries since the last command are to have brought
	awaited *Entry    // the command that is being waited for, or nil
	gone    bool      // the client has hung up
	line    int       // of the entry that is being played
	waits   string    // what is being waited for, for errors
}

func newPlaying(p *Player, conn net.Conn, entries []Entry) *playing {
	return &playing{
		p: p, conn: conn, rcv: &receiver.Receiver{Conn: conn, Max: -1},
		entries: entries, done: make([]bool, len(entries)), before: time.Now(),
	}
}

// play plays all entries.
func (s *playing) play() error {
	for i := range s.entries {
		e := &s.entries[i]
		if s.done[i] {
			continue
		}
		s.line = e.Line
		var err error
		switch e.Kind {
		case Sent:
			err = s.await(i)
		case Received:
			err = s.send(i)
		case Ended:
			return s.end(i)
		}
		if err != nil {
			return err
		}
		s.played(i)
	}
	return s.awaitHangUp("the recording ends here")
}

func (s *playing) played(i int) {
	s.done[i] = true
	s.before = time.Now()
}

// await waits for the command of entry i.
func (s *playing) await(i int) error {
	e := &s.entries[i]
	if e.Message == nil { // a message of SendFiles, which comes with the next command
		s.files += e.Files
		return nil
	}
	s.awaited = e
	defer func() { s.awaited = nil }()
	for !s.done[i] {
		s.waits = fmt.Sprintf("the client to send %s", shorten(e.Message))
		msg, files, err := s.next()
		if isGone(err) {
			return &MismatchError{Line: e.Line, Recorded: e.Message, Reason: "the client hung up"}
		}
		if err != nil {
			return err
		}
		if err := s.take(i, msg, files); err != nil {
			return err
		}
	}
	return nil
}

// take finds the entry of a message that the client has sent while the one of entry i
// was awaited.
func (s *playing) take(i int, msg []byte, files int) error {
	first := s.differs(&s.entries[i], msg, files)
	if first == "" {
		s.accept(i, msg)
		return nil
	}
	for j := i + 1; j < len(s.entries); j++ {
		e := &s.entries[j]
		switch {
		case e.Kind != Sent || s.done[j] || e.Message == nil || s.differs(e, msg, files) != "":
			continue
		case s.p.opts.Unordered:
			s.accept(j, msg)
			return s.answerEarly(i, j)
		}
		first += fmt.Sprintf(" (it is the command of %s; Unordered lets commands come in another order)", place(e.Line))
		break
	}
	e := &s.entries[i]
	return &MismatchError{Line: e.Line, Recorded: e.Message, Sent: hide(e.Message, msg), Reason: first}
}

// differs returns how a message of the client differs from entry e, or "".
func (s *playing) differs(e *Entry, msg []byte, files int) string {
	if e.Omitted > 0 {
		want, got := proto.ParseCommand(e.Message), proto.ParseCommand(msg)
		if want.Name == got.Name && want.OOB == got.OOB {
			return ""
		}
		return fmt.Sprintf("it is another command (only the name of this one, of %d bytes, was recorded)", e.Omitted)
	}
	if d := s.p.cmp.difference("", e.Message, msg); d != "" && !sameSync(e.Message, msg) {
		return d
	}
	if want := e.Files + s.files; files != want {
		return fmt.Sprintf("%d descriptors came with it, not %d", files, want)
	}
	return ""
}

// accept notes that msg is the command of entry i.
func (s *playing) accept(i int, msg []byte) {
	e := &s.entries[i]
	s.files = 0
	s.done[i] = true
	if id := idOf(e.Message); id != nil {
		s.p.mu.Lock()
		defer s.p.mu.Unlock()
		s.p.ids[string(id)] = live{idOf(msg), syncNumber(msg)}
	}
}

// answerEarly sends the reply to the command of entry j, which came while that of entry i
// was awaited, and the events directly before that reply.
func (s *playing) answerEarly(i, j int) error {
	id := string(idOf(s.entries[j].Message))
	group := i // where the events directly before the reply begin
	for k := i + 1; k < len(s.entries); k++ {
		e := &s.entries[k]
		if e.Kind != Received || idOf(e.Message) == nil {
			continue
		}
		if string(idOf(e.Message)) != id {
			group = k
			continue
		}
		for m := group + 1; m <= k; m++ {
			if s.entries[m].Kind == Received && !s.done[m] {
				if err := s.send(m); err != nil {
					return err
				}
				s.played(m)
			}
		}
		return nil
	}
	return nil
}

// send sends the message of entry i, when its time has come.
func (s *playing) send(i int) error {
	if err := s.delay(i); err != nil || s.gone {
		return err
	}
	s.waits = "the client to read"
	return s.write(append(appendSpaced(nil, s.p.reply(s.entries[i].Message)), "\r\n"...))
}

// A live has what a reply needs of the command that a client has sent.
type live struct {
	id   json.RawMessage // nil if it has none
	sync json.RawMessage // the number of a guest-sync, which the reply returns; else nil
}

// reply returns a recorded message with what it needs of the client's command.
func (p *Player) reply(msg []byte) []byte {
	id := idOf(msg)
	if id == nil {
		return msg
	}
	p.mu.Lock()
	cmd, ok := p.ids[string(id)]
	p.mu.Unlock()
	if !ok { // a reply to another client's command: this client must not take it for its own
		cmd.id = proto.AppendText(nil, "recorded "+string(id))
	}
	return replaceMembers(msg, func(name string, value []byte) []byte {
		switch {
		case name == "id" && cmd.id == nil:
			return []byte("null")
		case name == "id":
			return cmd.id
		case name == "return" && cmd.sync != nil:
			return cmd.sync
		}
		return value
	})
}

// appendSpaced appends msg, which has no white space between its tokens, as QEMU writes it:
// with a blank after each comma and colon.
func appendSpaced(dst, msg []byte) []byte {
	inText := false
	for i := 0; i < len(msg); i++ {
		c := msg[i]
		dst = append(dst, c)
		switch {
		case c == '"':
			inText = !inText
		case inText && c == '\\':
			i++
			dst = append(dst, msg[i])
		case !inText && (c == ',' || c == ':'):
			dst = append(dst, ' ')
		}
	}
	return dst
}

// delay waits as long as the recording did before entry i. It reads meanwhile, and
// returns when the client hangs up.
func (s *playing) delay(i int) error {
	if s.p.opts.NoDelays || i == 0 {
		return nil
	}
	until := s.before.Add(s.entries[i].Time - s.entries[i-1].Time)
	for !s.gone && time.Now().Before(until) {
		s.waits = "the recorded delay to pass"
		s.conn.SetReadDeadline(until)
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		switch err := s.rcv.Fill(); {
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded) && s.ctx.Err() == nil:
		case isGone(err):
			s.gone = true
		default:
			return err
		}
	}
	s.conn.SetReadDeadline(time.Time{})
	return s.ctx.Err()
}

// write sends b. If the client has hung up, that is not an error here.
func (s *playing) write(b []byte) error {
	if s.gone {
		return nil
	}
	_, err := s.conn.Write(b)
	if isGone(err) {
		s.gone = true
		return nil
	}
	return err
}

// next returns the next message of the client.
func (s *playing) next() (msg []byte, files int, err error) {
	for {
		n, err := s.skipDelimiters()
		files += n
		if err != nil {
			return nil, 0, err
		}
		msg, fds, err := s.rcv.Next()
		socket.CloseFDs(fds)
		files += len(fds)
		if err != nil {
			var frame *proto.FrameError
			if errors.As(err, &frame) && frame.Fault != proto.Truncated {
				err = fmt.Errorf("recording%s: waiting for %s: what came is %w", at(s.line), s.waits, err)
			}
			return nil, 0, err
		}
		if answered, err := s.sync(msg); err != nil {
			return nil, 0, err
		} else if answered {
			continue
		}
		if f := s.p.opts.OnCommand; f != nil {
			f(json.RawMessage(msg), files)
		}
		return msg, files, nil
	}
}

// awaitHangUp waits for the client to hang up. It must not send another message.
func (s *playing) awaitHangUp(why string) error {
	s.waits = "the client to hang up: " + why
	msg, _, err := s.next()
	switch {
	case err == nil:
		return &MismatchError{Line: s.line, Sent: msg, Reason: "the client sent another message, but " + why}
	case isGone(err):
		return nil
	}
	return err
}

// isGone reports whether err says that the client has hung up, between messages or inside
// one.
func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) || socket.IsGone(err)
}

// idOf returns the id of a message as it is there, or nil if it has none.
func idOf(msg []byte) (id json.RawMessage) {
	proto.Members(msg, func(name string, value []byte) bool {
		if name == "id" {
			id = json.RawMessage(value)
		}
		return true
	})
	if string(id) == "null" {
		return nil
	}
	return id
}
