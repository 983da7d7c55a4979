package qmptest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/goqmp/qmp/internal/proto"
)

// A Step is one thing that the server's end of a script does.
type Step struct {
	name  string
	waits string // what it may wait for, for the message about the limit
	play  func(*Peer) error
}

// String returns the step as it is named in failures.
func (s Step) String() string { return s.name }

// step makes a step that may wait for the client to send something.
func step(name string, play func(*Peer) error) Step {
	return Step{name: name, waits: "a message from the client", play: play}
}

// sends makes a step that may wait for the client to read.
func sends(name string, play func(*Peer) error) Step {
	return Step{name: name, waits: "the client to read", play: play}
}

// Do is a step of the test's own. The function should not block but in the
// methods of its Peer.
func Do(name string, play func(*Peer) error) Step {
	return Step{name: fmt.Sprintf("Do(%q)", name), waits: "that step", play: play}
}

// Accept takes the next connection, or makes one where the script dials. The
// steps behind it are about that one; earlier ones stay open until they or the
// script end. The first Accept may be left out: then the first step that needs
// a connection takes it.
func Accept() Step {
	return Step{name: "Accept", waits: "a client to connect", play: (*Peer).accept}
}

// DialFails makes one attempt to connect to the client, which must fail. It is
// for scripts that dial.
func DialFails() Step {
	return Step{name: "DialFails", waits: "the attempt to fail", play: func(s *Peer) error {
		if s.p.opts.DialTo == "" {
			return errors.New("this script does not dial")
		}
		conn, err := dialAddr(s.p.ctx, s.p.opts.DialTo)
		if err == nil {
			conn.Close()
			return fmt.Errorf("somebody listens at %s", s.p.opts.DialTo)
		}
		return s.p.ctx.Err() // a limit that passed proves nothing
	}}
}

// Greet sends a greeting of QEMU 7.2.22 with these capabilities.
func Greet(capabilities ...string) Step {
	return sends("Greet("+quoteAll(capabilities)+")", func(s *Peer) error {
		return s.writeJSON(appendGreeting(DefaultVersion, capabilities))
	})
}

// Return answers the last message, or the one that to says, with success.
// result is JSON.
func Return(result string, to ...Target) Step {
	return sends("Return("+shortText(result)+")", func(s *Peer) error {
		id, err := s.Answer(to...)
		if err != nil {
			return err
		}
		return s.writeJSON(proto.AppendReturn(nil, []byte(result), id))
	})
}

// ReturnError answers the last message, or the one that to says, with an error.
func ReturnError(class, desc string, to ...Target) Step {
	return sends(fmt.Sprintf("ReturnError(%q, %q)", class, desc), func(s *Peer) error {
		id, err := s.Answer(to...)
		if err != nil {
			return err
		}
		return s.writeJSON(appendErrorReply(class, desc, id))
	})
}

// Reply sends text, JSON, with a line end. In it, $id stands for the id of the
// last message and $prev_id for that of the one before, both as they came; for
// a message without an id that is null.
func Reply(text string) Step {
	return sends("Reply("+shortText(text)+")", func(s *Peer) error {
		text, err := s.Expand(text)
		if err != nil {
			return err
		}
		return s.writeJSON([]byte(text))
	})
}

// Expand fills in $id and $prev_id as Reply does, also where the text has them
// in quotes. The text need not be JSON.
func (s *Peer) Expand(text string) (string, error) {
	for back, name := range []string{"$id", "$prev_id"} {
		if !strings.Contains(text, name) {
			continue
		}
		m, ok := s.Last(back)
		if !ok {
			return "", fmt.Errorf("%s: the client has not sent so many messages", name)
		}
		id := "null"
		if m.ID != nil {
			id = string(m.ID)
		}
		text = strings.ReplaceAll(text, `"`+name+`"`, id)
		text = strings.ReplaceAll(text, name, id)
	}
	return text, nil
}

// Event sends an event with the time of now. data is a JSON object, or empty
// for none.
func Event(name, data string) Step {
	return sends(fmt.Sprintf("Event(%q)", name), func(s *Peer) error {
		return s.writeJSON(appendEvent(name, data))
	})
}

// Send sends text just as it is.
func Send(text string) Step {
	return sends("Send("+shortText(text)+")", func(s *Peer) error { return s.Write([]byte(text)) })
}

// SendBytes sends b just as it is.
func SendBytes(b []byte) Step {
	return sends(fmt.Sprintf("SendBytes(%d bytes)", len(b)), func(s *Peer) error { return s.Write(b) })
}

// SendHex sends the bytes that digits spell in base 16.
func SendHex(digits string) Step {
	return sends("SendHex("+shortText(digits)+")", func(s *Peer) error {
		b, err := hex.DecodeString(digits)
		if err != nil {
			return err
		}
		return s.Write(b)
	})
}

// SplitEvery writes everything behind it in pieces of n bytes; 0 ends that.
//
// On a Memory connection each piece waits until the client has read what was
// sent before. On sockets the pieces are separate writes, which the client may find
// joined.
func SplitEvery(n int) Step {
	return Step{name: fmt.Sprintf("SplitEvery(%d)", n), play: func(s *Peer) error {
		s.every = n
		return nil
	}}
}

// SplitAt cuts what the next step sends behind byte k, for each k; see
// SplitEvery.
func SplitAt(k ...int) Step {
	return Step{name: fmt.Sprintf("SplitAt(%v)", k), play: func(s *Peer) error {
		s.cuts = k
		return nil
	}}
}

// Pause waits. In a bubble of testing/synctest it lets all other goroutines
// come to rest first, and takes no time.
func Pause(d time.Duration) Step {
	return Step{name: fmt.Sprintf("Pause(%v)", d), waits: "the end of the pause", play: func(s *Peer) error {
		return sleep(s.p.ctx, d)
	}}
}

// Mark tells the test that the script has come here: Player.AwaitMark returns.
func Mark(name string) Step {
	return Step{name: fmt.Sprintf("Mark(%q)", name), play: func(s *Peer) error {
		s.p.Mark(name)
		return nil
	}}
}

// AwaitMark waits until the test has called Player.Mark. Nothing is read
// meanwhile.
func AwaitMark(name string) Step {
	return Step{
		name: fmt.Sprintf("AwaitMark(%q)", name), waits: fmt.Sprintf("the test to call Mark(%q)", name),
		play: func(s *Peer) error {
			select {
			case <-s.p.mark(name):
				return nil
			case <-s.p.ctx.Done():
				return s.p.ctx.Err()
			}
		},
	}
}

// HangUp closes the connection.
func HangUp() Step {
	return Step{name: "HangUp", waits: "a client to connect", play: func(s *Peer) error {
		return s.end(net.Conn.Close)
	}}
}

// HalfClose shuts down the direction to the client. Reading goes on.
func HalfClose() Step {
	return Step{name: "HalfClose", waits: "a client to connect", play: func(s *Peer) error {
		conn, err := s.Conn()
		if err != nil {
			return err
		}
		half, ok := conn.(interface{ CloseWrite() error })
		if !ok {
			return fmt.Errorf("a %T has no half-close", conn)
		}
		if err := half.CloseWrite(); err != nil && !isGone(err) && !errors.Is(err, syscall.ENOTCONN) {
			return err
		}
		return nil
	}}
}

// Reset ends the connection so that the client gets a reset (ECONNRESET)
// instead of an end of file.
//
// A unix socket is reset only by bytes of the client that are left unread. So
// there Reset waits for some; those that were read together with an earlier
// message don't count.
func Reset() Step {
	return Step{name: "Reset", waits: "bytes to leave unread, without which a unix socket is not reset", play: func(s *Peer) error {
		conn, err := s.Conn()
		if err != nil {
			return err
		}
		switch conn := conn.(type) {
		case *PipeConn:
			return s.end(func(net.Conn) error { return conn.Reset() })
		case *net.TCPConn:
			if err := conn.SetLinger(0); err != nil {
				return err
			}
		case *net.UnixConn:
			if err := awaitUnread(conn); err != nil {
				return s.explain(err)
			}
		}
		return s.end(net.Conn.Close)
	}}
}

// end closes the connection with hangUp.
func (s *Peer) end(hangUp func(net.Conn) error) error {
	conn, err := s.Conn()
	if err != nil {
		return err
	}
	s.closed = true
	return hangUp(conn)
}

// Stall answers nothing more. It reads, and throws away, what the client sends
// until the client hangs up.
func Stall() Step {
	return Step{name: "Stall", waits: hangUpWait, play: func(s *Peer) error {
		if _, err := s.Conn(); err != nil {
			return err
		}
		return s.drain()
	}}
}

// StopReading reads nothing more, so that the client's writes fill the buffers
// and block, until the test is over; then the client must have hung up. To read
// on in the middle of a test use AwaitMark, during which nothing is read either.
func StopReading() Step {
	return Step{name: "StopReading", waits: hangUpWait, play: func(s *Peer) error {
		if _, err := s.Conn(); err != nil {
			return err
		}
		select {
		case <-s.p.testOver:
		case <-s.p.ctx.Done():
			return s.p.ctx.Err()
		}
		return s.drain()
	}}
}

const hangUpWait = "the client to hang up; a Disconnect or Close is missing"

// drain reads until the client hangs up.
func (s *Peer) drain() error {
	for {
		s.rcv.discard()
		if err := s.rcv.fill(); err != nil {
			return s.ended(err)
		}
	}
}

// shortText quotes text for a step's name.
func shortText(text string) string {
	const most = 60
	if len(text) > most {
		text = text[:most] + "..."
	}
	if strconv.CanBackquote(text) {
		return "`" + text + "`"
	}
	return strconv.Quote(text)
}
