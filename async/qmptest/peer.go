package qmptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/goqmp/qmp/internal/receiver"

	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/socket"
)

// A Peer is the server's end of a script. A step made by Do gets it. Only the
// goroutine that plays the script may use it, and only while the step runs.
type Peer struct {
	p *Player

	conn   net.Conn // the latest connection, nil before the first
	index  int      // of conn, counted from 0
	closed bool     // conn has ended
	rcv    *receiver.Receiver
	got    []*got // the messages that came over conn
	oldest int    // the messages of got before this one are answered

	every int   // cut after each so many bytes; 0 means no cuts
	cuts  []int // where to cut the next message that is sent
}

// got is a message, and whether it has been answered.
type got struct {
	Message
	answered bool
}

// Context returns a context that ends when the script ends or its time limit
// passes.
func (s *Peer) Context() context.Context { return s.p.ctx }

// Conn returns the latest connection. If there has been none, it waits for the
// first. Bytes that the Peer read together with an earlier message cannot be read
// from it any more. It is an error if the latest connection has ended.
func (s *Peer) Conn() (net.Conn, error) {
	if s.conn == nil {
		if err := s.accept(); err != nil {
			return nil, err
		}
	}
	if s.closed {
		return nil, errors.New("the connection has ended, and no Accept came after it")
	}
	return s.conn, nil
}

// accept takes the next connection.
func (s *Peer) accept() error {
	conn, err := s.p.next()
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(s.p.deadline); err != nil {
		return err
	}
	if s.conn != nil {
		s.forget()
		s.index++
	}
	s.conn, s.closed, s.got, s.oldest = conn, false, nil, 0
	s.rcv = &receiver.Receiver{Conn: conn, Max: s.p.opts.MaxMessage}
	return nil
}

// forget drops what has been received and not yet consumed.
func (s *Peer) forget() {
	if s.rcv != nil {
		s.rcv.Discard()
	}
}

// next waits for the next connection, or makes one if the script dials.
func (p *Player) next() (conn net.Conn, err error) {
	switch {
	case p.opts.DialTo != "":
		conn, err = p.dialOut()
	case p.ln != nil:
		if d, ok := p.ln.(interface{ SetDeadline(time.Time) error }); ok {
			d.SetDeadline(p.deadline)
		}
		conn, err = p.ln.Accept()
	default:
		conn, err = p.nextWaiting()
	}
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		conn.Close()
		return nil, context.Canceled
	}
	p.conns = append(p.conns, conn)
	return conn, nil
}

// nextWaiting waits for the server's end of a Memory connection or SocketPair.
func (p *Player) nextWaiting() (net.Conn, error) {
	for {
		p.mu.Lock()
		if len(p.waiting) > 0 {
			conn := p.waiting[0]
			p.waiting = p.waiting[1:]
			p.mu.Unlock()
			return conn, nil
		}
		if p.arrived == nil {
			p.arrived = make(chan struct{})
		}
		arrived := p.arrived
		p.mu.Unlock()
		select {
		case <-arrived:
		case <-p.ctx.Done():
			return nil, p.ctx.Err()
		}
	}
}

// dialOut connects to the client, which may begin to listen later. Nothing tells
// when it does, so dialOut tries again and again.
func (p *Player) dialOut() (net.Conn, error) {
	for {
		conn, err := dialAddr(p.ctx, p.opts.DialTo)
		if err == nil {
			return conn, nil
		}
		if sleepErr := sleep(p.ctx, 5*time.Millisecond); sleepErr != nil {
			return nil, errors.Join(sleepErr, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Next waits for the client's next message, and keeps it for Last and for
// Player.Received. It closes descriptors that came with the message.
func (s *Peer) Next() (Message, error) {
	if _, err := s.Conn(); err != nil {
		return Message{}, err
	}
	raw, fds, err := s.rcv.Next()
	if err != nil {
		return Message{}, s.explain(err)
	}
	socket.CloseFDs(fds)
	m := newMessage(s.index, raw, len(fds))
	s.got = append(s.got, &got{Message: m})
	s.p.rec.add(m)
	return m, nil
}

// explain adds to the error of a read what the client has done.
func (s *Peer) explain(err error) error {
	var frame *proto.FrameError
	switch {
	case errors.As(err, &frame):
		return fmt.Errorf("what the client sent is %w", err)
	case isGone(err):
		return fmt.Errorf("the client hung up (%w)", err)
	}
	return err
}

// isGone reports whether err says that the client has ended the connection.
func isGone(err error) bool {
	return errors.Is(err, io.EOF) || socket.IsGone(err)
}

// Last returns a message that Next has read from the latest connection: the last
// one for back = 0, the one before it for 1, and so on. ok is false if there is no
// such message.
func (s *Peer) Last(back int) (m Message, ok bool) {
	i := len(s.got) - 1 - back
	if i < 0 || i >= len(s.got) {
		return Message{}, false
	}
	return s.got[i].Message, true
}

// Write sends b, cut as SplitEvery and SplitAt ask. If the client has hung up,
// Write returns nil; the next read reports it.
func (s *Peer) Write(b []byte) error {
	conn, err := s.Conn()
	if err != nil {
		return err
	}
	pieces := s.cut(b)
	for _, piece := range pieces {
		if pipe, ok := conn.(*PipeConn); ok && len(pieces) > 1 {
			err = pipe.awaitRead() // otherwise the client would read the pieces joined
		}
		if err == nil {
			_, err = conn.Write(piece)
		}
		if isGone(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("sending %s: %w", shorten(b), err)
		}
	}
	return nil
}

// cut returns the pieces in which b is to be written. It uses up cuts.
func (s *Peer) cut(b []byte) (pieces [][]byte) {
	cuts := slices.Sorted(slices.Values(s.cuts))
	s.cuts = nil
	start := 0
	for start < len(b) {
		end := len(b)
		for len(cuts) > 0 && cuts[0] <= start {
			cuts = cuts[1:]
		}
		if len(cuts) > 0 {
			end = min(end, cuts[0])
		}
		if s.every > 0 {
			end = min(end, start+s.every)
		}
		pieces = append(pieces, b[start:end])
		start = end
	}
	if len(b) == 0 {
		pieces = append(pieces, b)
	}
	return pieces
}

// writeJSON sends text the way QEMU prints it, with a line end.
func (s *Peer) writeJSON(text []byte) error {
	if !json.Valid(text) {
		return fmt.Errorf("%s is not JSON; Send takes anything", shorten(text))
	}
	return s.Write(layout(nil, text, s.p.opts.Pretty, s.p.opts.LineEnd))
}

// A Target says which message of the client a reply answers.
type Target struct {
	kind int
	back int
	raw  string
}

const (
	toLast = iota
	toBack
	toOldest
	toNobody
	toRaw
)

// Back answers the message that came n before the last: Back(1) is the one before
// the last. Back(0) is the last, as without a Target.
func Back(n int) Target { return Target{kind: toBack, back: n} }

// Oldest answers the oldest unanswered message of this connection.
func Oldest() Target { return Target{kind: toOldest} }

// NoID sends a reply without an id.
func NoID() Target { return Target{kind: toNobody} }

// WithID sends a reply with the id raw, which is JSON.
func WithID(raw string) Target { return Target{kind: toRaw, raw: raw} }

// Answer returns the id for a reply to the last message, or to the one that to
// names. That message then counts as answered. The id is nil if the message has
// none. It is an error if there is no such message, or if more than one Target
// is given.
func (s *Peer) Answer(to ...Target) (json.RawMessage, error) {
	if _, err := s.Conn(); err != nil {
		return nil, err
	}
	t := Target{}
	switch len(to) {
	case 0:
	case 1:
		t = to[0]
	default:
		return nil, errors.New("more than one Target")
	}
	var g *got
	switch t.kind {
	case toNobody:
		return nil, nil
	case toRaw:
		return json.RawMessage(t.raw), nil
	case toOldest:
		for s.oldest < len(s.got) && s.got[s.oldest].answered {
			s.oldest++
		}
		if s.oldest < len(s.got) {
			g = s.got[s.oldest]
		}
	default:
		if i := len(s.got) - 1 - t.back; i >= 0 && t.back >= 0 {
			g = s.got[i]
		}
	}
	if g == nil {
		return nil, errors.New("the client has sent no message that this could answer")
	}
	g.answered = true
	return g.ID, nil
}

func appendEvent(name, data string) []byte {
	now := time.Now()
	return proto.AppendEvent(nil, name, []byte(data), now.Unix(), int64(now.Nanosecond()/1000))
}

func appendGreeting(v Version, capabilities []string) []byte {
	b := fmt.Appendf(nil, `{"QMP":{"version":{"qemu":{"micro":%d,"minor":%d,"major":%d},"package":`, v.Micro, v.Minor, v.Major)
	b = proto.AppendText(b, v.Package)
	b = append(b, `},"capabilities":[`...)
	for i, c := range capabilities {
		if i > 0 {
			b = append(b, ',')
		}
		b = proto.AppendText(b, c)
	}
	return append(b, "]}}"...)
}

func quoteAll(names []string) string {
	var b []byte
	for i, n := range names {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendQuote(b, n)
	}
	return string(b)
}
