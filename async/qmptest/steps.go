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

// A Step is one thing that the server's end of a script does. A Step may be used
// in any number of scripts.
type Step struct {
	name  string
	waits string // what it may wait for; the text about the time limit names it
	play  func(*Peer) error
}

// String returns the step's name, which is in the text of a failure.
func (s Step) String() string { return s.name }

// step makes a step that may wait for the client to send something.
func step(name string, play func(*Peer) error) Step {
	return Step{name: name, waits: "a message from the client", play: play}
}

// sends makes a step that may wait for the client to read.
func sends(name string, play func(*Peer) error) Step {
	return Step{name: name, waits: "the client to read", play: play}
}

// Do is a step that calls play. An error of play fails the script. play should
// wait for nothing except in the methods of its Peer: the script's time limit
// ends only those.
func Do(name string, play func(*Peer) error) Step {
	return Step{name: fmt.Sprintf("Do(%q)", name), waits: "that step", play: play}
}

// Accept takes the next connection, or makes one where the script dials. The
// steps after it are about that connection. Earlier connections stay open until
// the client closes them or the script ends. The first Accept may be left out:
// the first step that needs a connection then takes one.
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
		return s.p.ctx.Err() // if the time limit ended the attempt, somebody may listen there
	}}
}

// Greet sends a greeting of QEMU 7.2.22 (DefaultVersion) with these capabilities.
func Greet(capabilities ...string) Step {
	return sends("Greet("+quoteAll(capabilities)+")", func(s *Peer) error {
		return s.writeJSON(appendGreeting(DefaultVersion, capabilities))
	})
}

// Return answers the last message, or the one that to names, with success.
// result is JSON. More than one Target is an error.
func Return(result string, to ...Target) Step {
	return sends("Return("+shortText(result)+")", func(s *Peer) error {
		id, err := s.Answer(to...)
		if err != nil {
			return err
		}
		return s.writeJSON(proto.AppendReturn(nil, []byte(result), id))
	})
}

// ReturnError answers the last message, or the one that to names, with an error.
func ReturnError(class, desc string, to ...Target) Step {
	return sends(fmt.Sprintf("ReturnError(%q, %q)", class, desc), func(s *Peer) error {
		id, err := s.Answer(to...)
		if err != nil {
			return err
		}
		return s.writeJSON(appendErrorReply(class, desc, id))
	})
}

// Reply sends text, which is JSON, with a line end. In text, $id stands for the
// id of the last message, and $prev_id for the id of the message before that.
// Reply fills in the bytes that the client sent, or null for a message without
// an id.
func Reply(text string) Step {
	return sends("Reply("+shortText(text)+")", func(s *Peer) error {
		text, err := s.Expand(text)
		if err != nil {
			return err
		}
		return s.writeJSON([]byte(text))
	})
}

// Expand fills in $id and $prev_id as Reply does, with or without quotes around
// them. The text need not be JSON. It is an error if there is no such message.
func (s *Peer) Expand(text string) (string, error) {
	for back, name := range []string{"$id", "$prev_id"} {
		if !strings.Contains(text, name) {
			continue
		}
		m, ok := s.Last(back)
		if !ok {
			return "", fmt.Errorf("%s: the client has not sent that many messages", name)
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

// Event sends an event with the current time. data is a JSON object, or "" for an
// event without data.
func Event(name, data string) Step {
	return sends(fmt.Sprintf("Event(%q)", name), func(s *Peer) error {
		return s.writeJSON(appendEvent(name, data))
	})
}

// Send sends text unchanged, without a line end.
func Send(text string) Step {
	return sends("Send("+shortText(text)+")", func(s *Peer) error { return s.Write([]byte(text)) })
}

// SendBytes sends b unchanged.
func SendBytes(b []byte) Step {
	return sends(fmt.Sprintf("SendBytes(%d bytes)", len(b)), func(s *Peer) error { return s.Write(b) })
}

// SendHex sends the bytes that digits write in hexadecimal, such as "0d0a".
func SendHex(digits string) Step {
	return sends("SendHex("+shortText(digits)+")", func(s *Peer) error {
		b, err := hex.DecodeString(digits)
		if err != nil {
			return err
		}
		return s.Write(b)
	})
}

// SplitEvery makes the steps after it write in pieces of n bytes. SplitEvery(0)
// ends that.
//
// On a Memory connection each piece is written after the client has read all
// pieces before it. On a socket each piece is a write of its own, but the client
// may get several pieces in one read.
func SplitEvery(n int) Step {
	return Step{name: fmt.Sprintf("SplitEvery(%d)", n), play: func(s *Peer) error {
		s.every = n
		return nil
	}}
}

// SplitAt cuts what the next step sends into pieces: one cut after k bytes, for
// each k. See SplitEvery for when a piece is written.
func SplitAt(k ...int) Step {
	return Step{name: fmt.Sprintf("SplitAt(%v)", k), play: func(s *Peer) error {
		s.cuts = k
		return nil
	}}
}

// Pause waits for the time d. In a bubble of testing/synctest that takes no real
// time: the bubble's clock advances when all goroutines of the bubble wait.
func Pause(d time.Duration) Step {
	return Step{name: fmt.Sprintf("Pause(%v)", d), waits: "the end of the pause", play: func(s *Peer) error {
		return sleep(s.p.ctx, d)
	}}
}

// Mark tells the test that the script has reached this step: Player.AwaitMark
// returns.
func Mark(name string) Step {
	return Step{name: fmt.Sprintf("Mark(%q)", name), play: func(s *Peer) error {
		s.p.Mark(name)
		return nil
	}}
}

// AwaitMark waits until the test has called Player.Mark. While it waits, the
// script reads nothing.
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

// HalfClose shuts down the direction to the client, which reads an end of file.
// The script can still read.
func HalfClose() Step {
	return Step{name: "HalfClose", waits: "a client to connect", play: func(s *Peer) error {
		conn, err := s.Conn()
		if err != nil {
			return err
		}
		half, ok := conn.(interface{ CloseWrite() error })
		if !ok {
			return fmt.Errorf("a %T cannot be half-closed", conn)
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
// On a unix socket the kernel makes a reset only if the script closes it while
// bytes of the client are unread. So there Reset waits until the client has sent
// some. Bytes that were read together with an earlier message do not count.
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

// end closes the connection by calling hangUp.
func (s *Peer) end(hangUp func(net.Conn) error) error {
	conn, err := s.Conn()
	if err != nil {
		return err
	}
	s.closed = true
	return hangUp(conn)
}

// Stall sends nothing more. It reads and drops what the client sends, until the
// client hangs up.
func Stall() Step {
	return Step{name: "Stall", waits: hangUpWait, play: func(s *Peer) error {
		if _, err := s.Conn(); err != nil {
			return err
		}
		return s.drain()
	}}
}

// StopReading reads nothing until the test is over, so that the client's writes
// fill the buffers and block. By then the client must have hung up. To stop
// reading for a part of the test, use AwaitMark, which reads nothing either.
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
		s.rcv.Discard()
		if err := s.rcv.Fill(); err != nil {
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
